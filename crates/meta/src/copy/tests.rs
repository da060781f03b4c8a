//! Tests that each kind of copy has every table and every column.

use super::{LEFT_OUT, RecordsFile, Table};
use crate::database::Database;
use crate::sqlite::copy;
use crate::{Db, Error, PostgresConfig, SqliteConfig, Value};
use std::path::Path;

/// The number of rows in each table.
const ROWS: usize = super::ROWS * 2 + 3;

async fn sqlite(path: &Path) -> Db {
    Db::sqlite(SqliteConfig { path: path.to_owned(), now_us: 7 }).await.unwrap()
}

async fn postgres(database: &Database) -> Db {
    let timeout = std::time::Duration::from_secs(10);
    let config = PostgresConfig { url: database.url(), max_connections: 2, timeout, now_us: 7 };
    Db::postgres(config).await.unwrap()
}

/// Returns a value that is unique in its column. In nullable columns every second value is NULL.
fn value(kind: &str, may_be_null: bool, row: usize, column: usize) -> Value {
    match kind {
        _ if may_be_null && row % 2 == 1 => Value::Null,
        "INTEGER" => Value::I64(i64::try_from(row * 100 + column).unwrap() - 5),
        "TEXT" => Value::Text(format!("{row}é'\"\\\t\n{column}")),
        "BLOB" => Value::Blob(
            (0..20).map(|byte| u8::try_from((row + column + byte) % 256).unwrap()).chain(row.to_be_bytes()).collect(),
        ),
        other => panic!("a copy knows no {other}"),
    }
}

const NOT_NULL: &str = "SELECT \"notnull\" = 1 OR pk > 0 FROM pragma_table_info($1) WHERE name = $2";

/// Fills every table of the schema, including those that are not copied.
async fn fill(db: &Db, schema: &Path, tables: &[Table]) {
    let mut file = RecordsFile::open(schema).unwrap();
    for table in tables {
        let places = (1..=table.columns.len()).map(|place| format!("${place}")).collect::<Vec<_>>().join(", ");
        let sql = format!("INSERT INTO {} ({}) VALUES ({places})", table.name, table.column_list());
        let sql: &'static str = sql.leak();
        let nullable: Vec<bool> = table
            .columns
            .iter()
            .map(|column| {
                let rows = file.read(|tx| tx.query(NOT_NULL, &[(&table.name).into(), (&column.name).into()])).unwrap();
                rows[0].get::<i64>(0).unwrap() == 0
            })
            .collect();
        let rows: Vec<Vec<Value>> = (0..ROWS)
            .map(|row| {
                let columns = table.columns.iter().zip(&nullable).enumerate();
                columns.map(|(number, (column, null))| value(&column.kind, *null, row, number)).collect()
            })
            .collect();
        let inserted = db.write(move |tx| rows.iter().try_for_each(|row| tx.execute(sql, row).map(drop))).await;
        inserted.unwrap_or_else(|error: Error| panic!("{}: {error:?}", table.name));
    }
}

/// Returns all rows of a file, in order, in their debug form.
fn rows(path: &Path, tables: &[Table]) -> Vec<String> {
    let mut file = RecordsFile::open(path).unwrap();
    let mut all = Vec::new();
    for table in tables {
        let sql: &'static str = format!("SELECT {} FROM {}", table.column_list(), table.name).leak();
        let found = file.read(|tx| tx.query(sql, &[])).unwrap();
        all.extend(found.iter().map(|row| format!("{}: {row:?}", table.name)));
    }
    all.sort();
    all
}

#[tokio::test]
async fn a_copy_between_any_engines_has_every_row_and_column_of_every_table() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let tables = copy::make(&path("schema"), 1).unwrap();
    assert!(tables.len() > 15, "{}", tables.len());
    let db = sqlite(&path("ecru.db")).await;
    fill(&db, &path("schema"), &tables).await;
    let expected = {
        db.copy_to(path("first"), 7).await.unwrap();
        rows(&path("first"), &tables)
    };
    assert_eq!(expected.len(), tables.len() * ROWS);
    assert_eq!(rows(&path("ecru.db"), &tables), expected);
    let Some(database) = Database::create().await else { return };
    let there = postgres(&database).await;
    there.fill_from(path("first")).await.unwrap();
    // An existing copy is replaced.
    std::fs::write(path("second"), "half").unwrap();
    there.copy_to(path("second"), 7).await.unwrap();
    assert_eq!(rows(&path("second"), &tables), expected);
    assert!(matches!(there.fill_from(path("first")).await, Err(Error::Occupied)));
    // The copy is a single file.
    assert!(!path("second-wal").exists() && !path("second-journal").exists());
    there.close().await;
    database.remove().await;
}

const TAG: &str = "INSERT INTO upload (id, account, region, repository_id, state, turn, received, parts, small_part, hash_state, \
    engine_state, expires_at) VALUES ($1, 'a', 'r', $1, 'open', 0, 0, 0, 0, $1, $1, 0)";
const JOBS: &str = "INSERT INTO job (kind, key, due_at, wanted, attempts) VALUES ('upload_expire', '1', 0, 1, 0), ('other', '1', 0, 1, 0)";
const UPLOADS: &str = "SELECT count(*) FROM upload";
const KINDS: &str = "SELECT kind FROM job";

#[tokio::test]
async fn upload_sessions_and_their_jobs_are_left_out_and_the_tables_to_leave_out_exist() {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let db = sqlite(&path("ecru.db")).await;
    db.write(|tx| tx.execute(TAG, &[[1; 16].into()])).await.unwrap();
    db.write(|tx| tx.execute(JOBS, &[])).await.unwrap();
    db.copy_to(path("copy"), 7).await.unwrap();
    let mut copied = RecordsFile::open(&path("copy")).unwrap();
    assert_eq!(copied.read(|tx| tx.query(UPLOADS, &[])).unwrap()[0].get::<i64>(0).unwrap(), 0);
    let kinds = |file: &mut RecordsFile| {
        let rows = file.read(|tx| tx.query(KINDS, &[])).unwrap();
        rows.iter().map(|row| row.get::<String>(0).unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(kinds(&mut copied), ["other"]);
    for name in LEFT_OUT {
        let sql: &'static str = format!("SELECT count(*) FROM {name}").leak();
        copied.read(|tx| tx.query(sql, &[])).unwrap_or_else(|error| panic!("{name}: {error:?}"));
    }
    assert_eq!(db.read(|tx| tx.query(UPLOADS, &[])).await.unwrap()[0].get::<i64>(0).unwrap(), 1);
    let Some(database) = Database::create().await else { return };
    let there = postgres(&database).await;
    there.write(|tx| tx.execute(JOBS, &[])).await.unwrap();
    there.copy_to(path("exported"), 7).await.unwrap();
    assert_eq!(kinds(&mut RecordsFile::open(&path("exported")).unwrap()), ["other"]);
    there.close().await;
    database.remove().await;
}

const ACCOUNT: &str = "INSERT INTO account (id, created_at) VALUES ($1, 0)";
const ACCOUNTS: &str = "SELECT count(*) FROM account";

#[tokio::test]
async fn a_copy_has_all_earlier_commits_while_others_write() {
    let directory = tempfile::tempdir().unwrap();
    let mut stores = vec![(sqlite(&directory.path().join("ecru.db")).await, None)];
    if let Some(database) = Database::create().await {
        stores.push((postgres(&database).await, Some(database)));
    }
    for (db, database) in stores {
        let (stop, mut stopped) = tokio::sync::watch::channel(false);
        let (count, mut counted) = tokio::sync::watch::channel(0_i64);
        let writer = db.clone();
        let writing = tokio::spawn(async move {
            for number in 1.. {
                let id = format!("{number:012}");
                writer.write(move |tx| tx.execute(ACCOUNT, &[(&id).into()])).await.unwrap();
                count.send_replace(number);
                if *stopped.borrow_and_update() {
                    break;
                }
            }
        });
        for round in 1..4 {
            counted.wait_for(|count| *count >= round * 50).await.unwrap();
            let before = *counted.borrow();
            let path = directory.path().join("copy");
            db.copy_to(path.clone(), 7).await.unwrap();
            let mut copied = RecordsFile::open(&path).unwrap();
            copied.check().unwrap();
            let found = copied.read(|tx| tx.query(ACCOUNTS, &[])).unwrap()[0].get::<i64>(0).unwrap();
            assert!(found >= before, "{found} of {before}");
        }
        stop.send_replace(true);
        writing.await.unwrap();
        db.close().await;
        if let Some(database) = database {
            database.remove().await;
        }
    }
}

#[tokio::test]
async fn a_database_is_filled_completely_or_not_at_all() {
    let Some(database) = Database::create().await else { return };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("copy");
    drop(copy::make(&path, 1).unwrap());
    let file = rusqlite::Connection::open(&path).unwrap();
    file.execute_batch("INSERT INTO account (id, created_at) VALUES ('1', 1)").unwrap();
    // PostgreSQL's text can't contain NUL, so the second table fails.
    file.execute("INSERT INTO store (one, id, created_at) VALUES (1, x'00', 1)", []).unwrap();
    file.execute("INSERT INTO resource_tag (repository_id, key, value) VALUES (x'00', 'a' || char(0), '')", [])
        .unwrap();
    drop(file);
    let db = postgres(&database).await;
    let failed = db.fill_from(path).await;
    assert!(matches!(failed, Err(Error::Store(..))), "{failed:?}");
    assert_eq!(db.read(|tx| tx.query(ACCOUNTS, &[])).await.unwrap()[0].get::<i64>(0).unwrap(), 0);
    db.close().await;
    database.remove().await;
}

#[tokio::test]
async fn the_copy_of_a_damaged_database_fails() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("ecru.db");
    let db = sqlite(&path).await;
    for number in 0..2000 {
        let id = format!("{number:0500}");
        db.write(move |tx| tx.execute(ACCOUNT, &[(&id).into()])).await.unwrap();
    }
    db.close().await;
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 4096 / 2 * 4096;
    bytes[middle..middle + 3 * 4096].fill(0x5a);
    std::fs::write(&path, bytes).unwrap();
    let db = Db::attach_sqlite(path).await.unwrap();
    let copied = db.copy_to(directory.path().join("copy"), 7).await;
    assert!(matches!(copied, Err(Error::Corrupt(_))), "{copied:?}");
    assert!(copied.unwrap_err().to_string().contains("restore a backup"));
}
