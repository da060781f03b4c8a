//! Tests that values of every type round-trip, and that both engines order them equally.

use crate::store::{Store, on_both_engines};
use meta::{Error, Row, Value};

const THING_TABLE: &str = "CREATE TABLE thing (id INTEGER PRIMARY KEY, number INTEGER, name TEXT, bytes BLOB) STRICT";
const THING_INSERT: &str = "INSERT INTO thing (id, number, name, bytes) VALUES ($1, $2, $3, $4)";
const THING_LIST: &str = "SELECT number, name, bytes FROM thing ORDER BY id";
const THING_BY_NAME: &str = "SELECT name FROM thing ORDER BY name";
const THING_BEHIND_NAME: &str = "SELECT name FROM thing WHERE name > $1 ORDER BY name LIMIT $2";
const THING_BEHIND_PLACE: &str =
    "SELECT number, bytes FROM thing WHERE (number, bytes) > ($1, $2) ORDER BY number, bytes";
const THING_REORDERED: &str = "UPDATE thing SET number = $2, name = $3 WHERE id = $1 AND number <> $2";
const THING_COUNT: &str = "SELECT count(*), 1 FROM thing";

async fn insert(store: &Store, rows: Vec<[Value; 4]>) {
    let inserted = store.db.write(move |tx| {
        for row in &rows {
            tx.execute(THING_INSERT, row)?;
        }
        Ok::<_, Error>(())
    });
    inserted.await.unwrap();
}

async fn query(store: &Store, sql: &'static str, params: Vec<Value>) -> Vec<Row> {
    store.db.read(move |tx| tx.query(sql, &params)).await.unwrap()
}

on_both_engines! {
    async fn values_of_every_type_and_nulls_in_every_column_round_trip(store: &Store) {
        store.define(THING_TABLE).await;
        let all_bytes: Vec<u8> = (0..=255).collect();
        let given = vec![
            [Value::Null, Value::Null, Value::Null],
            [0.into(), "".into(), Vec::new().into()],
            [i64::MAX.into(), "naïve ☃ 𝄞 'quoted' \"twice\" $1 ?1".into(), all_bytes.into()],
            [i64::MIN.into(), " \n\t".into(), [0_u8; 16].into()],
            [true.into(), "1".into(), vec![0_u8].into()],
        ];
        let rows = given.iter().cloned().zip(1_i64..);
        insert(store, rows.map(|([number, name, bytes], id)| [id.into(), number, name, bytes]).collect()).await;
        let found = query(store, THING_LIST, vec![]).await;
        let found: Vec<[Value; 3]> = found.iter().map(|row| [0, 1, 2].map(|column| any(row, column))).collect();
        assert_eq!(found, given);
    }

    async fn the_error_of_a_column_read_as_another_type_names_its_position(store: &Store) {
        store.define(THING_TABLE).await;
        insert(store, vec![[1.into(), 7.into(), "seven".into(), Value::Null]]).await;
        let row = query(store, THING_LIST, vec![]).await.remove(0);
        assert!(matches!(row.get::<String>(0), Err(Error::Column(0))));
        assert!(matches!(row.get::<i64>(1), Err(Error::Column(1))));
        assert!(matches!(row.get::<Vec<u8>>(2), Err(Error::Column(2))));
        assert!(matches!(row.get::<i64>(3), Err(Error::Column(3))));
        assert_eq!(row.get::<Option<Vec<u8>>>(2).unwrap(), None);
        assert_eq!(row.get::<Option<i64>>(0).unwrap(), Some(7));
    }

    async fn four_mebibytes_round_trip(store: &Store) {
        const SIZE: u32 = 4 * 1024 * 1024;
        store.define(THING_TABLE).await;
        let bytes: Vec<u8> = (0..SIZE).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        insert(store, vec![[1.into(), Value::Null, Value::Null, bytes.clone().into()]]).await;
        let row = query(store, THING_LIST, vec![]).await.remove(0);
        assert!(row.get::<Vec<u8>>(2).unwrap() == bytes, "the bytes differ");
    }

    async fn text_is_ordered_by_its_bytes(store: &Store) {
        store.define(THING_TABLE).await;
        let mut names = ["b", "a", "B", "A", "", "ab", "a-b", "a_b", "a.b", "a/b", "0", "Z", "z", "é", "e", "f", "☃", "a b", "𝄞"];
        insert(store, names.iter().zip(1_i64..).map(|(name, id)| [id.into(), Value::Null, (*name).into(), Value::Null]).collect())
            .await;
        names.sort_unstable();
        let found = |rows: Vec<Row>| rows.iter().map(|row| row.get(0).unwrap()).collect::<Vec<String>>();
        assert_eq!(found(query(store, THING_BY_NAME, vec![]).await), names);
        for (at, name) in names.iter().enumerate() {
            let page = found(query(store, THING_BEHIND_NAME, vec![(*name).into(), 3.into()]).await);
            let expected: Vec<&str> = names.iter().skip(at + 1).take(3).copied().collect();
            assert_eq!(page, expected, "behind {name:?}");
        }
    }

    async fn pairs_are_compared_in_order_and_bytes_as_unsigned(store: &Store) {
        store.define(THING_TABLE).await;
        let places: Vec<(i64, Vec<u8>)> =
            vec![(1, vec![]), (1, vec![1]), (1, vec![1, 0]), (1, vec![0x7f]), (1, vec![0x80]), (1, vec![0xff]), (2, vec![])];
        let rows = places.iter().rev().zip(1_i64..);
        insert(store, rows.map(|((number, bytes), id)| [id.into(), (*number).into(), Value::Null, bytes.into()]).collect()).await;
        for (at, (number, bytes)) in places.iter().enumerate() {
            let rows = query(store, THING_BEHIND_PLACE, vec![(*number).into(), bytes.into()]).await;
            let found: Vec<(i64, Vec<u8>)> = rows.iter().map(|row| (row.get(0).unwrap(), row.get(1).unwrap())).collect();
            assert_eq!(found, places[at + 1..], "behind {number} {bytes:?}");
        }
    }

    async fn parameters_are_bound_by_number_not_by_position(store: &Store) {
        store.define(THING_TABLE).await;
        insert(store, vec![[1.into(), 10.into(), "a".into(), Value::Null], [2.into(), 20.into(), "b".into(), Value::Null]]).await;
        let update = |id: i64, number: i64| {
            store.db.write(move |tx| tx.execute(THING_REORDERED, &[id.into(), number.into(), "new".into()]))
        };
        assert_eq!(update(2, 1).await.unwrap(), 1);
        assert_eq!(update(2, 1).await.unwrap(), 0, "nothing was left to change");
        assert_eq!(update(3, 1).await.unwrap(), 0);
        let rows = query(store, THING_LIST, vec![]).await;
        let found: Vec<(i64, String)> = rows.iter().map(|row| (row.get(0).unwrap(), row.get(1).unwrap())).collect();
        assert_eq!(found, [(10, "a".to_owned()), (1, "new".to_owned())]);
    }

    async fn counts_and_constants_are_whole_numbers(store: &Store) {
        store.define(THING_TABLE).await;
        insert(store, vec![[1.into(), Value::Null, Value::Null, Value::Null]]).await;
        let row = query(store, THING_COUNT, vec![]).await.remove(0);
        assert_eq!((row.get::<i64>(0).unwrap(), row.get::<i64>(1).unwrap()), (1, 1));
    }

    async fn text_with_a_nul_is_refused_on_both_engines(store: &Store) {
        store.define(THING_TABLE).await;
        let insert = |name: &'static str| {
            store.db.write(move |tx| tx.execute(THING_INSERT, &[1.into(), Value::Null, name.into(), Value::Null]))
        };
        let outcome = insert("a\0b").await;
        assert!(matches!(outcome, Err(Error::Store(..))), "{outcome:?}");
        assert_eq!(insert("ab").await.unwrap(), 1);
    }
}

/// Returns a column of any type.
fn any(row: &Row, column: usize) -> Value {
    None.or_else(|| row.get::<i64>(column).ok().map(Value::from))
        .or_else(|| row.get::<String>(column).ok().map(Value::from))
        .or_else(|| row.get::<Vec<u8>>(column).ok().map(Value::from))
        .unwrap_or_else(|| {
            assert_eq!(row.get::<Option<i64>>(column).unwrap(), None);
            Value::Null
        })
}
