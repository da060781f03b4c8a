//! Which records and layers a start takes for one store, and what it refuses.

use crate::store_support::{ROOT_KEY_1, ROOT_KEY_2, TestStore, layer_file};
use ecru::cli::serve::stores::Administrator;
use std::fs;
use testkit::TestDatabase;

/// What is refused says why and what to do, in one line.
fn says(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "{part:?} is not in: {said}");
    }
    assert!(!said.contains('\n'), "{said}");
}

#[tokio::test]
async fn both_halves_of_a_store_have_one_id_and_another_store_s_layers_are_refused() {
    let (store, other) = (TestStore::new().await, TestStore::new().await);
    store.once(async |_| {}).await;
    let id = fs::read_to_string(store.path("layers/STORE")).unwrap();
    assert_eq!((id.len(), &id[..2]), (35, "1:"));
    store.once(async |_| {}).await;
    assert_eq!(fs::read_to_string(store.path("layers/STORE")).unwrap(), id);
    other.once(async |_| {}).await;
    assert_ne!(fs::read_to_string(other.path("layers/STORE")).unwrap(), id);

    fs::rename(store.path("layers"), store.path("mine")).unwrap();
    fs::rename(other.path("layers"), store.path("layers")).unwrap();
    says(&store.refused().await, &["belong to store", &id[2..34], "mount the right directory"]);
    fs::write(store.path("layers/STORE"), "9:of a later version").unwrap();
    says(&store.refused().await, &["layers/STORE says nothing that this ecru knows"]);
    fs::rename(store.path("layers"), store.path("foreign")).unwrap();
    fs::rename(store.path("mine"), store.path("layers")).unwrap();
    store.once(async |_| {}).await;
}

#[tokio::test]
async fn an_empty_or_unmounted_layers_directory_is_refused_beside_records_that_name_layers() {
    let store = TestStore::new().await;
    store.once(async |started| drop(started.layers(&[20_000, 30_000, 40_000]).await)).await;
    let mounted = store.directory.path().join("volume");
    fs::rename(store.path("layers"), &mounted).unwrap();
    for unmounted in ["missing", "empty"] {
        if unmounted == "empty" {
            fs::create_dir_all(store.path("layers/lost+found")).unwrap();
        }
        says(&store.refused().await, &["layers lacks layers that the records name (3 of 3", "Mount it or restore"]);
        assert!(!store.path("layers/STORE").exists(), "a directory that was refused got an id");
        fs::remove_dir_all(store.path("layers")).unwrap();
    }
    fs::rename(&mounted, store.path("layers")).unwrap();
    store.once(async |_| {}).await;
}

#[tokio::test]
async fn a_second_node_without_the_layers_is_refused_and_one_that_has_them_starts() {
    let first = TestStore::new().await;
    let Some(database) = &first.database else { return };
    let second = TestStore { database: Some(database.again()), ..TestStore::over(None) };
    let second = TestStore { root_keys: first.root_keys.clone(), ..second };
    first.once(async |started| drop(started.layers(&[20_000]).await)).await;
    says(&second.refused().await, &["lacks layers that the records name (1 of 1"]);
    fs::remove_dir_all(second.path("layers")).unwrap();
    std::os::unix::fs::symlink(first.path("layers"), second.path("layers")).unwrap();
    let started = second.start().await.unwrap();
    assert!(matches!(started.administrator, Administrator::Elsewhere));
    started.stop().await;
}

#[tokio::test]
async fn an_empty_directory_is_refused_beside_records_with_an_id_though_they_name_no_layers() {
    let store = TestStore::new().await;
    store.once(async |_| {}).await;
    fs::remove_dir_all(store.path("layers")).unwrap();
    says(&store.refused().await, &["layers has no id", "Mount the directory that holds them or restore a backup"]);
    let Some(database) = &store.database else { return };
    // A second node with a directory of its own, before anything was pushed.
    let second = TestStore { database: Some(database.again()), ..TestStore::over(None) };
    let second = TestStore { root_keys: store.root_keys.clone(), ..second };
    says(&second.refused().await, &["layers has no id", "does another node keep the layers?"]);
}

#[tokio::test]
async fn records_that_are_gone_are_not_begun_anew_and_the_credentials_stay() {
    let mut store = TestStore::new().await;
    store.once(async |started| drop(started.layers(&[20_000]).await)).await;
    let credentials = fs::read(store.path("credentials")).unwrap();
    match store.database.take() {
        // Another database that is empty.
        Some(_) => store.database = Some(TestDatabase::new().await),
        None => {
            for name in ["ecru.db", "ecru.db-wal", "ecru.db-shm"] {
                drop(fs::remove_file(store.path(name)));
            }
        }
    }
    for trace in ["credentials", "records", "layers"] {
        let parts = ["the records are empty", &format!("`{trace}`"), "restore a backup", "--postgres"];
        says(&store.refused().await, &parts);
        assert!(!store.path("ecru.db").exists());
        if trace == "credentials" {
            assert_eq!(fs::read(store.path("credentials")).unwrap(), credentials);
        }
        if trace != "layers" {
            fs::remove_file(store.path(trace)).unwrap();
        }
    }
}

#[tokio::test]
async fn an_empty_database_file_is_not_a_first_start() {
    let store = TestStore::over(None);
    store.once(async |_| {}).await;
    let credentials = fs::read(store.path("credentials")).unwrap();
    // What a copy of ecru.db without its log can be.
    fs::write(store.path("ecru.db"), "").unwrap();
    says(&store.refused().await, &["the records are empty", "`credentials`"]);
    assert_eq!(fs::read(store.path("credentials")).unwrap(), credentials);
}

#[tokio::test]
async fn a_store_from_before_gets_an_id_only_with_the_layers_that_it_names() {
    let store = TestStore::new().await;
    let mut locations = Vec::new();
    store
        .once(async |started| {
            locations = started.layers(&[20_000; 5]).await;
            started.execute("DELETE FROM store").await;
        })
        .await;
    fs::remove_file(store.path("records")).unwrap();
    fs::remove_file(store.path("layers/STORE")).unwrap();

    // Half of them missing or cut is not this store.
    let files: Vec<_> = locations.iter().map(|location| layer_file(&store.path("layers"), *location)).collect();
    let bytes = fs::read(&files[0]).unwrap();
    fs::remove_file(&files[0]).unwrap();
    fs::write(&files[1], "cut").unwrap();
    fs::write(&files[2], "").unwrap();
    says(&store.refused().await, &["(3 of 5 looked for)"]);
    assert!(!store.path("layers/STORE").exists());
    // A damaged layer does not keep a store from starting.
    fs::write(&files[0], &bytes).unwrap();
    store.once(async |_| {}).await;
    assert!(store.path("layers/STORE").exists() && store.path("records").exists());
}

#[tokio::test]
async fn a_sample_of_many_layers_is_looked_for_wherever_they_lie() {
    let store = TestStore::over(None);
    let mut locations = Vec::new();
    store
        .once(async |started| {
            locations = started.layers(&[17_000; 130]).await;
            started.execute("DELETE FROM store").await;
        })
        .await;
    fs::remove_file(store.path("layers/STORE")).unwrap();
    locations.iter().for_each(|location| fs::remove_file(layer_file(&store.path("layers"), *location)).unwrap());
    says(&store.refused().await, &["(100 of 100 looked for)"]);
}

#[tokio::test]
async fn a_first_start_that_was_killed_at_any_step_is_taken_up_by_the_next() {
    for left in ["schema", "directory", "directory and id", "credentials"] {
        let store = TestStore::new().await;
        store
            .once(async |started| {
                started.execute("DELETE FROM access_key").await;
                if left != "credentials" {
                    started.execute("DELETE FROM root_key").await;
                }
                if left == "schema" || left == "directory" {
                    started.execute("DELETE FROM store").await;
                }
            })
            .await;
        let written: &[&str] = match left {
            "schema" => &["layers/STORE", "records", "credentials"],
            "directory" | "directory and id" => &["records", "credentials"],
            _ => &[],
        };
        written.iter().for_each(|name| fs::remove_file(store.path(name)).unwrap());
        let before = fs::read(store.path("credentials")).ok();
        let started = store.start().await.unwrap_or_else(|error| panic!("{left}: {error}"));
        // Keys that were written down and did not hold yet hold now.
        assert!(matches!(started.administrator, Administrator::New(_)), "{left}");
        let after = fs::read_to_string(store.path("credentials")).unwrap();
        assert!(before.is_none_or(|before| before == after.as_bytes()), "{left}: the credentials were overwritten");
        let id = after.lines().find_map(|line| line.strip_prefix("aws_access_key_id = ")).unwrap().to_owned();
        let held = started.system.db.look_up(meta::records::access_key::access_key(&id)).await.unwrap();
        assert!(held.is_some_and(|key| key.active), "{left}");
        started.stop().await;
        store.once(async |started| assert!(matches!(started.administrator, Administrator::Kept))).await;
    }
}

#[tokio::test]
async fn an_id_that_only_the_directory_has_goes_into_records_that_were_used() {
    let store = TestStore::new().await;
    store
        .once(async |started| {
            started.layers(&[20_000]).await;
            started.execute("DELETE FROM store").await;
        })
        .await;
    let id = fs::read_to_string(store.path("layers/STORE")).unwrap();
    store.once(async |_| {}).await;
    store.once(async |_| {}).await;
    assert_eq!(fs::read_to_string(store.path("layers/STORE")).unwrap(), id);
}

#[tokio::test]
async fn a_file_of_credentials_without_keys_is_left_as_it_is() {
    let store = TestStore::new().await;
    store.once(async |started| started.execute("DELETE FROM access_key").await).await;
    fs::write(store.path("credentials"), "mine").unwrap();
    says(&store.refused().await, &["credentials exists", "move it away"]);
    assert_eq!(fs::read_to_string(store.path("credentials")).unwrap(), "mine");
}

#[tokio::test]
async fn a_forgotten_postgres_setting_is_said_and_nothing_is_made() {
    let mut store = TestStore::new().await;
    let Some(database) = store.database.take() else { return };
    store.database = Some(database.again());
    store.once(async |_| {}).await;
    let credentials = fs::read(store.path("credentials")).unwrap();
    store.database = None;
    says(&store.refused().await, &["are in PostgreSQL; set --postgres or ECRU_POSTGRES"]);
    // A directory of a version that did not remember it.
    fs::remove_file(store.path("records")).unwrap();
    says(&store.refused().await, &["the records are empty", "set --postgres"]);
    assert!(!store.path("ecru.db").exists());
    assert_eq!(fs::read(store.path("credentials")).unwrap(), credentials);
    store.database = Some(database);
    store.once(async |_| {}).await;
}

#[tokio::test]
async fn postgres_over_a_directory_whose_records_are_in_sqlite_is_refused_with_the_way_to_move() {
    let Some(database) = TestDatabase::wanted().await else { return };
    let mut store = TestStore::over(None);
    store.root_keys = Some(ROOT_KEY_1.to_owned());
    store.once(async |_| {}).await;
    store.database = Some(database);
    says(&store.refused().await, &["in its ecru.db", "ecru backup", "ecru restore --postgres"]);
    fs::remove_file(store.path("records")).unwrap();
    says(&store.refused().await, &["in its ecru.db"]);
}

#[tokio::test]
async fn a_root_key_that_secrets_need_is_missed_at_the_start() {
    let mut store = TestStore::new().await;
    store.root_keys = Some(ROOT_KEY_1.to_owned());
    store.once(async |_| {}).await;
    store.root_keys = Some(format!("{ROOT_KEY_1},{ROOT_KEY_2}"));
    store.once(async |_| {}).await;
    store.root_keys = Some(ROOT_KEY_2.to_owned());
    says(&store.refused().await, &["root key 1 is missing", "1:KEY", "root.key"]);
    // A number that sealed nothing is not needed.
    store.root_keys = Some(ROOT_KEY_1.to_owned());
    store.once(async |_| {}).await;
    store.root_keys = Some(ROOT_KEY_1.replace("01", "03"));
    says(&store.refused().await, &["root key 1 is not the one"]);
}

#[tokio::test]
async fn a_cut_database_is_refused_with_what_to_do() {
    let store = TestStore::over(None);
    store.once(async |_| {}).await;
    let path = store.path("ecru.db");
    let length = fs::metadata(&path).unwrap().len();
    fs::File::options().write(true).open(&path).unwrap().set_len(length / 2).unwrap();
    says(&store.refused().await, &["ecru.db can't be opened", "damaged", "restore a backup", "the file is truncated"]);
}
