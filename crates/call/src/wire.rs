//! Reads inputs and writes outputs in each protocol.

use super::serialization;
use super::{Exception, Refusal};
use crate::Structure;
use aws::query::{self, QueryForm};
use bytes::Bytes;
use kernel::CommonError;
use listen::memory::{AnswerBytes, Lease};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// An operation's input before it is parsed.
pub enum Input {
    Json(Bytes),
    Form(QueryForm),
}

/// An operation's output, ready to be encoded as a response.
pub enum Output {
    Json(AnswerBytes),
    Query {
        output: query::QueryOutput,
        /// The output's lease in the budget of answers.
        room: Option<Lease>,
    },
}

/// A protocol: reads inputs and writes outputs.
pub trait Wire: 'static {
    /// Wraps a body as an input.
    fn input(body: Bytes) -> Result<Input, Refusal>;
    fn read<T: DeserializeOwned>(input: Input) -> Result<T, Refusal>;
    fn write<T: Serialize>(output: &T, room: Option<Lease>) -> Result<Output, Refusal>;
    /// Returns a refusal's name and status.
    fn exception(refusal: &Refusal) -> Exception;
}

/// AWS JSON.
pub struct Json;

impl Wire for Json {
    fn input(body: Bytes) -> Result<Input, Refusal> {
        Ok(Input::Json(body))
    }

    fn read<T: DeserializeOwned>(input: Input) -> Result<T, Refusal> {
        let Input::Json(body) = input else { return Err(Refusal::UnknownOperation) };
        // An empty body means an input without members.
        let body = if body.is_empty() { Bytes::from_static(b"{}") } else { body };
        let parsed = serde_json::from_slice::<Structure<T>>(&body);
        parsed.map(|Structure(input)| input).map_err(|error| Refusal::Serialization(serialization::message(&error)))
    }

    fn write<T: Serialize>(output: &T, room: Option<Lease>) -> Result<Output, Refusal> {
        let json = serde_json::to_vec(output).map_err(CommonError::server)?;
        Ok(Output::Json(AnswerBytes::new(json, room)))
    }

    fn exception(refusal: &Refusal) -> Exception {
        refusal.json()
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

    fn exception(refusal: &Refusal) -> Exception {
        refusal.query()
    }
}

/// Parses the parameters of a call from its query string and its body.
pub fn form(query: &str, body: &[u8]) -> Result<QueryForm, Refusal> {
    QueryForm::read(query, body).map_err(|error| Refusal::Serialization(error.to_string()))
}
