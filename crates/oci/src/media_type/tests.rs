use super::MediaType;
use proptest::prelude::*;

#[test]
fn an_essence_has_no_parameters_and_no_capitals() {
    let data = [
        ("application/json", "application/json"),
        ("Application/JSON; charset=utf-8", "application/json"),
        (" text/plain ;x", "text/plain"),
        (";", ""),
        ("", ""),
        ("a/b;c;d", "a/b"),
    ];
    for (text, essence) in data {
        assert_eq!(MediaType::new(text).essence(), essence, "{text}");
        assert_eq!(MediaType::new(text).as_str(), text);
    }
}

#[test]
fn well_formed_media_types_may_have_parameters() {
    let longest = format!("a/{}", "b".repeat(MediaType::MAX_LENGTH - 2));
    let accepted = [
        "a/b",
        MediaType::OCI_MANIFEST,
        MediaType::OCI_EMPTY,
        "application/vnd.dev.sigstore.bundle+json;version=0.2",
        "application/vnd.dev.cosign.simplesigning.v1+json",
        "text/plain ; charset=\"utf-8\"",
        "application/vnd.oci.image.layer.v1.tar+gzip",
        &longest,
    ];
    for text in accepted {
        assert!(MediaType::new(text).is_well_formed(), "{text}");
    }
    let too_long = format!("{longest}b");
    let refused = [
        "",
        "/",
        "a",
        "a/",
        "/b",
        "a/b/c",
        "a b/c",
        "a/b c",
        "a/b\n",
        "a/b;x=\r\n",
        "a/b;é",
        "é/b",
        " a/b",
        ";a/b",
        "a/b,c/d",
        &too_long,
    ];
    for text in refused {
        assert!(!MediaType::new(text).is_well_formed(), "{text}");
    }
}

#[test]
fn only_foreign_and_nondistributable_layers_may_be_stored_elsewhere() {
    let data = [
        ("application/vnd.oci.image.layer.nondistributable.v1.tar", true),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", true),
        ("application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", true),
        ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", true),
        ("Application/vnd.docker.image.rootfs.foreign.diff.tar.gzip; a=b", true),
        ("application/vnd.oci.image.layer.v1.tar", false),
        ("application/vnd.docker.image.rootfs.diff.tar.gzip", false),
        ("text/plain; application/vnd.oci.image.layer.nondistributable.v1.tar", false),
        ("", false),
    ];
    for (text, expected) in data {
        assert_eq!(MediaType::new(text).is_non_distributable(), expected, "{text}");
    }
}

#[test]
fn manifests_are_distinguished_from_blobs() {
    for manifest in MediaType::MANIFESTS {
        assert!(MediaType::new(manifest).is_manifest());
        assert!(MediaType::new(format!("{}; charset=utf-8", manifest.to_uppercase())).is_manifest());
    }
    for blob in [MediaType::OCI_EMPTY, MediaType::DOCKER_SCHEMA_1, "application/vnd.buildkit.cacheconfig.v0", ""] {
        assert!(!MediaType::new(blob).is_manifest(), "{blob}");
    }
}

proptest! {
    #[test]
    fn no_text_causes_a_panic(text in "[a-z/;= +é]{0,20}|.*") {
        let media_type = MediaType::new(text);
        prop_assert!(!media_type.is_well_formed() || media_type.essence().contains('/'));
        prop_assert_eq!(MediaType::new(media_type.essence()).essence(), media_type.essence());
    }
}
