use super::{Algorithm, Digest, Hasher, InvalidDigest};
use proptest::prelude::*;

const EMPTY_256: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const ABC_512: &str = "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f";

fn algorithms() -> impl Strategy<Value = Algorithm> {
    prop_oneof![Just(Algorithm::Sha256), Just(Algorithm::Sha512)]
}

#[test]
fn known_digests_are_computed_and_displayed() {
    assert_eq!(Digest::of(Algorithm::Sha256, b"").to_string(), EMPTY_256);
    assert_eq!(Digest::of(Algorithm::Sha512, b"abc").to_string(), ABC_512);
    let digest: Digest = EMPTY_256.parse().unwrap();
    assert_eq!(format!("{digest:?}"), EMPTY_256);
    assert_eq!(digest.algorithm(), Algorithm::Sha256);
    assert_eq!(digest.hash().len(), 32);
    assert_eq!(digest.hex(), EMPTY_256[7..]);
}

#[test]
fn only_the_canonical_spelling_parses_as_a_digest() {
    let hex = &EMPTY_256[7..];
    let refused = [
        String::new(),
        "sha256".into(),
        "sha256:".into(),
        hex.into(),
        format!(":{hex}"),
        format!("SHA256:{hex}"),
        format!("sha256:{}", hex.to_uppercase()),
        format!("sha256:{}", &hex[1..]),
        format!("sha256:{hex}0"),
        format!("sha256:{}g", &hex[1..]),
        format!("sha256:{}é", &hex[2..]),
        format!("sha256:{hex} "),
        format!(" sha256:{hex}"),
        format!("sha256::{}", &hex[1..]),
        format!("sha512:{hex}"),
        format!("sha384:{hex}"),
        format!("md5:{}", &hex[..32]),
        format!("sha256:{}", &ABC_512[7..]),
        format!("sha256+b64:{hex}"),
    ];
    for text in refused {
        assert!(text.parse::<Digest>().is_err(), "{text}");
    }
}

#[test]
fn malformed_stored_digests_are_refused() {
    let stored = Digest::of(Algorithm::Sha256, b"").to_bytes();
    assert_eq!(stored.len(), 33);
    assert_eq!(stored[0], 1);
    assert_eq!(Digest::of(Algorithm::Sha512, b"").to_bytes()[0], 2);
    for (bytes, reason) in [
        (&[][..], "the stored form is empty"),
        (&stored[..32], "the stored form has the wrong length"),
        (&[2; 33][..], "the stored form has the wrong length"),
        (&[0; 33][..], "the stored form names an unknown algorithm"),
        (&[3; 65][..], "the stored form names an unknown algorithm"),
    ] {
        assert_eq!(Digest::from_bytes(bytes), Err(InvalidDigest(reason)));
    }
}

#[test]
fn a_state_with_an_unknown_version_or_length_is_refused() {
    let state = Hasher::new(Algorithm::Sha256).state();
    assert_eq!(state.len(), 2 + 104 + 8);
    let mut newer = state.clone();
    newer[0] = 2;
    let error = Hasher::resume(&newer).unwrap_err();
    assert_eq!(error.to_string(), "the stored hash state can't be read: its version is unknown");
    for length in 0..state.len() {
        assert!(Hasher::resume(&state[..length]).is_err(), "{length}");
    }
    assert!(Hasher::resume(&[&state[..], &[0]].concat()).is_err());
}

/// Pins the stored form: version, algorithm, SHA-256's words, blocks hashed, buffered bytes, checksum. Every later version must read it.
#[test]
fn a_stored_state_stays_readable_forever() {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    hasher.update(b"abc");
    let hex: String = hasher.state().iter().map(|b| format!("{b:02x}")).collect();
    let expected = [
        "0101",
        "67e6096a85ae67bb72f36e3c3af54fa57f520e518c68059babd9831f19cde05b",
        "0000000000000000",
        "03616263",
        &"00".repeat(60),
        "361c733e4875d76b",
    ];
    assert_eq!(hex, expected.concat());
}

#[test]
fn a_hasher_does_not_show_what_it_hashed() {
    let mut hasher = Hasher::new(Algorithm::Sha256);
    hasher.update(b"secret");
    assert_eq!(format!("{hasher:?}"), "Hasher(Sha256)");
}

proptest! {
    #[test]
    fn any_text_parses_to_itself_or_not_at_all(text in "(sha256|sha512|md5|):?[0-9a-fA-F]{60,130}|.*") {
        if let Ok(digest) = text.parse::<Digest>() {
            prop_assert_eq!(digest.to_string(), text);
        }
    }

    #[test]
    fn digests_round_trip_in_both_forms(algorithm in algorithms(), content: Vec<u8>) {
        let digest = Digest::of(algorithm, &content);
        prop_assert_eq!(digest.to_string().parse(), Ok(digest));
        prop_assert_eq!(Digest::from_bytes(&digest.to_bytes()), Ok(digest));
    }

    #[test]
    fn any_stored_bytes_read_to_themselves_or_not_at_all(bytes in prop::collection::vec(0u8..4, 0..70)) {
        if let Ok(digest) = Digest::from_bytes(&bytes) {
            prop_assert_eq!(digest.to_bytes(), bytes);
        }
    }

    #[test]
    fn a_hasher_resumed_after_each_piece_computes_the_digest_of_the_whole(
        algorithm in algorithms(),
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..8),
    ) {
        let mut hasher = Hasher::new(algorithm);
        for piece in &pieces {
            hasher.update(piece);
            hasher = Hasher::resume(&hasher.state()).unwrap();
            prop_assert_eq!(hasher.algorithm(), algorithm);
        }
        prop_assert_eq!(hasher.finish(), Digest::of(algorithm, &pieces.concat()));
    }

    #[test]
    fn a_state_with_any_byte_changed_is_refused(
        algorithm in algorithms(),
        content: Vec<u8>,
        at: prop::sample::Index,
        change in 1u8..,
    ) {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(&content);
        let mut state = hasher.state();
        let at = at.index(state.len());
        state[at] ^= change;
        prop_assert!(Hasher::resume(&state).is_err());
    }

    #[test]
    fn any_bytes_as_a_state_are_refused(state: Vec<u8>) {
        prop_assert!(Hasher::resume(&state).is_err());
    }
}
