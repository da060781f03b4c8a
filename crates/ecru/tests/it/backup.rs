//! Backups beside a server, and what is restored from them.

use crate::store_support::{ROOT_KEY_1, TestStore, layer_file};
use blob::Location;
use ecru::cli::backup::{Backup, Report};
use ecru::cli::restore::Restore;
use ecru::cli::stores::StoreArgs;
use ecru::data_dir::{StoreId, write_store_id};
use kernel::ErrorChain;
use std::cell::{Cell, RefCell};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use testkit::{Docker, Image, TestApp, TestDatabase};

const NOTHING: StoreArgs = StoreArgs { data: None, postgres: None, config: None };

fn copy_of(store: &TestStore) -> PathBuf {
    store.directory.path().join("copy")
}

async fn back_up(store: &TestStore) -> Result<Report, String> {
    back_up_as(store, &copy_of(store), false).await
}

async fn back_up_as(store: &TestStore, copy: &Path, without_root_key: bool) -> Result<Report, String> {
    let backup = Backup { copy: copy.to_owned(), store: NOTHING, without_root_key };
    backup.run(&store.environment()).await.map_err(|error| ErrorChain(&error).to_string())
}

async fn restore(copy: &Path, into: &TestStore) -> Result<Report, String> {
    let restore = Restore { copy: copy.to_owned(), store: NOTHING };
    restore.run(&into.environment()).await.map_err(|error| ErrorChain(&error).to_string())
}

fn says(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "{part:?} is not in: {said}");
    }
}

/// Every file below a directory, with its bytes.
fn files(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push((path.clone(), fs::read(&path).unwrap()));
        }
    }
    found.sort();
    found
}

/// The layers' files below a directory of layers.
fn layers(directory: &Path) -> Vec<(String, Vec<u8>)> {
    let names = files(directory)
        .into_iter()
        .map(|(path, bytes)| (path.file_name().unwrap().to_str().unwrap().to_owned(), bytes));
    names.filter(|(name, _)| name.len() == 32).collect()
}

/// Grounds over each engine that the tests run with.
async fn engines() -> Vec<TestStore> {
    let mut grounds = vec![TestStore::over(None)];
    grounds.extend(TestDatabase::wanted().await.map(|database| TestStore::over(Some(database))));
    grounds
}

#[tokio::test]
async fn what_was_acknowledged_before_a_backup_under_load_pulls_from_the_restored_store() {
    let app = TestApp::start().await;
    make_data_directory(&app).await;
    let caller = app.administrator().with_repository("app").await;
    let password = caller.password().await;
    let docker = Docker::new(&app, Some(password));
    let place = tempfile::tempdir().unwrap();
    let copy = place.path().join("copy");
    let environment = |name: &str| match name {
        "ECRU_DATA" => Some(app.directory().display().to_string()),
        "ECRU_POSTGRES" => app.database().map(TestDatabase::url),
        _ => None,
    };
    let image = |number: u64| Image::builder(number).layers(&[100, 20_000 + number as usize, 300_000]).build();
    let (pushed, ended, before) = (RefCell::new(Vec::new()), Cell::new(0), Cell::new(0));

    // Two push while two backups run, the second of which is incremental.
    let push = async |first: u64| {
        for number in (first..).step_by(2) {
            docker.push("app", &format!("v{number}"), &image(number)).await;
            pushed.borrow_mut().push(number);
            if ended.get() == 2 {
                break;
            }
        }
    };
    let back_up = async {
        for round in 1..=2 {
            while pushed.borrow().len() < 4 * round {
                tokio::task::yield_now().await;
            }
            before.set(pushed.borrow().len());
            let backup = Backup { copy: copy.clone(), store: NOTHING, without_root_key: false };
            let report = backup.run(&environment).await.unwrap_or_else(|error| panic!("{}", ErrorChain(&error)));
            assert!(report.complete, "{}", report.text);
            ended.set(round);
        }
    };
    tokio::join!(push(0), push(1), back_up);

    let restored = TestStore::over(None);
    let report = restore(&copy, &restored).await.unwrap();
    assert!(report.complete, "{}", report.text);
    let other = TestApp::over_stores(&restored.data(), None).await;
    let password = other.administrator().password().await;
    let docker = Docker::new(&other, Some(password));
    let acknowledged = pushed.into_inner()[..before.get()].to_vec();
    assert!(acknowledged.len() >= 8);
    for number in acknowledged {
        docker.pull("app", &format!("v{number}"), &image(number)).await;
    }
}

/// Makes a test's directory one of `ecru serve`.
async fn make_data_directory(app: &TestApp) {
    let id = StoreId([9; 16]);
    app.system.db.write(move |tx| tx.store_put(id, 1)).await.unwrap();
    write_store_id(&app.directory().join("layers"), id).unwrap();
    fs::write(app.directory().join("FORMAT"), "1\n").unwrap();
    let place = if app.database().is_some() { "1:postgresql\n" } else { "1:sqlite\n" };
    fs::write(app.directory().join("records"), place).unwrap();
    fs::write(app.directory().join("root.key"), format!("1:{}\n", "07".repeat(32))).unwrap();
}

#[tokio::test]
async fn a_backup_of_either_engine_restores_into_either() {
    for source in engines().await {
        source.once(async |started| drop(started.layers(&[20_000, 1_100_000]).await)).await;
        let report = back_up(&source).await.unwrap();
        says(&report.text, &["2 layers copied (1.1 MB), 0 there before", "keep it as safe"]);
        for target in engines().await {
            let report = restore(&copy_of(&source), &target).await.unwrap();
            says(&report.text, &["2 layers (1.1 MB) and the records", "ecru serve --data"]);
            let target = match &target.database {
                // As the report says: --root-key-file.
                Some(_) => {
                    let keys = fs::read_to_string(target.path("root.key")).unwrap();
                    TestStore { root_keys: Some(keys), ..target }
                }
                None => target,
            };
            assert_eq!(layers(&target.path("layers")), layers(&source.path("layers")));
            assert_eq!(target.path("ecru.db").exists(), target.database.is_none());
            for name in ["credentials", "layers/STORE"] {
                assert_eq!(fs::read(target.path(name)).unwrap(), fs::read(source.path(name)).unwrap(), "{name}");
            }
            // The keys hold: the root key opens the administrator's secret.
            let started = target.start().await.unwrap();
            let id = fs::read_to_string(target.path("credentials")).unwrap();
            let id = id.lines().find_map(|line| line.strip_prefix("aws_access_key_id = ")).unwrap();
            let keys = identity::credential::ProcessKeys { dev: false, admin: None };
            identity::credential::find(&started.system, &keys, id).await.unwrap().unwrap();
            started.stop().await;
        }
    }
}

#[tokio::test]
async fn a_second_backup_adds_what_is_new_and_removes_what_nothing_names() {
    let store = TestStore::new().await;
    let started = store.start().await.unwrap();
    let first = started.layers(&[20_000, 30_000]).await;
    back_up(&store).await.unwrap();
    let kept = layer_file(&copy_of(&store).join("layers"), first[1]);
    let written = fs::metadata(&kept).unwrap().modified().unwrap();
    started.execute("DELETE FROM layer WHERE size = 20000").await;
    started.layer(&testkit::chance::bytes(5, 40_000)).await;
    let report = back_up(&store).await.unwrap();
    says(&report.text, &["1 layers copied (40.0 kB), 1 there before, 1 removed"]);
    assert_eq!(fs::metadata(&kept).unwrap().modified().unwrap(), written);
    assert!(!layer_file(&copy_of(&store).join("layers"), first[0]).exists());
    assert!(layer_file(&store.path("layers"), first[0]).exists(), "the source is never changed");
    started.stop().await;
}

#[tokio::test]
async fn a_backup_that_was_killed_leaves_the_one_before_and_the_next_puts_it_right() {
    let store = TestStore::new().await;
    let started = store.start().await.unwrap();
    let copy = copy_of(&store);
    let first = started.layers(&[20_000, 20_001]).await;
    back_up(&store).await.unwrap();
    // What a kill leaves: new records that are half written, a layer that is cut, one whose bytes were never synced.
    let bytes = [testkit::chance::bytes(1, 30_000), testkit::chance::bytes(2, 40_000)];
    let new = [started.layer(&bytes[0]).await, started.layer(&bytes[1]).await];
    fs::write(copy.join("records.db.new"), "SQLite format 3\0half").unwrap();
    fs::write(copy.join("records.db.new-journal"), "half").unwrap();
    let leave = |location: Location, bytes: &[u8]| {
        let path = layer_file(&copy.join("layers"), location);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    leave(new[0], &bytes[0][..10_000]);
    leave(new[1], &[0; 40_000]);

    let before = TestStore::over(None);
    restore(&copy, &before).await.unwrap();
    let names = |store: &TestStore| layers(&store.path("layers")).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    let mut expected: Vec<_> = first.iter().map(Location::to_string).collect();
    expected.sort_by_key(|name| name[30..].to_owned());
    let mut found = names(&before);
    found.sort_by_key(|name| name[30..].to_owned());
    assert_eq!(found, expected);

    let report = back_up(&store).await.unwrap();
    says(&report.text, &["2 layers copied (70.0 kB), 2 there before"]);
    let after = TestStore::over(None);
    restore(&copy, &after).await.unwrap();
    assert_eq!(layers(&after.path("layers")), layers(&store.path("layers")));
    started.stop().await;
}

#[tokio::test]
async fn a_first_backup_that_was_killed_can_t_be_restored_and_goes_on() {
    let store = TestStore::new().await;
    store.once(async |started| drop(started.layers(&[20_000]).await)).await;
    back_up(&store).await.unwrap();
    let copy = copy_of(&store);
    fs::rename(copy.join("records.db"), copy.join("records.db.new")).unwrap();
    let target = TestStore::over(None);
    says(&restore(&copy, &target).await.unwrap_err(), &["no backup into", "has ended yet"]);
    fs::remove_file(copy.join("STORE")).unwrap();
    // Its layers are read, since no ended backup vouches for them.
    says(&back_up(&store).await.unwrap().text, &["0 layers copied", "1 there before"]);
    restore(&copy, &target).await.unwrap();
}

#[tokio::test]
async fn damaged_layers_are_reported_and_the_rest_is_copied() {
    let store = TestStore::new().await;
    let started = store.start().await.unwrap();
    let locations = started.layers(&[20_000, 30_000, 40_000, 50_000]).await;
    let file = |number: usize| layer_file(&store.path("layers"), locations[number]);
    fs::remove_file(file(0)).unwrap();
    fs::write(file(1), "cut").unwrap();
    let mut altered = fs::read(file(2)).unwrap();
    altered[39_999] ^= 1;
    fs::write(file(2), altered).unwrap();
    let report = back_up(&store).await.unwrap();
    assert!(!report.complete);
    says(
        &report.text,
        &[
            "1 layers copied",
            "lacks 3 layers",
            "its file is missing",
            "its file has 3 bytes, and its record says 30000",
            "its bytes are not those of its digest",
            &locations[2].to_string(),
        ],
    );
    let target = TestStore::over(None);
    let restored = restore(&copy_of(&store), &target).await.unwrap();
    assert!(!restored.complete);
    assert_eq!(layers(&target.path("layers")).len(), 1);

    // Whole layers of the copy are not lost when the source is damaged later.
    fs::write(file(3), "cut").unwrap();
    let report = back_up(&store).await.unwrap();
    assert!(!report.complete);
    says(&report.text, &["1 there before", "lacks 3 layers"]);
    started.stop().await;
}

#[tokio::test]
async fn layers_that_are_marked_are_backed_up_and_a_restore_takes_back_the_marks_of_those_that_are_whole() {
    let store = TestStore::new().await;
    let started = store.start().await.unwrap();
    let locations = started.layers(&[20_000, 30_000, 40_000]).await;
    back_up(&store).await.unwrap();
    // Two are damaged and found so; of one the backup has a whole copy, the other's was lost there too.
    for number in [0, 1] {
        fs::remove_file(layer_file(&store.path("layers"), locations[number])).unwrap();
    }
    fs::remove_file(layer_file(&copy_of(&store).join("layers"), locations[1])).unwrap();
    started.execute("UPDATE layer SET damaged_at = 7").await;
    let report = back_up(&store).await.unwrap();
    says(&report.text, &["0 layers copied", "2 there before", "lacks 1 layers", &locations[1].to_string()]);
    started.stop().await;

    for target in engines().await {
        let report = restore(&copy_of(&store), &target).await.unwrap();
        says(&report.text, &["2 layers (60.0 kB) and the records", "lacks 1 layers", &locations[1].to_string()]);
        let target = match &target.database {
            Some(_) => TestStore { root_keys: Some(fs::read_to_string(target.path("root.key")).unwrap()), ..target },
            None => target,
        };
        let started = target.start().await.unwrap();
        let sound = started.system.db.read(|tx| tx.store_sound_from(meta::LocationId::MIN, 9)).await.unwrap();
        let mut sound: Vec<_> = sound.into_iter().map(|layer| layer.location).collect();
        let mut expected = vec![meta::LocationId(locations[0].0), meta::LocationId(locations[2].0)];
        sound.sort();
        expected.sort();
        assert_eq!(sound, expected);
        started.stop().await;
    }
}

#[tokio::test]
async fn a_layer_that_is_damaged_in_the_backup_is_not_restored_as_though_it_were_whole() {
    let store = TestStore::new().await;
    let mut locations = Vec::new();
    store.once(async |started| locations = started.layers(&[20_000, 30_000]).await).await;
    back_up(&store).await.unwrap();
    let path = layer_file(&copy_of(&store).join("layers"), locations[0]);
    fs::write(&path, vec![0; 20_000]).unwrap();
    let target = TestStore::over(None);
    let report = restore(&copy_of(&store), &target).await.unwrap();
    assert!(!report.complete);
    says(&report.text, &["its bytes are not those of its digest"]);
    assert_eq!(layers(&target.path("layers")).len(), 1);
    // Records that are damaged are not restored at all.
    let records = copy_of(&store).join("records.db");
    let length = fs::metadata(&records).unwrap().len();
    fs::File::options().write(true).open(&records).unwrap().set_len(length / 2).unwrap();
    let third = TestStore::over(None);
    says(&restore(&copy_of(&store), &third).await.unwrap_err(), &["can't be used", "damaged"]);
    assert!(!third.data().exists());
}

#[tokio::test]
async fn a_backup_is_for_its_owner_alone_and_has_the_keys_only_if_it_should() {
    let store = TestStore::new().await;
    store.once(async |started| drop(started.layers(&[20_000]).await)).await;
    back_up(&store).await.unwrap();
    let copy = copy_of(&store);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&copy), 0o700);
    for (path, _) in files(&copy) {
        assert_eq!(mode(&path), 0o600, "{}", path.display());
        assert_eq!(mode(path.parent().unwrap()), 0o700);
    }
    assert!(copy.join("root.key").exists() && copy.join("credentials").exists());
    let report = back_up_as(&store, &copy, true).await.unwrap();
    says(&report.text, &["no root key"]);
    assert!(!copy.join("root.key").exists() && !copy.join("credentials").exists());

    let mut target = TestStore::over(None);
    says(&restore(&copy, &target).await.unwrap().text, &["has no root key", "ECRU_ROOT_KEY"]);
    for (path, _) in files(&target.data()) {
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
    says(&target.refused().await, &["root.key is missing"]);
    target.root_keys = match &store.root_keys {
        Some(keys) => Some(keys.clone()),
        None => Some(fs::read_to_string(store.path("root.key")).unwrap()),
    };
    target.once(async |_| {}).await;
}

#[tokio::test]
async fn a_root_key_that_is_missing_or_another_is_not_backed_up() {
    let mut store = TestStore::new().await;
    store.root_keys = Some(ROOT_KEY_1.to_owned());
    store.once(async |_| {}).await;
    store.root_keys = None;
    says(&back_up(&store).await.unwrap_err(), &["no root key is here", "--without-root-key"]);
    store.root_keys = Some(ROOT_KEY_1.replace("01", "04"));
    says(&back_up(&store).await.unwrap_err(), &["root key 1 is not the one"]);
    assert!(!copy_of(&store).exists());
    back_up_as(&store, &copy_of(&store), true).await.unwrap();
}

#[tokio::test]
async fn only_a_backup_s_own_directory_is_written_and_only_an_empty_one_is_restored_into() {
    let (store, other) = (TestStore::new().await, TestStore::new().await);
    store.once(async |_| {}).await;
    other.once(async |_| {}).await;
    let copy = copy_of(&store);
    back_up(&store).await.unwrap();
    let before = files(&copy);
    says(&back_up_as(&other, &copy, false).await.unwrap_err(), &["is the backup of store", "a directory of its own"]);
    assert_eq!(files(&copy), before);
    // A data directory, and one of somebody else.
    says(&back_up_as(&store, &other.data(), false).await.unwrap_err(), &["is a data directory, not a backup"]);
    let foreign = store.directory.path().join("foreign");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("mine"), "x").unwrap();
    says(&back_up_as(&store, &foreign, false).await.unwrap_err(), &["is not a backup, and not empty"]);
    assert_eq!(files(&foreign).len(), 1);
    fs::write(copy.join("FORMAT"), "backup 9\n").unwrap();
    says(&back_up(&store).await.unwrap_err(), &["of the form \"9\""]);
    fs::write(copy.join("FORMAT"), "backup 1\n").unwrap();

    // Nothing is restored from what is no backup, nor into what is not empty, and a backup is not served from.
    let target = TestStore::over(None);
    says(&restore(&foreign, &target).await.unwrap_err(), &["is not a backup that `ecru backup` made"]);
    says(&restore(&foreign.join("none"), &target).await.unwrap_err(), &["is not a backup"]);
    says(&restore(&copy, &TestStore { database: None, ..other }).await.unwrap_err(), &["is not empty"]);
    assert!(!target.data().exists());
    fs::rename(&copy, target.data()).unwrap();
    says(&target.refused().await, &["is a backup", "ecru restore"]);
}

#[tokio::test]
async fn a_restore_that_was_killed_is_not_served_from() {
    let store = TestStore::new().await;
    store.once(async |_| {}).await;
    back_up(&store).await.unwrap();
    let target = TestStore::over(None);
    restore(&copy_of(&store), &target).await.unwrap();
    fs::remove_file(target.path("FORMAT")).unwrap();
    fs::write(target.path("restoring"), "").unwrap();
    says(&target.refused().await, &["a restore that did not end", "remove it"]);
    says(&restore(&copy_of(&store), &target).await.unwrap_err(), &["a restore that did not end"]);
}

#[tokio::test]
async fn a_postgresql_database_with_records_is_not_restored_into() {
    let Some(database) = TestDatabase::wanted().await else { return };
    let store = TestStore::over(None);
    store.once(async |_| {}).await;
    back_up(&store).await.unwrap();
    let used = TestStore::over(Some(database));
    used.once(async |_| {}).await;
    let target = TestStore { database: used.database.as_ref().map(TestDatabase::again), ..TestStore::over(None) };
    says(&restore(&copy_of(&store), &target).await.unwrap_err(), &["already has records; name an empty one"]);
    assert!(!target.data().exists());
    used.once(async |_| {}).await;
}
