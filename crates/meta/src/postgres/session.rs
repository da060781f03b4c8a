//! A transaction's statements, on one connection.
use super::fault::{self, Class};
use crate::error::statement;
use crate::{Error, Row, Value};
use deadpool_postgres::Object;
use tokio::runtime::Handle;
use tokio_postgres::types::{ToSql, Type};

pub(crate) struct Session {
    runtime: Handle,
    client: Object,
    /// Why a statement of the transaction failed, if one did.
    pub(super) fault: Option<Class>,
    /// Whether the connection may be in a transaction that could not be ended.
    broken: bool,
}

impl Session {
    pub(super) fn new(runtime: Handle, client: Object) -> Session {
        Session { runtime, client, fault: None, broken: false }
    }

    /// Runs BEGIN, COMMIT or ROLLBACK.
    pub(super) fn command(&mut self, sql: &'static str) -> Result<(), (Class, Error)> {
        let done = self.runtime.block_on(self.client.batch_execute(sql));
        done.map_err(|error| {
            let class = fault::class(&error);
            self.broken |= class != Class::Conflict;
            (class, fault::error(sql, error))
        })
    }

    /// Gives the connection back to its pool, or closes it if its state is unknown.
    pub(super) fn end(self) {
        if self.broken {
            self.discard();
        }
    }

    /// Closes the connection.
    pub(super) fn discard(self) {
        drop(Object::take(self.client));
    }

    pub(crate) fn query(&mut self, sql: &'static str, params: &[Value]) -> Result<Vec<Row>, Error> {
        let rows = self.runtime.block_on(async {
            let prepared = self.client.prepare_cached(sql).await?;
            self.client.query(&prepared, &borrowed(params)).await
        });
        let rows = rows.map_err(|error| self.failed(sql, error))?;
        rows.iter()
            .map(|row| values(sql, row))
            .collect::<Result<_, _>>()
            .inspect_err(|_| self.fault = Some(Class::Other))
    }

    pub(crate) fn execute(&mut self, sql: &'static str, params: &[Value]) -> Result<u64, Error> {
        let changed = self.runtime.block_on(async {
            let prepared = self.client.prepare_cached(sql).await?;
            self.client.execute(&prepared, &borrowed(params)).await
        });
        changed.map_err(|error| self.failed(sql, error))
    }

    fn failed(&mut self, sql: &str, error: tokio_postgres::Error) -> Error {
        self.fault = Some(fault::class(&error));
        fault::error(&statement(sql), error)
    }
}

fn borrowed(params: &[Value]) -> Vec<&(dyn ToSql + Sync)> {
    params.iter().map(|param| param as &(dyn ToSql + Sync)).collect()
}

fn values(sql: &str, row: &tokio_postgres::Row) -> Result<Row, Error> {
    let column = |index: usize| {
        row.try_get::<_, Value>(index).map_err(|_| match row.columns()[index].type_() {
            &Type::NUMERIC => Error::misuse(sql, "a column is numeric: cast it to BIGINT"),
            _ => Error::Column(index),
        })
    };
    (0..row.len()).map(column).collect::<Result<_, _>>().map(Row)
}
