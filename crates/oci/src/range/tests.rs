use super::{ByteRange, ChunkRange};
use proptest::prelude::*;

#[test]
fn range_headers_are_read_ignored_or_refused() {
    use ByteRange::{From, FromTo, Last};
    const MAX: u64 = u64::MAX;
    let data = [
        ("bytes=0-0", Some(FromTo(0, 0))),
        ("bytes=0-99", Some(FromTo(0, 99))),
        ("bytes=5-4", Some(FromTo(5, 4))),
        ("Bytes=5-9", Some(FromTo(5, 9))),
        ("bytes=007-8", Some(FromTo(7, 8))),
        ("bytes=7-", Some(From(7))),
        ("bytes=-7", Some(Last(7))),
        ("bytes=-0", Some(Last(0))),
        ("bytes= 1-2 ", Some(FromTo(1, 2))),
        ("bytes=,1-2,\t", Some(FromTo(1, 2))),
        ("bytes=18446744073709551615-", Some(From(MAX))),
        ("bytes=0-18446744073709551616", Some(FromTo(0, MAX))),
        ("bytes=-99999999999999999999999", Some(Last(MAX))),
        ("", None),
        ("bytes", None),
        ("bytes=", None),
        ("bytes=,", None),
        ("bytes=-", None),
        ("bytes=--1", None),
        ("bytes=a-b", None),
        ("bytes=+1-2", None),
        ("bytes=1 - 2", None),
        ("bytes=1-2-3", None),
        ("bytes=0x1-2", None),
        ("bytes=1-2,x", None),
        ("bytes 0-1", None),
        ("items=0-1", None),
        ("items=0-1,5-6", None),
    ];
    for (header, expected) in data {
        assert_eq!(ByteRange::parse(header), Ok(expected), "{header}");
    }
    for several in ["bytes=0-0,2-3", "bytes=0-,-1", "bytes=1-2,1-2", "bytes=1-2,9-3", "bytes=0-0,,5-"] {
        assert!(ByteRange::parse(several).is_err(), "{several}");
    }
}

#[test]
fn ranges_are_resolved_within_the_content() {
    use ByteRange::{From, FromTo, Last};
    let data = [
        (FromTo(0, 0), 10, Some(0..1)),
        (FromTo(0, 9), 10, Some(0..10)),
        (FromTo(0, 10), 10, Some(0..10)),
        (FromTo(9, u64::MAX), 10, Some(9..10)),
        (FromTo(10, 11), 10, None),
        (FromTo(5, 4), 10, None),
        (FromTo(5, 0), 10, None),
        (FromTo(0, 0), 0, None),
        (From(0), 10, Some(0..10)),
        (From(9), 10, Some(9..10)),
        (From(10), 10, None),
        (From(u64::MAX), u64::MAX, None),
        (From(0), 0, None),
        (Last(1), 10, Some(9..10)),
        (Last(10), 10, Some(0..10)),
        (Last(u64::MAX), 10, Some(0..10)),
        (Last(0), 10, None),
        (Last(1), 0, None),
    ];
    for (range, size, expected) in data {
        assert_eq!(range.resolve(size), expected, "{range:?} of {size}");
    }
}

#[test]
fn chunk_ranges_are_read_in_each_spelling_that_clients_use() {
    let data = [
        ("0-99", 0, 99),
        ("0-0", 0, 0),
        ("bytes 0-99", 0, 99),
        ("bytes 0-99/*", 0, 99),
        ("bytes 0-99/100", 0, 99),
        ("bytes 0-99/1000", 0, 99),
        ("0-99/100", 0, 99),
        ("0-99/*", 0, 99),
        ("bytes=0-99", 0, 99),
        ("Bytes  5-6", 5, 6),
        (" 5-6 ", 5, 6),
        ("9223372036854775806-9223372036854775806", (1 << 63) - 2, (1 << 63) - 2),
    ];
    for (header, first, last) in data {
        let range = ChunkRange::parse(header).unwrap_or_else(|e| panic!("{header}: {e}"));
        assert_eq!(range, ChunkRange { first, last }, "{header}");
        assert_eq!(range.len(), last - first + 1, "{header}");
    }
    let refused = [
        "",
        "-",
        "5",
        "5-",
        "-5",
        "bytes",
        "bytes ",
        "bytes=",
        "bytes */100",
        "bytes0-1",
        "octets 0-1",
        "1-0",
        "0--1",
        "+0-1",
        "0-+1",
        "a-b",
        "0-1-2",
        "0 - 1",
        "0-1,2-3",
        "0-99/99",
        "0-99/",
        "0-99/x",
        "0-99/*/*",
        "0-9223372036854775807",
        "0-18446744073709551616",
        "18446744073709551616-18446744073709551617",
        "éé-1",
    ];
    for header in refused {
        assert!(ChunkRange::parse(header).is_err(), "{header}");
    }
}

#[test]
fn a_chunk_range_made_by_hand_has_a_length() {
    let all = ChunkRange { first: 0, last: u64::MAX };
    assert_eq!(all.len(), u64::MAX);
    let backwards = ChunkRange { first: 5, last: 1 };
    assert_eq!(backwards.len(), 1);
}

proptest! {
    #[test]
    fn any_range_header_resolves_within_the_content(
        header in "bytes=[0-9]{0,21}-[0-9]{0,21}|[a-z=0-9, -]*|.*",
        size: u64,
    ) {
        if let Ok(Some(range)) = ByteRange::parse(&header)
            && let Some(bytes) = range.resolve(size)
        {
            prop_assert!(bytes.start < bytes.end && bytes.end <= size);
        }
    }

    #[test]
    fn valid_ranges_round_trip(first: u64, more: u64) {
        let last = first.saturating_add(more);
        let read = ByteRange::parse(&format!("bytes={first}-{last}"));
        prop_assert_eq!(read, Ok(Some(ByteRange::FromTo(first, last))));
        let read = ByteRange::parse(&format!("bytes={first}-"));
        prop_assert_eq!(read, Ok(Some(ByteRange::From(first))));
        let read = ByteRange::parse(&format!("bytes=-{first}"));
        prop_assert_eq!(read, Ok(Some(ByteRange::Last(first))));
    }

    #[test]
    fn any_chunk_header_is_a_range_in_order_or_refused(header in "(bytes[ =])?[0-9]{0,20}-[0-9]{0,20}(/[0-9*]{0,3})?|.*") {
        if let Ok(range) = ChunkRange::parse(&header) {
            prop_assert!(range.first <= range.last && range.last <= ChunkRange::MAX_POSITION);
        }
    }

    #[test]
    fn valid_chunk_ranges_round_trip(first in 0..=ChunkRange::MAX_POSITION, more: u64) {
        let last = first.saturating_add(more).min(ChunkRange::MAX_POSITION);
        for header in [format!("{first}-{last}"), format!("bytes {first}-{last}/*"), format!("bytes={first}-{last}/{}", last + 1)] {
            prop_assert_eq!(ChunkRange::parse(&header), Ok(ChunkRange { first, last }));
        }
    }
}
