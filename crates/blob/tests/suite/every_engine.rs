//! Tests of the contract that holds for every engine.

use crate::support::{BUFFERS, MIN_PART, Setup, bytes, engines, engines_without_a_device, location, read};
use blob::{Buffers, DurableBytes, EngineState, Error};
use proptest::prelude::*;
use std::collections::BTreeSet;

#[tokio::test(flavor = "multi_thread")]
async fn finished_locations_of_every_size_read_back() {
    let sizes = [0, 1, MIN_PART, Buffers::SIZE - 1, Buffers::SIZE, Buffers::SIZE + 1, 5 * Buffers::SIZE + 17];
    for setup in engines().await {
        for (number, size) in sizes.into_iter().enumerate() {
            let (at, bytes) = (location(number as u8), bytes(number as u64, size));
            setup.put(at, &bytes).await;
            assert_eq!(setup.size(at).await, Some(size as u64), "{}", setup.name);
            assert!(
                setup.get(at, 0..size as u64).await.unwrap() == bytes,
                "{}: {size} bytes came back changed",
                setup.name
            );
        }
        assert_eq!(setup.buffers.available(), BUFFERS, "{}: a buffer was kept", setup.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_reads_exactly_its_bytes() {
    let all = bytes(1, 3 * Buffers::SIZE);
    let end = all.len() as u64;
    let size = Buffers::SIZE as u64;
    let ranges =
        [0..0, end..end, 0..1, end - 1..end, 5..4096, size - 1..size + 1, 1..end, size..2 * size, 4095..4097, 0..end];
    for setup in engines().await {
        setup.put(location(1), &all).await;
        for range in &ranges {
            let read = setup.get(location(1), range.clone()).await.unwrap();
            assert!(read == all[range.start as usize..range.end as usize], "{}: {range:?}", setup.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[expect(clippy::reversed_empty_ranges, reason = "a range that ends before it starts is what is tried")]
async fn a_range_beyond_the_bytes_is_refused() {
    for setup in engines().await {
        setup.put(location(1), b"ten bytes.").await;
        for range in [0..11, 10..11, 11..11, 11..12, 5..4, 0..u64::MAX] {
            match setup.engine.read(location(1), range.clone()).await {
                Err(Error::Io(_, cause)) => assert_eq!(cause.kind(), std::io::ErrorKind::UnexpectedEof),
                other => {
                    panic!("{}: {range:?} returned {:?}", setup.name, other.map(|reader| reader.is_some()))
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_location_is_created_once() {
    for setup in engines().await {
        let mut unfinished = setup.engine.create(location(1)).await.unwrap();
        setup.write(&mut *unfinished, b"first").await.unwrap();
        assert!(matches!(setup.engine.create(location(1)).await, Err(Error::Exists)), "{}", setup.name);
        // The failure does not affect the first writer and its bytes.
        assert_eq!(unfinished.finish().await.unwrap(), 5, "{}", setup.name);
        assert!(matches!(setup.engine.create(location(1)).await, Err(Error::Exists)), "{}", setup.name);
        assert_eq!(setup.get(location(1), 0..5).await.unwrap(), b"first", "{}", setup.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_location_is_none_or_an_error() {
    for setup in engines().await {
        assert_eq!(setup.size(location(1)).await, None, "{}", setup.name);
        assert!(setup.get(location(1), 0..1).await.is_none(), "{}", setup.name);
        let resumed = setup.engine.resume(location(1), &DurableBytes::default()).await;
        assert!(matches!(resumed, Err(Error::Missing)), "{}", setup.name);
        assert!(setup.engine.list(None, 10).await.unwrap().is_empty(), "{}", setup.name);
        setup.engine.check().await.unwrap();
        assert!(setup.engine.list(None, 10).await.unwrap().is_empty(), "{}: the check left a location", setup.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn finished_unfinished_and_missing_locations_can_be_removed() {
    for setup in engines().await {
        setup.put(location(1), b"finished").await;
        let mut unfinished = setup.engine.create(location(2)).await.unwrap();
        setup.write(&mut *unfinished, b"unfinished").await.unwrap();
        let durable = unfinished.sync().await.unwrap();
        for number in [1, 2, 3, 1] {
            setup.engine.remove(location(number), Some(&durable.state)).await.unwrap();
            assert_eq!(setup.size(location(number)).await, None, "{}", setup.name);
        }
        assert!(setup.engine.list(None, 10).await.unwrap().is_empty(), "{}", setup.name);
        // If `finish` succeeded, its caller would acknowledge bytes that are gone.
        assert!(matches!(unfinished.finish().await, Err(Error::Superseded)), "{}", setup.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sync_returns_the_number_of_durable_bytes() {
    for setup in engines().await {
        let mut writer = setup.engine.create(location(1)).await.unwrap();
        assert_eq!(writer.sync().await.unwrap().offset, 0, "{}", setup.name);
        let mut written = 0;
        for size in [MIN_PART - 1, 1, MIN_PART + 1, 5] {
            setup.write(&mut *writer, &bytes(1, size)).await.unwrap();
            written += size as u64;
            let durable = writer.sync().await.unwrap().offset;
            let lag = written - durable;
            assert!(lag == 0 || setup.by_parts && lag < MIN_PART as u64, "{}: {durable} of {written}", setup.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resumed_upload_keeps_its_durable_bytes_and_drops_the_rest() {
    let (first, dropped, second) = (bytes(1, 2500), bytes(2, 70_000), bytes(3, 1700));
    for setup in engines().await {
        let mut writer = setup.engine.create(location(1)).await.unwrap();
        setup.write(&mut *writer, &first).await.unwrap();
        let durable = writer.sync().await.unwrap();
        setup.write(&mut *writer, &dropped).await.unwrap();
        drop(writer);
        let kept = &first[..durable.offset as usize];
        // Resume twice, as a client that is interrupted again does.
        drop(setup.engine.resume(location(1), &durable).await.unwrap());
        let mut writer = setup.engine.resume(location(1), &durable).await.unwrap();
        setup.write(&mut *writer, &second).await.unwrap();
        let size = writer.finish().await.unwrap();
        assert_eq!(size as usize, kept.len() + second.len(), "{}", setup.name);
        assert!(setup.get(location(1), 0..size).await.unwrap() == [kept, &second].concat(), "{}", setup.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_is_resumed_and_finished_has_only_its_durable_bytes() {
    for setup in engines().await {
        let mut writer = setup.engine.create(location(1)).await.unwrap();
        setup.write(&mut *writer, &bytes(1, 3 * MIN_PART)).await.unwrap();
        let durable = writer.sync().await.unwrap();
        setup.write(&mut *writer, &bytes(2, 3 * MIN_PART)).await.unwrap();
        writer.sync().await.unwrap();
        drop(writer);
        let size = setup.engine.resume(location(1), &durable).await.unwrap().finish().await.unwrap();
        assert_eq!((size, setup.size(location(1)).await), (durable.offset, Some(durable.offset)), "{}", setup.name);
        assert!(
            setup.get(location(1), 0..size).await.unwrap() == bytes(1, 3 * MIN_PART)[..size as usize],
            "{}",
            setup.name
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_writer_ends_an_earlier_one() {
    for setup in engines().await {
        let mut older = setup.engine.create(location(1)).await.unwrap();
        setup.write(&mut *older, &bytes(1, 2 * MIN_PART)).await.unwrap();
        let durable = older.sync().await.unwrap();
        // These writes may still be in progress when the newer writer begins.
        setup.write(&mut *older, &bytes(2, 2 * Buffers::SIZE)).await.unwrap();
        let mut newer = setup.engine.resume(location(1), &durable).await.unwrap();
        setup.write(&mut *newer, &bytes(3, 2 * Buffers::SIZE)).await.unwrap();
        assert!(matches!(setup.write(&mut *older, b"late").await, Err(Error::Superseded)), "{}", setup.name);
        assert!(matches!(older.sync().await, Err(Error::Superseded)), "{}", setup.name);
        let size = newer.finish().await.unwrap();
        let expected = [&bytes(1, 2 * MIN_PART)[..durable.offset as usize], &bytes(3, 2 * Buffers::SIZE)].concat();
        assert!(setup.get(location(1), 0..size).await.unwrap() == expected, "{}", setup.name);
        assert!(matches!(older.finish().await, Err(Error::Superseded)), "{}", setup.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invalid_state_is_refused() {
    for setup in engines().await {
        let mut writer = setup.engine.create(location(1)).await.unwrap();
        setup.write(&mut *writer, &bytes(1, 3 * MIN_PART)).await.unwrap();
        let durable = writer.sync().await.unwrap();
        drop(writer);
        let cases = [
            ("a later version", DurableBytes { offset: durable.offset, state: EngineState(vec![255]) }),
            (
                "trailing bytes",
                DurableBytes { offset: durable.offset, state: EngineState([&durable.state.0[..], b"more"].concat()) },
            ),
            ("no bytes", DurableBytes { offset: durable.offset, state: EngineState::default() }),
            ("an offset beyond the bytes", DurableBytes { offset: durable.offset + 1, state: durable.state.clone() }),
        ];
        for (what, wrong) in cases {
            assert!(
                matches!(setup.engine.resume(location(1), &wrong).await, Err(Error::State(_))),
                "{}: {what}",
                setup.name
            );
        }
        // The failures left the location unchanged.
        assert_eq!(
            setup.engine.resume(location(1), &durable).await.unwrap().finish().await.unwrap(),
            durable.offset,
            "{}",
            setup.name
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_list_every_location_once() {
    for setup in engines().await {
        let all: BTreeSet<_> = (0..100).map(location).collect();
        for at in &all {
            setup.put(*at, b"x").await;
        }
        for limit in [1, 3, 99, 100, 101, usize::MAX] {
            let (mut seen, mut after) = (Vec::new(), None);
            loop {
                let page = setup.engine.list(after, limit).await.unwrap();
                assert!(page.len() <= limit, "{}", setup.name);
                let Some(last) = page.last() else { break };
                after = Some(*last);
                seen.extend(page);
            }
            assert_eq!(seen.len(), all.len(), "{}, by {limit}", setup.name);
            assert_eq!(seen.into_iter().collect::<BTreeSet<_>>(), all, "{}, by {limit}", setup.name);
        }
        assert!(setup.engine.list(None, 0).await.unwrap().is_empty(), "{}", setup.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_page_follows_a_location_that_was_removed() {
    for setup in engines().await {
        for number in 0..20 {
            setup.put(location(number), b"x").await;
        }
        let whole = setup.engine.list(None, 100).await.unwrap();
        let page = setup.engine.list(None, 7).await.unwrap();
        for at in &page {
            setup.engine.remove(*at, None).await.unwrap();
        }
        assert_eq!(setup.engine.list(page.last().copied(), 100).await.unwrap(), whole[7..], "{}", setup.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unfinished_location_is_listed() {
    for setup in engines().await {
        drop(setup.engine.create(location(9)).await.unwrap());
        assert_eq!(setup.engine.list(None, 10).await.unwrap(), [location(9)], "{}", setup.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_of_different_locations_are_independent() {
    for setup in engines().await {
        let setup = std::sync::Arc::new(setup);
        let mut tasks = tokio::task::JoinSet::new();
        for number in 0..16 {
            let setup = setup.clone();
            tasks.spawn(async move {
                setup.put(location(number), &bytes(number.into(), 100_000 + usize::from(number))).await
            });
        }
        tasks.join_all().await;
        for number in 0..16 {
            let expected = bytes(number.into(), 100_000 + usize::from(number));
            assert!(setup.get(location(number), 0..expected.len() as u64).await.unwrap() == expected, "{}", setup.name);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_can_read_on_after_its_location_was_removed() {
    let all = bytes(1, 4 * Buffers::SIZE);
    for setup in engines().await {
        setup.put(location(1), &all).await;
        let mut reader = setup.engine.read(location(1), 0..all.len() as u64).await.unwrap().unwrap();
        let mut read = reader.next().await.unwrap().unwrap().to_vec();
        setup.engine.remove(location(1), None).await.unwrap();
        while let Some(buffer) = reader.next().await.unwrap() {
            read.extend_from_slice(&buffer);
        }
        assert!(read == all, "{}", setup.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn under_s3s_rules_an_unfinished_location_cannot_be_read() {
    for setup in engines().await.into_iter().filter(|setup| setup.by_parts) {
        let mut writer = setup.engine.create(location(1)).await.unwrap();
        setup.write(&mut *writer, &bytes(1, 3 * MIN_PART)).await.unwrap();
        let durable = writer.sync().await.unwrap();
        assert_eq!(setup.size(location(1)).await, None);
        assert!(setup.get(location(1), 0..1).await.is_none());
        writer.finish().await.unwrap();
        assert_eq!(setup.size(location(1)).await, Some(3 * MIN_PART as u64));
        // A finished location can't be resumed.
        assert!(matches!(setup.engine.resume(location(1), &durable).await, Err(Error::State(_))));
    }
}

/// A step of an upload.
#[derive(Clone, Debug)]
enum Step {
    Write(usize),
    Sync,
    Resume,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![4 => (0..3 * MIN_PART).prop_map(Step::Write), 2 => Just(Step::Sync), 1 => Just(Step::Resume)]
}

/// Applies the steps to an upload and to a plain vector, and compares the bytes at the end.
async fn upload_like_a_vector(setup: &Setup, number: u8, steps: &[Step]) {
    let mut writer = setup.engine.create(location(number)).await.unwrap();
    let (mut model, mut durable) = (Vec::new(), DurableBytes::default());
    for (kind, step) in steps.iter().enumerate() {
        match step {
            Step::Write(size) => {
                let bytes = bytes(kind as u64, *size);
                setup.write(&mut *writer, &bytes).await.unwrap();
                model.extend(bytes);
            }
            Step::Sync => {
                durable = writer.sync().await.unwrap();
                assert!(durable.offset <= model.len() as u64);
            }
            Step::Resume => {
                drop(writer);
                model.truncate(durable.offset as usize);
                writer = setup.engine.resume(location(number), &durable).await.unwrap();
            }
        }
    }
    let size = writer.finish().await.unwrap();
    assert_eq!(size, model.len() as u64, "{}", setup.name);
    assert!(read(&*setup.engine, location(number), 0..size).await.unwrap().unwrap() == model, "{}", setup.name);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_sequence_of_steps_stores_the_same_bytes_as_a_vector(steps in prop::collection::vec(step(), 0..30)) {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
        runtime.block_on(async {
            for setup in engines_without_a_device().await {
                upload_like_a_vector(&setup, 1, &steps).await;
            }
        });
    }
}
