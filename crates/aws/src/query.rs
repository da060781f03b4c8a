//! The AWS query protocol, as STS and IAM speak it (`ECR.md` P).

/// The form parameters of a call.
pub struct Params;

impl Params {
    /// Reads `application/x-www-form-urlencoded` text.
    pub fn parse(_text: &str) -> Params { todo!() }
    pub fn get(&self, _name: &str) -> Option<&str> { todo!() }
}

/// `<ACTIONResponse xmlns=NAMESPACE><ACTIONResult>…members…</ACTIONResult><ResponseMetadata><RequestId>…` with escaped text; `members` are (name, value) pairs.
pub fn response(_namespace: &str, _action: &str, _members: &[(&str, &str)], _request_id: &str) -> String { todo!() }

/// `<ErrorResponse xmlns=…><Error><Type>Sender|Receiver</Type><Code>…</Code><Message>…</Message></Error><RequestId>…</RequestId></ErrorResponse>`
pub fn error(_namespace: &str, _sender: bool, _code: &str, _message: &str, _request_id: &str) -> String { todo!() }

/// Escapes text for XML content.
pub fn escape(_text: &str) -> String { todo!() }
