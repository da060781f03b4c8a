//! The AWS query protocol, as STS and IAM speak it (`ECR.md` P).

use std::fmt::Write;

/// The form parameters of a call.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Params(Vec<(String, String)>);

impl Params {
    /// Reads `application/x-www-form-urlencoded` text; what is not UTF-8 after decoding is replaced by U+FFFD.
    pub fn parse(text: &str) -> Params {
        Params(form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    /// The value of the first parameter of that name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// All parameters in the order of the text, repeated ones included.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

/// The XML of a successful call.
///
/// `<ACTIONResponse xmlns=NAMESPACE><ACTIONResult>…members…</ACTIONResult><ResponseMetadata><RequestId>…` with escaped
/// text; `members` are (name, value) pairs.
pub fn response(namespace: &str, action: &str, members: &[(&str, &str)], request_id: &str) -> String {
    let namespace = escape(namespace);
    let request_id = escape(request_id);
    let mut result = String::new();
    for (name, value) in members {
        // Writing to a String cannot fail.
        let _ = write!(result, "<{name}>{}</{name}>", escape(value));
    }
    format!(
        "<{action}Response xmlns=\"{namespace}\"><{action}Result>{result}</{action}Result>\
         <ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata></{action}Response>"
    )
}

/// The XML of a refused call.
///
/// `<ErrorResponse xmlns=…><Error><Type>Sender|Receiver</Type><Code>…</Code><Message>…</Message></Error><RequestId>…`
pub fn error(namespace: &str, sender: bool, code: &str, message: &str, request_id: &str) -> String {
    let fault = if sender { "Sender" } else { "Receiver" };
    let [namespace, code, message, request_id] = [namespace, code, message, request_id].map(escape);
    format!(
        "<ErrorResponse xmlns=\"{namespace}\"><Error><Type>{fault}</Type><Code>{code}</Code>\
         <Message>{message}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
    )
}

/// Escapes text for XML content and attribute values.
///
/// Characters that XML 1.0 has no spelling for become U+FFFD, so that every reader accepts the document.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            // A reader would turn a bare carriage return into a line feed.
            '\r' => escaped.push_str("&#13;"),
            '\t' | '\n' => escaped.push(character),
            '\0'..'\u{20}' | '\u{fffe}' | '\u{ffff}' => escaped.push(char::REPLACEMENT_CHARACTER),
            _ => escaped.push(character),
        }
    }
    escaped
}
