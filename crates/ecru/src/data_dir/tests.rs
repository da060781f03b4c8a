use super::*;
use kernel::random::SystemRandom;
use std::os::unix::fs::PermissionsExt as _;

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn a_new_directory_is_for_its_owner_alone_and_has_a_format() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("a/data");
    let data = DataDir::open(&path).unwrap();
    assert_eq!(mode(&path), 0o700);
    assert_eq!(std::fs::read_to_string(data.path().join("FORMAT")).unwrap(), "1\n");
    drop(data);
    DataDir::open(&path).unwrap();
}

#[test]
fn a_directory_has_one_process() {
    let path = tempfile::tempdir().unwrap();
    let first = DataDir::open(path.path()).unwrap();
    let second = DataDir::open(path.path()).unwrap_err();
    assert!(matches!(second, DataDirError::InUse(_)), "{second}");
    drop(first);
    DataDir::open(path.path()).unwrap();
}

#[test]
fn what_is_not_ours_is_left_alone() {
    for (name, text, refused) in [
        ("FORMAT", "2\n", "was made by a newer ecru (format 2, and this one knows format 1): use that one"),
        ("FORMAT", "one\n", "has format \"one\", which no ecru has"),
        ("FORMAT", "", "has format \"\""),
        ("holiday.jpg", "x", "is not a data directory of ecru"),
    ] {
        let path = tempfile::tempdir().unwrap();
        std::fs::write(path.path().join(name), text).unwrap();
        let error = DataDir::open(path.path()).unwrap_err().to_string();
        assert!(error.contains(refused), "{error}");
        assert!(!path.path().join("root.key").exists());
    }
    let broken_off = tempfile::tempdir().unwrap();
    for name in ["lock", "FORMAT.new"] {
        std::fs::write(broken_off.path().join(name), "").unwrap();
    }
    std::fs::create_dir(broken_off.path().join("lost+found")).unwrap();
    DataDir::open(broken_off.path()).unwrap();
}

#[test]
fn a_root_key_is_made_once_and_never_beside_a_database_without_one() {
    let path = tempfile::tempdir().unwrap();
    let data = DataDir::open(path.path()).unwrap();
    let made = data.root_keys(&SystemRandom).unwrap().into_inner();
    assert_eq!(mode(&path.path().join("root.key")), 0o600);
    assert_eq!(data.root_keys(&SystemRandom).unwrap().into_inner(), made);
    std::fs::write(path.path().join("root.key"), "hunter2").unwrap();
    assert!(matches!(data.root_keys(&SystemRandom), Err(DataDirError::RootKey { .. })));
    std::fs::remove_file(path.path().join("root.key")).unwrap();
    std::fs::write(data.database(), "").unwrap();
    assert!(matches!(data.root_keys(&SystemRandom), Err(DataDirError::RootKeyLost(_))));
}

#[test]
fn the_credentials_are_for_their_owner_alone() {
    let path = tempfile::tempdir().unwrap();
    let data = DataDir::open(path.path()).unwrap();
    // What a crash left, readable by all.
    std::fs::write(path.path().join("credentials.new"), "half").unwrap();
    let secret = Zeroizing::new("se/cret+".to_owned());
    data.write_credentials(&NewAdministrator { access_key_id: "AKIA2".to_owned(), secret }).unwrap();
    assert_eq!(mode(&data.credentials()), 0o600);
    let text = std::fs::read_to_string(data.credentials()).unwrap();
    assert_eq!(text, "[default]\naws_access_key_id = AKIA2\naws_secret_access_key = se/cret+\n");
    assert!(!path.path().join("credentials.new").exists());
}

#[test]
fn an_endpoint_is_read_as_it_was_left() {
    let path = tempfile::tempdir().unwrap();
    assert_eq!(Endpoint::read(path.path()).unwrap(), None);
    let data = DataDir::open(path.path()).unwrap();
    let endpoint = Endpoint {
        url: "http://localhost:5050".to_owned(),
        region: "us-east-1".to_owned(),
        registry: "localhost:5050".to_owned(),
        dev: true,
        health: Some("http://127.0.0.1:5050".to_owned()),
        admin: true,
        ca: Some("/etc/ecru-tls/ca.pem".to_owned()),
    };
    data.write_endpoint(&endpoint).unwrap();
    assert_eq!(Endpoint::read(path.path()).unwrap(), Some(endpoint.clone()));
    // As 0.1.0 wrote it.
    let old = "url = \"http://localhost:5050\"\nregion = \"us-east-1\"\nregistry = \"localhost:5050\"\ndev = true\n";
    std::fs::write(path.path().join("endpoint"), old).unwrap();
    let expected = Endpoint { health: None, admin: false, ca: None, ..endpoint };
    assert_eq!(Endpoint::read(path.path()).unwrap(), Some(expected));
    std::fs::write(path.path().join("endpoint"), "url = 1").unwrap();
    assert!(matches!(Endpoint::read(path.path()), Err(DataDirError::Endpoint(_))));
}

#[test]
fn a_file_in_a_directorys_place_is_named() {
    let parent = tempfile::tempdir().unwrap();
    let file = parent.path().join("a.toml");
    std::fs::write(&file, "").unwrap();
    for path in [file.clone(), file.join("below")] {
        for error in [
            DataDir::open(&path).unwrap_err(),
            Endpoint::read(&path).unwrap_err(),
            DataFiles::existing(&path).unwrap_err(),
        ] {
            assert_eq!(error.to_string(), format!("{} is a file, not a directory; name a directory", file.display()));
        }
    }
}
