//! The differences between the two engines' SQL.

/// Makes a claim skip rows that other claims have locked. SQLite has one writer, so it needs no such clause, and does not know it.
const SKIP_LOCKED: &str = " FOR UPDATE SKIP LOCKED";

/// Rewrites a statement for SQLite: `$N` becomes `?N`, except in quotes, and `FOR UPDATE SKIP LOCKED` is removed.
///
/// SQLite reads `$1` as a name, and numbers names by their first appearance.
pub(crate) fn sqlite_statement(sql: &str) -> String {
    let sql = sql.replace(SKIP_LOCKED, "");
    let mut text = String::with_capacity(sql.len());
    let mut quote = None;
    let mut rest = sql.chars().peekable();
    while let Some(c) = rest.next() {
        match quote {
            Some(open) if c == open => quote = None,
            None if c == '\'' || c == '"' => quote = Some(c),
            _ => {}
        }
        let parameter = c == '$' && quote.is_none() && rest.peek().is_some_and(char::is_ascii_digit);
        text.push(if parameter { '?' } else { c });
    }
    text
}

/// Starts a line of the schema that is only for PostgreSQL. To SQLite it is a comment.
const POSTGRES_ONLY: &str = "--postgresql ";

/// Rewrites the schema for PostgreSQL: types are replaced as whole words, and text is ordered by its bytes, as in SQLite.
pub(crate) fn postgres_schema(sql: &str) -> String {
    let mut text = String::with_capacity(sql.len() + sql.len() / 8);
    let mut word = String::new();
    for c in sql.chars().chain(std::iter::once('\n')) {
        if c.is_ascii_alphanumeric() || c == '_' {
            word.push(c);
            continue;
        }
        text.push_str(match word.as_str() {
            "INTEGER" => "BIGINT",
            "BLOB" => "BYTEA",
            "TEXT" => "TEXT COLLATE \"C\"",
            other => other,
        });
        word.clear();
        text.push(c);
    }
    text.replace(") STRICT;", ");").replace(POSTGRES_ONLY, "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn parameters_are_bound_by_their_number_in_any_order(places in prop::collection::vec(1..9_i64, 1..20)) {
            let columns: Vec<String> = places.iter().map(|number| format!("'$7', ${number}")).collect();
            let sql = sqlite_statement(&format!("SELECT {}", columns.join(", ")));
            let connection = rusqlite::Connection::open_in_memory().unwrap();
            let mut prepared = connection.prepare(&sql).unwrap();
            let values = (1..=*places.iter().max().unwrap()).map(|number| number * 100);
            let found = prepared
                .query_one(rusqlite::params_from_iter(values), |row| {
                    (0..places.len()).map(|column| row.get(2 * column + 1)).collect::<Result<Vec<i64>, _>>()
                })
                .unwrap();
            let expected: Vec<i64> = places.iter().map(|number| number * 100).collect();
            prop_assert_eq!(found, expected);
        }
    }

    #[test]
    fn parameters_are_numbered_for_sqlite_and_quoted_text_is_unchanged() {
        for (given, expected) in [
            ("UPDATE t SET n = $2 WHERE id = $1", "UPDATE t SET n = ?2 WHERE id = ?1"),
            ("SELECT '$1', \"$2\", $12", "SELECT '$1', \"$2\", ?12"),
            ("SELECT 'it''s $1', $1", "SELECT 'it''s $1', ?1"),
            ("SELECT '\"', $1", "SELECT '\"', ?1"),
            ("SELECT $x", "SELECT $x"),
            ("SELECT n FROM t LIMIT 1 FOR UPDATE SKIP LOCKED", "SELECT n FROM t LIMIT 1"),
        ] {
            assert_eq!(sqlite_statement(given), expected);
        }
    }

    #[test]
    fn whole_words_of_the_schema_are_rewritten_for_postgresql() {
        for (given, expected) in [
            ("n INTEGER NOT NULL,", "n BIGINT NOT NULL,\n"),
            ("INTEGER_NOT BLOBS b BLOB", "INTEGER_NOT BLOBS b BYTEA\n"),
            ("t TEXT,", "t TEXT COLLATE \"C\",\n"),
            ("-- a\n--postgresql ALTER TABLE t SET (x = 1);", "-- a\nALTER TABLE t SET (x = 1);\n"),
            ("CREATE TABLE t (\n    n INTEGER\n) STRICT;", "CREATE TABLE t (\n    n BIGINT\n);\n"),
        ] {
            assert_eq!(postgres_schema(given), expected);
        }
    }
}
