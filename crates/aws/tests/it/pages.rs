//! Page tokens. Each is valid only for its listing.

use aws::{InvalidPageToken, PageTokens};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::collection::vec;
use proptest::prelude::*;

fn tokens() -> PageTokens {
    PageTokens::new([7; 32])
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn opening_a_token_returns_its_cursor(listing in ".*", cursor in vec(any::<u8>(), 0..600)) {
        let token = tokens().seal(&listing, &cursor);
        prop_assert!(token.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'));
        prop_assert_eq!(tokens().open(&listing, &token), Ok(cursor));
    }

    #[test]
    fn a_token_is_valid_only_for_its_listing_and_key(
        listing in ".*", other in ".*", cursor in vec(any::<u8>(), 0..100), key in any::<[u8; 32]>()
    ) {
        prop_assume!(listing != other && key != [7; 32]);
        let token = tokens().seal(&listing, &cursor);
        prop_assert_eq!(tokens().open(&other, &token), Err(InvalidPageToken));
        prop_assert_eq!(PageTokens::new(key).open(&listing, &token), Err(InvalidPageToken));
    }

    #[test]
    fn a_changed_token_is_refused(
        cursor in vec(any::<u8>(), 0..100), at in any::<prop::sample::Index>(), byte in "[ -~]"
    ) {
        let token = tokens().seal("listing", &cursor);
        let at = at.index(token.len());
        let mut changed = token.clone();
        changed.replace_range(at..=at, &byte);
        prop_assume!(changed != token);
        prop_assert_eq!(tokens().open("listing", &changed), Err(InvalidPageToken));
        prop_assert_eq!(tokens().open("listing", &token[..at]), Err(InvalidPageToken));
        prop_assert_eq!(tokens().open("listing", &format!("{token}{byte}")), Err(InvalidPageToken));
    }

    #[test]
    fn an_invented_token_is_refused(text in ".*") {
        prop_assert_eq!(tokens().open("listing", &text), Err(InvalidPageToken));
    }
}

#[test]
fn bytes_can_not_move_from_the_listing_to_the_cursor() {
    let token = URL_SAFE_NO_PAD.decode(tokens().seal("listing\u{1}end", b"cursor")).unwrap();
    let moved = URL_SAFE_NO_PAD.encode([b"\x01end", token.as_slice()].concat());
    assert_eq!(tokens().open("listing", &moved), Err(InvalidPageToken));
}

#[test]
fn a_token_over_4_kib_is_refused() {
    // 3,055 bytes, the version and the MAC are 4,096 characters of base64url.
    let longest = tokens().seal("listing", &[1; 3055]);
    assert_eq!(longest.len(), 4096);
    assert_eq!(tokens().open("listing", &longest), Ok(vec![1; 3055]));
    let longer = tokens().seal("listing", &[1; 3056]);
    assert_eq!(tokens().open("listing", &longer), Err(InvalidPageToken));
}
