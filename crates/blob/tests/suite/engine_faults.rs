//! Tests of the [`FaultyEngine`] wrapper over every engine.

use crate::support::{Setup, bytes, engines, location, read};
use blob::faulty::{EngineCall, FaultyEngine};
use blob::{Buffers, Error};
use std::sync::Arc;

async fn faulty_engines() -> Vec<(Setup, FaultyEngine)> {
    let wrapped = engines().await.into_iter().map(|mut setup| {
        let faulty = FaultyEngine::new(setup.engine.clone());
        setup.engine = Arc::new(faulty.clone());
        (setup, faulty)
    });
    wrapped.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_engine_fails_its_writers_until_space_returns() {
    for (setup, faulty) in faulty_engines().await {
        faulty.fill(1);
        let mut writer = setup.engine.create(location(1)).await.unwrap();
        assert!(matches!(setup.write(&mut *writer, b"x").await, Err(Error::Full(_))), "{}", setup.name);
        assert!(
            matches!(setup.write(&mut *writer, b"x").await, Err(Error::Full(_))),
            "{}: a failed writer went on",
            setup.name
        );
        assert!(matches!(writer.finish().await, Err(Error::Full(_))), "{}: a failed writer finished", setup.name);
        setup.put(location(2), b"space returned").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_fail_at_the_chosen_byte() {
    let all = bytes(1, 2 * Buffers::SIZE);
    for (setup, faulty) in faulty_engines().await {
        setup.put(location(1), &all).await;
        for bad in [0, 1, Buffers::SIZE, Buffers::SIZE + 5, all.len() - 1] {
            faulty.set_unreadable_from(Some(bad as u64));
            let mut reader = setup.engine.read(location(1), 0..all.len() as u64).await.unwrap().unwrap();
            let mut read = Vec::new();
            let failure = loop {
                match reader.next().await {
                    Ok(Some(buffer)) => read.extend_from_slice(&buffer),
                    Ok(None) => panic!("{}: an unreadable byte read as the end", setup.name),
                    Err(failure) => break failure,
                }
            };
            assert!(matches!(failure, Error::Io(..)) && read == all[..bad], "{}: {bad}", setup.name);
            assert_eq!(setup.get(location(1), 0..bad as u64).await.unwrap(), all[..bad], "{}: {bad}", setup.name);
        }
        faulty.set_unreadable_from(None);
        assert!(setup.get(location(1), 0..all.len() as u64).await.unwrap() == all, "{}", setup.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_holds_a_call_until_it_is_opened() {
    for (setup, faulty) in faulty_engines().await {
        let gate = faulty.hold(EngineCall::Finish);
        let engine = setup.engine.clone();
        let upload = tokio::spawn(async move { engine.create(location(1)).await?.finish().await });
        gate.reached().await;
        assert!(!upload.is_finished(), "{}", setup.name);
        gate.open();
        assert_eq!(upload.await.unwrap().unwrap(), 0, "{}", setup.name);
        assert_eq!(read(&*setup.engine, location(1), 0..0).await.unwrap().unwrap(), b"", "{}", setup.name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_call_can_be_made_to_fail_once() {
    async fn course(setup: &Setup) -> Result<(), Error> {
        let mut writer = setup.engine.create(location(1)).await?;
        setup.write(&mut *writer, &bytes(1, 5000)).await?;
        let durable = writer.sync().await?;
        drop(writer);
        let size = setup.engine.resume(location(1), &durable).await?.finish().await?;
        setup.engine.stat(location(1)).await?;
        read(&*setup.engine, location(1), 0..size).await?;
        setup.engine.list(None, 1).await?;
        setup.engine.check().await?;
        setup.engine.remove(location(1), None).await
    }
    use EngineCall::*;
    for (setup, faulty) in faulty_engines().await {
        for call in [Create, Resume, Read, Stat, Remove, List, Check, Write, Sync, Finish, Next] {
            faulty.fail(call, 1, Error::Missing);
            assert!(matches!(course(&setup).await, Err(Error::Missing)), "{}: {call:?}", setup.name);
            setup.engine.remove(location(1), None).await.unwrap();
            course(&setup).await.unwrap();
        }
    }
}
