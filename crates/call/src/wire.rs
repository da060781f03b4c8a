//! How each protocol carries an operation's input and output.
use super::Refusal;
use super::serialization;
use crate::Structure;
use aws::query::{self, QueryForm};
use bytes::Bytes;
use kernel::CommonError;
use listen::memory::{Held, Lease};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// An input as it came.
pub enum Input {
    Json(Bytes),
    Form(QueryForm),
}

/// An output as it will be written.
pub enum Output {
    Json(Held),
    Query {
        output: query::QueryOutput,
        /// The output's room in the budget of all answers.
        room: Option<Lease>,
    },
}

/// A protocol's way of reading inputs and writing outputs.
pub trait Wire: 'static {
    /// The input that a body is.
    fn input(body: Bytes) -> Result<Input, Refusal>;
    fn read<T: DeserializeOwned>(input: Input) -> Result<T, Refusal>;
    fn write<T: Serialize>(output: &T, room: Option<Lease>) -> Result<Output, Refusal>;
}

/// AWS JSON.
pub struct Json;

impl Wire for Json {
    fn input(body: Bytes) -> Result<Input, Refusal> {
        Ok(Input::Json(body))
    }

    fn read<T: DeserializeOwned>(input: Input) -> Result<T, Refusal> {
        let Input::Json(body) = input else { return Err(Refusal::UnknownOperation) };
        // A call without a body is one without members.
        let body = if body.is_empty() { Bytes::from_static(b"{}") } else { body };
        let parsed = serde_json::from_slice::<Structure<T>>(&body);
        parsed.map(|Structure(input)| input).map_err(|error| Refusal::Serialization(serialization::message(&error)))
    }

    fn write<T: Serialize>(output: &T, room: Option<Lease>) -> Result<Output, Refusal> {
        let json = serde_json::to_vec(output).map_err(CommonError::server)?;
        Ok(Output::Json(Held::new(json, room)))
    }
}

/// The query protocol.
pub struct Query;

impl Wire for Query {
    fn input(body: Bytes) -> Result<Input, Refusal> {
        Ok(Input::Form(form("", &body)?))
    }

    fn read<T: DeserializeOwned>(input: Input) -> Result<T, Refusal> {
        let Input::Form(form) = input else { return Err(Refusal::UnknownOperation) };
        form.input().map_err(|error| Refusal::Serialization(error.to_string()))
    }

    fn write<T: Serialize>(output: &T, room: Option<Lease>) -> Result<Output, Refusal> {
        let output = query::QueryOutput::of(output).map_err(CommonError::server)?;
        Ok(Output::Query { output, room })
    }
}

/// The parameters of a call, from its query string and its body.
pub fn form(query: &str, body: &[u8]) -> Result<QueryForm, Refusal> {
    QueryForm::read(query, body).map_err(|error| Refusal::Serialization(error.to_string()))
}
