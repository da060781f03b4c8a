//! A connection, and the statements of a transaction on it.
//!
//! The connection has its own runtime, which the transaction's thread drives while it waits. So an answer of the server wakes only this
//! thread. If a task of the main runtime drove the connection, each statement would cost three more wake-ups.
//!
//! Statements whose answers are not needed yet are sent together with the next one whose answer is awaited, in one write. BEGIN is sent
//! with the first statement. Statements whose answers are never needed are sent with COMMIT at the latest.

use super::connect::{self, Link, Target};
use super::fault::{self, Class};
use crate::error::statement;
use crate::statement::Answer;
use crate::{Error, Row, Value};
use std::borrow::Cow;
use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;
use tokio::runtime::Runtime;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Statement};

/// The most statements that wait to be sent: those of an image with a hundred layers.
const WAITING: usize = 512;

/// A connection with the state of its current transaction.
pub(crate) struct Session {
    /// `None` only during drop.
    runtime: Option<Runtime>,
    link: Link,
    target: Target,
    /// The statements that the server has prepared, by the address and length of their texts, which are static.
    prepared: HashMap<(usize, usize), Statement>,
    /// The statements that are sent with the next one whose answer is awaited.
    waiting: Vec<Step<'static>>,
    /// The number of the transaction's statements whose answers are needed later.
    asked: usize,
    /// Their answers so far, in order. `None` after an answer was returned.
    answers: Vec<Option<Reply>>,
    /// True if the server has answered in this transaction, which proves that the connection was not lost before.
    answered: bool,
    /// The class of a statement's failure in this transaction.
    pub(super) fault: Option<Class>,
    /// True if the connection may be in a transaction that could not be ended.
    broken: bool,
    /// The round trips of the transaction.
    exchanges: u64,
}

/// One message to the server.
struct Step<'p> {
    sql: &'static str,
    kind: Kind,
    params: Cow<'p, [Value]>,
    /// True if its answer is kept for [`Session::answer`].
    kept: bool,
}

impl Step<'static> {
    fn command(sql: &'static str) -> Step<'static> {
        Step { sql, kind: Kind::Command, params: Cow::Borrowed(&[]), kept: false }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// BEGIN, COMMIT or ROLLBACK.
    Command,
    /// Returns the number of changed rows.
    Execute,
    /// Returns rows.
    Query,
}

/// An answer of the server.
enum Reply {
    Changed(u64),
    Rows(Vec<tokio_postgres::Row>),
}

type Replies = Vec<Result<Reply, tokio_postgres::Error>>;

impl Session {
    /// Connects, and blocks this thread meanwhile.
    pub(super) fn open(target: &Target) -> Result<Session, Error> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime =
            runtime.map_err(|error| Error::Store(connect::CONNECTING.to_owned(), std::sync::Arc::new(error)))?;
        let link = match runtime.block_on(connect::alone(target)) {
            Ok(link) => link,
            Err(error) => {
                // Do not wait for a pending DNS query.
                runtime.shutdown_background();
                return Err(error);
            }
        };
        Ok(Session {
            runtime: Some(runtime),
            link,
            target: target.clone(),
            prepared: HashMap::new(),
            waiting: Vec::new(),
            asked: 0,
            answers: Vec::new(),
            answered: false,
            fault: None,
            broken: false,
            exchanges: 0,
        })
    }

    /// Begins a transaction. BEGIN is sent with the first statement.
    pub(super) fn begin(&mut self, sql: &'static str) {
        self.fault = None;
        self.answered = false;
        self.exchanges = 0;
        self.asked = 0;
        self.answers.clear();
        self.waiting.clear();
        self.waiting.push(Step::command(sql));
    }

    /// Sends the waiting statements if the server has not answered yet in this transaction. So a connection that was lost before is
    /// noticed now, before the commit, when the outcome is still certain. An error rolls the transaction back.
    pub(super) fn settle(&mut self) -> Result<(), (Class, Error)> {
        if self.answered || self.untouched() { Ok(()) } else { self.exchange(None).map(drop) }
    }

    /// Sends the waiting statements and commits. An error rolls the transaction back, unless the connection was lost: then the outcome is
    /// unknown.
    pub(super) fn commit(&mut self) -> Result<(), (Class, Error)> {
        if self.untouched() { Ok(()) } else { self.end("COMMIT") }
    }

    /// Rolls back. If that fails, the connection is not used again, and the server rolls back by itself.
    pub(super) fn roll_back(&mut self) {
        if !self.untouched() && self.is_sound() {
            self.waiting.clear();
            drop(self.end("ROLLBACK"));
        }
    }

    /// Returns true if nothing was sent, and only BEGIN waits to be sent.
    fn untouched(&self) -> bool {
        !self.answered && self.fault.is_none() && self.waiting.len() <= 1
    }

    fn end(&mut self, sql: &'static str) -> Result<(), (Class, Error)> {
        self.waiting.push(Step::command(sql));
        let ended = self.exchange(None).map(drop);
        self.answered = false;
        self.broken |=
            ended.as_ref().is_err_and(|(class, _)| matches!(class, Class::Lost | Class::Late | Class::Other));
        ended
    }

    /// Returns true if the connection can be used for another transaction.
    pub(super) fn is_sound(&self) -> bool {
        !self.broken && !self.link.client.is_closed()
    }

    /// Returns the round trips of the transaction.
    pub(super) fn exchanges(&self) -> u64 {
        self.exchanges
    }

    pub(crate) fn query(&mut self, sql: &'static str, params: &[Value]) -> Result<Vec<Row>, Error> {
        Ok(self.statement(Kind::Query, sql, params)?.rows())
    }

    pub(crate) fn execute(&mut self, sql: &'static str, params: &[Value]) -> Result<u64, Error> {
        Ok(self.statement(Kind::Execute, sql, params)?.changed())
    }

    /// Queues a statement, which is sent with the next one or with COMMIT. If it fails, they fail too.
    pub(crate) fn send(&mut self, sql: &'static str, params: Vec<Value>) -> Result<(), Error> {
        self.wait_with(Step { sql, kind: Kind::Execute, params: Cow::Owned(params), kept: false })
    }

    /// Queues a query. [`Session::answer`] returns its rows by the returned number.
    pub(crate) fn ask_rows(&mut self, sql: &'static str, params: Vec<Value>) -> Result<usize, Error> {
        self.ask(Kind::Query, sql, params)
    }

    /// Queues a change. [`Session::answer`] returns the number of changed rows by the returned number.
    pub(crate) fn ask_changed(&mut self, sql: &'static str, params: Vec<Value>) -> Result<usize, Error> {
        self.ask(Kind::Execute, sql, params)
    }

    fn ask(&mut self, kind: Kind, sql: &'static str, params: Vec<Value>) -> Result<usize, Error> {
        let number = self.asked;
        self.asked += 1;
        self.wait_with(Step { sql, kind, params: Cow::Owned(params), kept: true })?;
        Ok(number)
    }

    /// Returns the answer to a queued statement, once.
    pub(crate) fn answer(&mut self, sql: &'static str, number: usize) -> Result<Answer, Error> {
        if number >= self.answers.len() {
            self.exchange(None).map_err(|failure| self.failed(failure))?;
        }
        let reply = self.answers.get_mut(number).and_then(Option::take);
        self.told(sql, reply)
    }

    fn wait_with(&mut self, step: Step<'static>) -> Result<(), Error> {
        self.waiting.push(step);
        if self.waiting.len() >= WAITING {
            self.exchange(None).map_err(|failure| self.failed(failure))?;
        }
        Ok(())
    }

    fn statement(&mut self, kind: Kind, sql: &'static str, params: &[Value]) -> Result<Answer, Error> {
        let step = Step { sql, kind, params: Cow::Borrowed(params), kept: false };
        let reply = self.exchange(Some(step)).map_err(|failure| self.failed(failure))?;
        self.told(sql, reply)
    }

    fn failed(&mut self, (class, error): (Class, Error)) -> Error {
        self.fault = Some(class);
        error
    }

    fn told(&mut self, sql: &'static str, reply: Option<Reply>) -> Result<Answer, Error> {
        match reply {
            Some(Reply::Changed(rows)) => Ok(Answer::Changed(rows)),
            Some(Reply::Rows(rows)) => {
                let rows = rows.iter().map(|row| values(sql, row)).collect::<Result<_, _>>();
                rows.map(Answer::Rows).inspect_err(|_| self.fault = Some(Class::Other))
            }
            None => Err(Error::misuse(sql, "the server returned no answer")),
        }
    }

    /// Sends the waiting statements and `last`, and waits for all answers. Returns the answer to `last`, or the first error.
    fn exchange(&mut self, last: Option<Step<'_>>) -> Result<Option<Reply>, (Class, Error)> {
        // Prepare the new statements. If that fails, nothing was sent, not even a ROLLBACK, so the connection can't be reused.
        let waiting = std::mem::take(&mut self.waiting);
        let all: Vec<&Step<'_>> = waiting.iter().chain(&last).collect();
        self.prepare(&all).inspect_err(|_| self.broken = true)?;

        // Send all statements in one write, and wait for their answers.
        let (client, prepared) = (&self.link.client, &self.prepared);
        let replies: Replies = match &self.runtime {
            Some(runtime) => {
                let replies = in_order(all.iter().map(|step| run(client, prepared, step)));
                let within = runtime.block_on(self.target.limited("running a transaction", replies));
                within.map_err(|late| (Class::Late, late)).inspect_err(|_| self.broken = true)?
            }
            None => Vec::new(),
        };
        self.answered = true;
        self.exchanges += 1;

        // Keep the answers that are needed later.
        let mut of_last = None;
        for (number, (step, reply)) in all.iter().zip(replies).enumerate() {
            let reply = reply.map_err(|error| (fault::class(&error), fault::error(&statement(step.sql), error)))?;
            if step.kept {
                self.answers.push(Some(reply));
            } else if number >= waiting.len() {
                of_last = Some(reply);
            }
        }
        Ok(of_last)
    }

    /// Prepares the statements that this connection has not prepared yet.
    fn prepare(&mut self, steps: &[&Step<'_>]) -> Result<(), (Class, Error)> {
        let mut new: Vec<&'static str> = Vec::new();
        for step in steps {
            if step.kind != Kind::Command && !self.prepared.contains_key(&key(step.sql)) && !new.contains(&step.sql) {
                new.push(step.sql);
            }
        }
        let Some(runtime) = self.runtime.as_ref().filter(|_| !new.is_empty()) else { return Ok(()) };
        let answers = in_order(new.iter().map(|sql| self.link.client.prepare(sql)));
        let answers = runtime.block_on(self.target.limited("preparing statements", answers));
        let answers = answers.map_err(|late| (Class::Late, late))?;
        for (sql, answer) in new.into_iter().zip(answers) {
            let found = answer.map_err(|error| (fault::class(&error), fault::error(&statement(sql), error)))?;
            self.prepared.insert(key(sql), found);
        }
        Ok(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Dropping a runtime waits for its threads, which is not allowed in an async task.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Returns the key of a statement: the address and length of its static text.
pub(super) fn key(sql: &'static str) -> (usize, usize) {
    (sql.as_ptr().addr(), sql.len())
}

async fn run(
    client: &Client,
    prepared: &HashMap<(usize, usize), Statement>,
    step: &Step<'_>,
) -> Result<Reply, tokio_postgres::Error> {
    let params: Vec<&(dyn ToSql + Sync)> = step.params.iter().map(|param| param as &(dyn ToSql + Sync)).collect();
    match (step.kind, prepared.get(&key(step.sql))) {
        (Kind::Command, _) | (_, None) => client.batch_execute(step.sql).await.map(|()| Reply::Changed(0)),
        (Kind::Execute, Some(prepared)) => client.execute(prepared, &params).await.map(Reply::Changed),
        (Kind::Query, Some(prepared)) => client.query(prepared, &params).await.map(Reply::Rows),
    }
}

/// Runs futures concurrently and returns their results in order. A statement is sent when its future is first polled, so statements are
/// sent in order too.
async fn in_order<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut running: Vec<Pin<Box<F>>> = futures.map(Box::pin).collect();
    let mut results: Vec<Option<F::Output>> = running.iter().map(|_| None).collect();
    let all = poll_fn(|cx| {
        let mut left = false;
        for (future, result) in running.iter_mut().zip(&mut results).filter(|(_, result)| result.is_none()) {
            match future.as_mut().poll(cx) {
                Poll::Ready(output) => *result = Some(output),
                Poll::Pending => left = true,
            }
        }
        if left { Poll::Pending } else { Poll::Ready(()) }
    });
    pin!(all).await;
    results.into_iter().flatten().collect()
}

pub(super) fn values(sql: &str, row: &tokio_postgres::Row) -> Result<Row, Error> {
    let column = |index: usize| {
        row.try_get::<_, Value>(index).map_err(|_| match row.columns()[index].type_() {
            &Type::NUMERIC => Error::misuse(sql, "a column is numeric: cast it to BIGINT"),
            _ => Error::Column(index),
        })
    };
    (0..row.len()).map(column).collect::<Result<_, _>>().map(Row)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[tokio::test]
    async fn futures_start_in_order_and_their_results_are_in_order() {
        let begun = RefCell::new(Vec::new());
        let results = in_order((0..100).map(|number| {
            let begun = &begun;
            async move {
                begun.borrow_mut().push(number);
                // Later futures end first.
                for _ in number..100 {
                    tokio::task::yield_now().await;
                }
                number
            }
        }));
        let expected: Vec<usize> = (0..100).collect();
        assert_eq!(results.await, expected);
        assert_eq!(*begun.borrow(), expected);
    }
}
