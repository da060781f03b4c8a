//! `ecru verify` beside a server that serves.

use crate::store_support::TestStore;
use ecru::cli::stores::StoreArgs;
use ecru::cli::verify::Verify;
use kernel::ErrorChain;

/// Runs the command with these flags; the lines that it prints, and whether all was well.
async fn verify(store: &TestStore, bytes: bool, mark: bool) -> (Vec<String>, bool) {
    let stores = StoreArgs { data: Some(store.data()), postgres: None, config: None };
    let mut report = Vec::new();
    let command = Verify { stores, bytes, mark };
    let well =
        command.run(&store.environment(), &mut report).await.unwrap_or_else(|error| panic!("{}", ErrorChain(&error)));
    (String::from_utf8(report).unwrap().lines().map(str::to_owned).collect(), well)
}

#[tokio::test]
async fn it_runs_beside_a_server_says_what_is_wrong_and_marks_it_when_asked() {
    let store = TestStore::new().await;
    let server = store.start().await.unwrap_or_else(|error| panic!("{error}"));
    // They are as an older version stored them: without checksums.
    let locations = server.layers(&[20_000, 300_000, 700_000]).await;
    assert_eq!(
        verify(&store, false, false).await,
        (vec!["3 layers (1.0 MB) were looked at, without reading them.".to_owned(), "All is well.".to_owned()], true)
    );
    let (lines, well) = verify(&store, true, false).await;
    assert_eq!(lines, ["3 layers (1.0 MB) were read.", "3 layers have checksums from now on.", "All is well."],);
    assert!(well);

    let path = |number: usize| {
        let name = locations[number].to_string();
        store.path("layers").join(&name[30..]).join(name)
    };
    std::fs::remove_file(path(0)).unwrap();
    let mut altered = std::fs::read(path(2)).unwrap();
    altered[600_000] ^= 1;
    std::fs::write(path(2), altered).unwrap();
    let stray = path(1).with_file_name(format!("0000000000007000800000000000{}", &locations[1].to_string()[28..]));
    std::fs::write(&stray, b"left by a crash").unwrap();
    for (bytes, mark) in [(false, false), (true, false), (true, true)] {
        let (lines, well) = verify(&store, bytes, mark).await;
        assert!(!well);
        let said = |kind: &str, what: &str| lines.iter().any(|line| line.starts_with(kind) && line.contains(what));
        assert!(said("missing: sha256:", &locations[0].to_string()), "{lines:#?}");
        assert_eq!(said("altered: sha256:", &locations[2].to_string()), bytes, "{lines:#?}");
        assert!(said("without a record: ", "15 bytes"), "{lines:#?}");
        assert_eq!(
            lines.iter().filter(|line| line.ends_with("; it counts as missing")).count(),
            if mark { 2 } else { 0 }
        );
        let cure = match (bytes, mark) {
            (_, true) => "put their files back from a backup",
            (true, false) => "run `ecru verify --bytes --mark`",
            (false, false) => "run `ecru verify --mark`",
        };
        let last = lines.last().unwrap();
        assert!(last.starts_with("Not all is well: ") && last.contains(cure), "{last}");
        assert!(stray.exists() && path(2).exists(), "nothing is removed");
    }
    // The server sees the marks at once.
    let marked = |tx: &mut meta::Tx<'_>| {
        let rows = tx.layer_list(meta::LayerId::MIN, 10)?;
        Ok::<_, meta::Error>(rows.iter().filter(|row| row.damaged_at.is_some()).count())
    };
    assert_eq!(server.system.db.read(marked).await.unwrap(), 2);
    server.stop().await;
    assert!(!verify(&store, false, false).await.1, "also when no server runs");
}
