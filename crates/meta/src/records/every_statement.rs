//! Checks every statement of every record on both engines: it can be prepared, and its plan uses indexes.

use super::{
    access_key, account, collect, deleted, event, iam, iam_policy, image, job, layer, policy, push_refusal, repository,
    session, store, tag, upload,
};
use crate::database::Database;
use crate::{Db, PostgresConfig, SqliteConfig, Value};
use std::collections::BTreeSet;
use tokio_postgres::types::Type;

type Statements = &'static [(&'static str, &'static str)];

const FILES: &[(&str, Statements)] = &[
    ("access_key", access_key::ALL),
    ("account", account::ALL),
    ("collect", collect::ALL),
    ("deleted", deleted::ALL),
    ("event", event::ALL),
    ("iam", iam::ALL),
    ("iam_policy", iam_policy::ALL),
    ("image", image::ALL),
    ("job", job::ALL),
    ("layer", layer::ALL),
    ("policy", policy::ALL),
    ("push_refusal", push_refusal::ALL),
    ("repository", repository::ALL),
    ("session", session::ALL),
    ("store", store::ALL),
    ("tag", tag::ALL),
    ("upload", upload::ALL),
];

/// Statements that may read a whole table or index, each with the reason.
const SCANS: &[(&str, &str)] = &[
    ("ROOT_KEY_COUNT", "the table holds a row per rotation of the root key"),
    ("STORE_FIRST_LOCATION", "the first row of an index"),
    ("STORE_LAST_LOCATION", "the last row of an index"),
    ("STORE_LOCATED_TOTAL", "for a backup, which reads all layers"),
    ("STORE_UNMARK", "for a restore, which has read all layers"),
    ("LAYER_TOTAL", "for `ecru verify`, which reads all layers"),
    ("ROOT_KEYS_USED", "a start reads which root keys sealed the secrets of access keys and sessions"),
    ("ACCOUNT_DELETE_SESSIONS", "accounts are deleted seldom, and sessions are deleted when their tokens have expired"),
];

/// Statements that may sort rows, each with the reason. Only SQLite's plan is checked, because PostgreSQL chooses to sort small results.
const SORTS: &[(&str, &str)] = &[
    ("IAM_CONTAINER_LIST", "the ten groups of a user, or the instance profiles of a role"),
    ("IAM_MEMBER_LIST", "the users of a group, at most those of an account"),
    ("IMAGE_PARENTS", "the few indexes that list one image"),
    ("ROOT_KEYS_USED", "a start reads which root keys sealed the secrets of access keys and sessions"),
];

fn statements() -> impl Iterator<Item = (&'static str, &'static str)> {
    FILES.iter().flat_map(|(_, all)| all.iter().copied())
}

fn excepted(list: &[(&str, &str)], name: &str) -> bool {
    list.iter().any(|(excepted, _)| *excepted == name)
}

#[test]
fn every_file_of_records_is_checked_and_every_exception_exists() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/src/records");
    let names = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let files: BTreeSet<String> = names.filter_map(|name| name.strip_suffix(".rs").map(str::to_owned)).collect();
    let listed = FILES.iter().map(|(name, _)| (*name).to_owned());
    let expected: BTreeSet<String> = listed.chain(["every_statement".to_owned()]).collect();
    assert_eq!(files, expected);
    for (name, _) in SCANS.iter().chain(SORTS) {
        assert!(statements().any(|(existing, _)| existing == *name), "{name} is no statement");
    }
}

#[tokio::test]
async fn on_sqlite_every_statement_can_be_prepared_and_uses_indexes() {
    let directory = tempfile::tempdir().unwrap();
    let db = Db::sqlite(SqliteConfig { path: directory.path().join("ecru.db"), now_us: 0 }).await.unwrap();
    let mut faults = Vec::new();
    for (name, sql) in statements() {
        let explain: &'static str = format!("EXPLAIN QUERY PLAN {sql}").leak();
        let params = vec![Value::Null; parameters(sql)];
        let plan = db.read(move |tx| tx.query(explain, &params)).await;
        let plan = plan.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        let plan: Vec<String> = plan.iter().map(|row| row.get(3).unwrap()).collect();
        let scans = plan.iter().any(|step| scans_table(step, &plan));
        let sorts = plan.iter().any(|step| step.contains("TEMP B-TREE"));
        faults.extend(fault(name, scans, sorts, &plan));
    }
    db.close().await;
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[tokio::test]
async fn on_postgresql_every_statement_can_be_prepared_and_uses_indexes() {
    let Some(database) = Database::create().await else { return };
    let url = database.url();
    let db = Db::postgres(PostgresConfig {
        url: url.clone(),
        max_connections: 1,
        timeout: std::time::Duration::from_secs(10),
        now_us: 0,
    })
    .await
    .unwrap();
    let client = crate::postgres::beneath::connect(&url).await.unwrap();
    let mut faults = Vec::new();
    for (name, sql) in statements() {
        let prepared = client.client.prepare(sql).await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        let params: Vec<Value> = prepared.params().iter().map(|ty| sample(name, ty)).collect();
        let explain: &'static str = format!("EXPLAIN {sql}").leak();
        let plan = db.write(move |tx| tx.query(explain, &params)).await;
        let plan = plan.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        let plan: Vec<String> = plan.iter().map(|row| row.get(0).unwrap()).collect();
        let scans = plan.iter().any(|step| step.contains("Seq Scan"));
        faults.extend(fault(name, scans, false, &plan));
    }
    drop(client);
    db.close().await;
    database.remove().await;
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Returns true if a step of SQLite's plan reads all rows of a table, not of a subquery or of the statement's own values.
fn scans_table(step: &str, plan: &[String]) -> bool {
    let Some(name) = step.strip_prefix("SCAN ") else { return false };
    // A statement without FROM: its subqueries are steps of their own.
    name != "CONSTANT ROW"
        && !name.ends_with("VALUES CLAUSE")
        && !plan.iter().any(|other| other.strip_prefix("CO-ROUTINE ") == Some(name))
}

/// Returns the highest number among `$1`, `$2` …
fn parameters(sql: &str) -> usize {
    let numbers = sql.split('$').skip(1).map(|rest| {
        let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        rest[..end].parse().unwrap()
    });
    numbers.max().unwrap_or(0)
}

/// Returns a value of a parameter's type. Fails for a type that `Value` does not support.
fn sample(name: &str, ty: &Type) -> Value {
    match *ty {
        Type::INT8 => 1.into(),
        Type::TEXT => "x".into(),
        Type::BYTEA => vec![1_u8; 16].into(),
        _ => panic!("{name}: a parameter is {ty}"),
    }
}

/// Returns the fault of a statement's plan, if there is one.
fn fault(name: &str, scans: bool, sorts: bool, plan: &[String]) -> Option<String> {
    let what = match (scans, sorts) {
        (true, _) if !excepted(SCANS, name) => "reads a whole table",
        (_, true) if !excepted(SORTS, name) => "sorts",
        _ => return None,
    };
    Some(format!("{name} {what}:\n{}\n", plan.join("\n")))
}
