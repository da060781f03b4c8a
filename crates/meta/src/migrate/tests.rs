//! Tests of the migrations from every version to the last, on both engines.

use super::{MIGRATIONS, Migration, next};
use crate::database::Database;
use crate::{Db, Error, EventId, LayerId, PostgresConfig, RepositoryId, SqliteConfig, UploadId, Value};
use crate::{postgres, sqlite};
use std::path::PathBuf;
use tempfile::TempDir;

const ACCOUNT_INSERT: &str = "INSERT INTO account (id, created_at) VALUES ($1, $2)";
const ACCOUNT_LIST: &str = "SELECT id, created_at FROM account";
const VERSION_LIST: &str = "SELECT version, name FROM schema_migration ORDER BY version";

const SQLITE_COLUMNS: &str = "SELECT t.name || '.' || c.name || ' ' || lower(c.type) || ' ' || \
    CASE WHEN c.\"notnull\" = 1 OR c.pk > 0 THEN 'not null' ELSE 'null' END \
    FROM sqlite_master t, pragma_table_info(t.name) c WHERE t.type = 'table' ORDER BY 1";
const SQLITE_INDEXES: &str =
    "SELECT tbl_name || '.' || name FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL ORDER BY 1";
const POSTGRES_COLUMNS: &str = "SELECT table_name || '.' || column_name || ' ' || \
    CASE data_type WHEN 'bigint' THEN 'integer' WHEN 'bytea' THEN 'blob' ELSE data_type END || ' ' || \
    CASE is_nullable WHEN 'NO' THEN 'not null' ELSE 'null' END COLLATE \"C\" \
    FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1";
const POSTGRES_INDEXES: &str = "SELECT tablename || '.' || indexname COLLATE \"C\" FROM pg_indexes \
    WHERE schemaname = 'public' AND indexname NOT LIKE '%_pkey' ORDER BY 1";
/// Lists the text columns that are not ordered by bytes.
const POSTGRES_UNORDERED: &str = "SELECT table_name || '.' || column_name FROM information_schema.columns \
    WHERE table_schema = 'public' AND data_type = 'text' AND collation_name IS DISTINCT FROM 'C' ORDER BY 1";

/// A database below `Db`, for chosen migrations and plain queries.
enum Beneath {
    Sqlite(TempDir),
    Postgres(Database),
}

impl Beneath {
    fn sqlite() -> Beneath {
        Beneath::Sqlite(tempfile::tempdir().unwrap())
    }

    async fn both() -> Vec<Beneath> {
        let mut both = vec![Beneath::sqlite()];
        both.extend(Database::create().await.map(Beneath::Postgres));
        both
    }

    fn path(directory: &TempDir) -> PathBuf {
        directory.path().join("ecru.db")
    }

    async fn migrate(&self, list: &[Migration]) -> Result<(), Error> {
        match self {
            Beneath::Sqlite(directory) => sqlite::beneath::migrate(&Beneath::path(directory), list, 7),
            Beneath::Postgres(database) => postgres::beneath::migrate(&database.url(), list, 7).await,
        }
    }

    /// Returns every row, with its columns as text, separated by blanks.
    async fn query(&self, sql: &'static str, params: &[Value]) -> Vec<String> {
        let rows: Vec<Vec<Value>> = match self {
            Beneath::Sqlite(directory) => {
                let mut connection = sqlite::beneath::connect(&Beneath::path(directory)).unwrap();
                connection.query(sql, params).unwrap().into_iter().map(|row| row.0).collect()
            }
            Beneath::Postgres(database) => {
                let client = postgres::beneath::connect(&database.url()).await.unwrap();
                let params: Vec<_> =
                    params.iter().map(|param| param as &(dyn tokio_postgres::types::ToSql + Sync)).collect();
                let rows = client.client.query(sql, &params).await.unwrap();
                rows.iter().map(|row| (0..row.len()).map(|column| row.get(column)).collect()).collect()
            }
        };
        let shown = |value: Value| match value {
            Value::Null => "NULL".to_owned(),
            Value::I64(x) => x.to_string(),
            Value::Text(x) => x,
            Value::Blob(x) => format!("{x:?}"),
        };
        rows.into_iter().map(|row| row.into_iter().map(shown).collect::<Vec<_>>().join(" ")).collect()
    }

    /// Returns the tables, columns and indexes, in the same words for both engines.
    async fn schema(&self) -> Vec<String> {
        let (columns, indexes) = match self {
            Beneath::Sqlite(_) => (SQLITE_COLUMNS, SQLITE_INDEXES),
            Beneath::Postgres(_) => (POSTGRES_COLUMNS, POSTGRES_INDEXES),
        };
        [self.query(columns, &[]).await, self.query(indexes, &[]).await].concat()
    }

    /// Opens the database as the program does, with every migration.
    async fn open(&self) -> Db {
        let opened = match self {
            Beneath::Sqlite(directory) => Db::sqlite(SqliteConfig { path: Beneath::path(directory), now_us: 8 }).await,
            Beneath::Postgres(database) => {
                Db::postgres(PostgresConfig {
                    url: database.url(),
                    max_connections: 1,
                    timeout: std::time::Duration::from_secs(10),
                    now_us: 8,
                })
                .await
            }
        };
        opened.unwrap()
    }

    async fn remove(self) {
        if let Beneath::Postgres(database) = self {
            database.remove().await;
        }
    }
}

#[test]
fn versions_start_at_one_and_have_no_gaps() {
    let versions: Vec<i64> = MIGRATIONS.iter().map(|migration| migration.version).collect();
    let expected: Vec<i64> = (1..).take(MIGRATIONS.len()).collect();
    assert_eq!(versions, expected);
}

#[test]
fn a_version_after_the_last_migration_is_newer() {
    let known = MIGRATIONS.len() as i64;
    assert!(next(MIGRATIONS, known).unwrap().is_none());
    let newer = next(MIGRATIONS, known + 1).err().unwrap();
    assert!(matches!(newer, Error::Newer { found, known: k } if found == known + 1 && k == known), "{newer:?}");
}

#[tokio::test]
async fn every_version_is_migrated_to_the_same_last_one() {
    let fresh = Beneath::sqlite();
    fresh.migrate(MIGRATIONS).await.unwrap();
    let expected = fresh.schema().await;
    assert!(expected.iter().any(|line| line == "image.digest blob not null"), "{expected:#?}");
    for from in 0..=MIGRATIONS.len() {
        for database in Beneath::both().await {
            database.migrate(&MIGRATIONS[..from]).await.unwrap();
            database.migrate(MIGRATIONS).await.unwrap();
            assert_eq!(database.schema().await, expected, "from version {from}");
            let names: Vec<String> = MIGRATIONS.iter().map(|step| format!("{} {}", step.version, step.name)).collect();
            assert_eq!(database.query(VERSION_LIST, &[]).await, names);
            if let Beneath::Postgres(_) = database {
                assert_eq!(database.query(POSTGRES_UNORDERED, &[]).await, Vec::<String>::new());
            }
            database.remove().await;
        }
    }
}

#[tokio::test]
async fn a_migration_keeps_the_rows_and_a_failed_one_is_rolled_back() {
    let step = |version, text| Migration { version, name: "step", text };
    let first = || step(1, "CREATE TABLE account (id TEXT PRIMARY KEY, created_at INTEGER NOT NULL) STRICT;");
    let second =
        || step(2, "ALTER TABLE account ADD COLUMN note TEXT;\nCREATE INDEX account_by_note ON account (note);");
    let broken = || {
        step(
            3,
            "CREATE TABLE half (id INTEGER PRIMARY KEY) STRICT;\nCREATE TABLE half (id INTEGER PRIMARY KEY) STRICT;",
        )
    };
    let mended = || step(3, "CREATE TABLE half (id INTEGER PRIMARY KEY) STRICT;");
    for database in Beneath::both().await {
        database.migrate(&[first()]).await.unwrap();
        database.query(ACCOUNT_INSERT, &["000000000000".into(), 5.into()]).await;
        database.migrate(&[first(), second()]).await.unwrap();
        assert_eq!(database.query("SELECT id, created_at, note FROM account", &[]).await, ["000000000000 5 NULL"]);

        let failed = database.migrate(&[first(), second(), broken()]).await;
        assert!(matches!(failed, Err(Error::Store(..))), "{failed:?}");
        assert_eq!(database.query(VERSION_LIST, &[]).await, ["1 step", "2 step"]);
        assert!(!database.schema().await.iter().any(|line| line.starts_with("half")));

        database.migrate(&[first(), second(), mended()]).await.unwrap();
        assert!(database.schema().await.iter().any(|line| line.starts_with("half.id")));
        assert_eq!(database.query(ACCOUNT_LIST, &[]).await, ["000000000000 5"]);
        database.remove().await;
    }
}

/// An event as version 1 wrote it.
const EVENT_INSERT_1: &str = "INSERT INTO event (id, account, region, repository_id, kind, actor, digest, tag, detail, at) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";

#[tokio::test]
async fn version_2_lists_the_pushes_of_version_1() {
    let (repository, other) = (RepositoryId([1; 16]), RepositoryId([2; 16]));
    for database in Beneath::both().await {
        database.migrate(&MIGRATIONS[..1]).await.unwrap();
        for (id, repository, kind) in [
            (1, repository, "repository.create"),
            (2, repository, "image.push"),
            (3, repository, "layer.push"),
            (4, other, "image.push"),
            (5, repository, "image.push"),
        ] {
            let id = Value::Blob(vec![id; 16]);
            let row = [id, "000000000000".into(), "us-east-1".into(), repository.into(), kind.into(), "root".into()];
            let rest = [Value::Blob(vec![1; 33]), "v1".into(), "{}".into(), 7.into()];
            database.query(EVENT_INSERT_1, &[row.as_slice(), &rest].concat()).await;
        }
        let db = database.open().await;
        let ids = |before: Option<EventId>, limit| {
            let db = db.clone();
            async move {
                let rows = db.read(move |tx| tx.event_pushes(repository, before, limit)).await.unwrap();
                rows.iter().map(|row| (row.id.0[0], row.source.clone(), row.at)).collect::<Vec<_>>()
            }
        };
        assert_eq!(ids(None, 10).await, [(5, None, 7), (2, None, 7)]);
        assert_eq!(ids(None, 1).await, [(5, None, 7)]);
        assert_eq!(ids(Some(EventId([5; 16])), 10).await, [(2, None, 7)]);
        assert_eq!(db.read(move |tx| tx.push_refusal_list(repository, None, 10)).await.unwrap(), []);
        db.close().await;
        database.remove().await;
    }
}

/// A layer as version 3 wrote it.
const LAYER_INSERT_3: &str = "INSERT INTO layer (id, account, region, encryption, digest, size, storage_class, created_at, \
    unreferenced_since) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
/// Lists the tables whose pages keep space for new versions of rows.
const POSTGRES_ROOMY: &str =
    "SELECT CAST(relname AS TEXT) FROM pg_class WHERE 'fillfactor=60' = ANY (reloptions) ORDER BY 1";

#[tokio::test]
async fn version_4_keeps_the_grace_of_layers_and_drops_its_index() {
    for database in Beneath::both().await {
        database.migrate(&MIGRATIONS[..3]).await.unwrap();
        let unreferenced = "layer.layer_unreferenced".to_owned();
        assert!(database.schema().await.contains(&unreferenced));
        let names = ["000000000000".into(), "us-east-1".into(), "AES256".into()];
        let rest = [Value::Blob(vec![1; 33]), 10.into(), "STANDARD".into(), 5.into(), 7.into()];
        let row = [&[Value::Blob(vec![1; 16])], names.as_slice(), rest.as_slice()].concat();
        database.query(LAYER_INSERT_3, &row).await;
        let db = database.open().await;
        let layer = db.look_up(crate::records::layer::by_id(LayerId([1; 16]))).await.unwrap().unwrap();
        assert_eq!((layer.size, layer.unreferenced_since), (10, Some(7)));
        assert!(!database.schema().await.contains(&unreferenced));
        if let Beneath::Postgres(_) = database {
            assert_eq!(database.query(POSTGRES_ROOMY, &[]).await, ["layer", "repository_layer"]);
        }
        db.close().await;
        database.remove().await;
    }
}

/// A session as version 4 wrote it.
const UPLOAD_INSERT_5: &str = "INSERT INTO upload (id, account, region, repository_id, state, turn, received, parts, small_part, \
    location, hash_state, engine_state, digest, expires_at) \
    VALUES ($1, $2, $3, $4, 'open', 1, 7, 0, 0, $5, $6, $6, NULL, 9)";

#[tokio::test]
async fn in_version_6_layers_and_sessions_of_version_5_are_undamaged_and_have_no_checksums() {
    for database in Beneath::both().await {
        database.migrate(&MIGRATIONS[..4]).await.unwrap();
        let id = || Value::Blob(vec![1; 16]);
        let names = ["000000000000".into(), "us-east-1".into()];
        let rest = ["AES256".into(), Value::Blob(vec![1; 33]), 10.into(), "STANDARD".into(), 5.into(), 7.into()];
        database.query(LAYER_INSERT_3, &[&[id()], names.as_slice(), rest.as_slice()].concat()).await;
        let rest = [id(), id(), Value::Blob(vec![2])];
        database.query(UPLOAD_INSERT_5, &[&[id()], names.as_slice(), rest.as_slice()].concat()).await;
        let db = database.open().await;
        let (layer, content) =
            db.look_up(crate::records::layer::by_id_to_read(LayerId([1; 16]))).await.unwrap().unwrap();
        assert_eq!((layer.size, layer.damaged_at, content.checksums), (10, None, None));
        let upload = db.look_up(crate::records::upload::by_id(UploadId([1; 16]))).await.unwrap().unwrap();
        assert_eq!((upload.received, upload.checksums), (7, None));
        db.close().await;
        database.remove().await;
    }
}

/// A job as version 6 wrote it.
const JOB_INSERT_6: &str = "INSERT INTO job (kind, key, due_at, wanted, attempts, claimed_until, last_error) \
    VALUES ($1, $2, $3, 1, $4, $5, $6)";

#[tokio::test]
async fn in_version_7_jobs_of_version_6_wait_or_keep_their_claims() {
    for database in Beneath::both().await {
        database.migrate(&MIGRATIONS[..6]).await.unwrap();
        let row = |key: &str, due: i64, attempts: i64, until: Option<i64>, error: Option<&str>| {
            ["upload_expire".into(), key.into(), due.into(), attempts.into(), until.into(), error.into()]
        };
        database.query(JOB_INSERT_6, &row("waits", 70, 2, None, Some("a fault"))).await;
        // This job was enqueued again while it ran, so it was due before its claim ended.
        database.query(JOB_INSERT_6, &row("runs", 40, 0, Some(90), None)).await;
        let db = database.open().await;
        let shown = |row: crate::records::job::JobRow| {
            (row.key, row.due_at, row.attempts, row.claimed_until, row.last_error, row.dead_at, row.progress)
        };
        let rows = db.read(|tx| tx.job_list(false, ("", ""), 10)).await.unwrap();
        let (runs, waits) = ("runs".to_owned(), "waits".to_owned());
        assert_eq!(
            rows.into_iter().map(shown).collect::<Vec<_>>(),
            [
                (runs.clone(), 90, 0, Some(90), None, None, None),
                (waits.clone(), 70, 2, None, Some("a fault".to_owned()), None, None)
            ]
        );
        let claim = |now: i64| db.claim(move |tx| tx.job_claim("upload_expire", [1; 16], now, 1000));
        assert_eq!(claim(69).await.unwrap(), None);
        assert_eq!(claim(89).await.unwrap().unwrap().key, waits);
        assert_eq!(claim(89).await.unwrap(), None);
        assert_eq!(claim(90).await.unwrap().unwrap().key, runs);
        db.close().await;
        database.remove().await;
    }
}

/// A repository and a setting as version 7 wrote them.
const REPOSITORY_INSERT_7: &str = "INSERT INTO repository (id, account, region, name, created_at, tag_mutability, \
    mutability_filters, scan_on_push, encryption, protected, deleted_at) \
    VALUES ($1, $2, $3, $4, 5, 'MUTABLE', '', 0, 'AES256', 0, NULL)";
const SETTING_INSERT_7: &str =
    "INSERT INTO account_setting (account, region, name, value, updated_at) VALUES ($1, $2, $3, $4, 5)";

#[tokio::test]
async fn the_repositories_of_version_7_have_no_policy_in_version_8_and_may_get_one() {
    for database in Beneath::both().await {
        database.migrate(&MIGRATIONS[..7]).await.unwrap();
        let registry = crate::records::RegistryKey::private("000000000000", "us-east-1");
        let key = [registry.account.as_str().into(), registry.region().into()];
        let id = RepositoryId([1; 16]);
        database.query(REPOSITORY_INSERT_7, &[&[id.into()], key.as_slice(), &["app".into()]].concat()).await;
        let setting = ["REGISTRY_POLICY_SCOPE".into(), "V1".into()];
        database.query(SETTING_INSERT_7, &[key.as_slice(), &setting].concat()).await;
        let db = database.open().await;
        let found = |name: &str| db.look_up(crate::records::policy::of_resource(&registry, name));
        let bare = found("app").await.unwrap().unwrap();
        assert_eq!((bare.repository, bare.registry, bare.scope.as_deref()), (None, None, Some("V1")));
        let put = registry.clone();
        db.write(move |tx| {
            tx.repository_policy_put(id, "{1}", 6)?;
            tx.repository_policy_put(id, "{2}", 7)?;
            tx.registry_policy_put(&put, "{3}", 7)
        })
        .await
        .unwrap();
        let texts = |row: crate::records::policy::ResourcePolicyRow| (row.repository, row.registry);
        let (own, shared) = (Some("{2}".to_owned()), Some("{3}".to_owned()));
        assert_eq!(texts(found("app").await.unwrap().unwrap()), (own, shared.clone()));
        assert_eq!(texts(found("other").await.unwrap().unwrap()), (None, shared.clone()));
        db.write(move |tx| tx.repository_delete(id, 8)).await.map_err(|error: Error| error).unwrap();
        assert_eq!(texts(found("app").await.unwrap().unwrap()), (None, shared));
        db.close().await;
        database.remove().await;
    }
}
