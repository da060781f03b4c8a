//! The AWS query protocol of STS and IAM (`ECR.md` P). The input is a form, the output is XML or JSON.
//!
//! A structure's member is named `A.B`, a list's item `A.member.N`, and a map's entry `A.entry.N.key` and `A.entry.N.value`. The models
//! of STS and IAM do not rename or flatten any member, so the names of the Rust fields are sufficient.

mod de;
mod form;
mod output;

pub use form::{CONTENT_TYPE, MAX_DEPTH, MAX_INDEX, MAX_PARAMETERS, QueryForm, QueryFormError, parameter};
pub use output::{QueryOutput, QueryOutputError};

/// An error of the query protocol.
pub struct QueryError<'a> {
    /// Whether the caller made the mistake, and not the server.
    pub is_sender: bool,
    pub code: &'a str,
    pub message: &'a str,
    /// Further members of the error's shape: texts, numbers and booleans.
    pub extra: &'a [(&'static str, serde_json::Value)],
}

impl QueryError<'_> {
    fn fault(&self) -> &'static str {
        if self.is_sender { "Sender" } else { "Receiver" }
    }

    /// `<ErrorResponse xmlns=…><Error><Type>Sender|Receiver</Type><Code>…</Code><Message>…</Message></Error><RequestId>…`, with the
    /// further members after the message.
    pub fn xml(&self, namespace: &str, request_id: &str) -> String {
        let [namespace, code, message, request_id] = [namespace, self.code, self.message, request_id].map(escape);
        let mut extra = String::new();
        for (name, value) in self.extra {
            let value = value.as_str().map_or_else(|| escape(&value.to_string()), escape);
            extra.push_str(&format!("<{name}>{value}</{name}>"));
        }
        format!(
            "<ErrorResponse xmlns=\"{namespace}\"><Error><Type>{}</Type><Code>{code}</Code>\
             <Message>{message}</Message>{extra}</Error><RequestId>{request_id}</RequestId></ErrorResponse>",
            self.fault()
        )
    }

    /// `{"Error":{"Type","Code","Message"},"RequestId"}`, with the further members after the message.
    pub fn json(&self, request_id: &str) -> String {
        let mut error = serde_json::json!({ "Type": self.fault(), "Code": self.code, "Message": self.message });
        for (name, value) in self.extra {
            error[*name] = value.clone();
        }
        serde_json::json!({ "Error": error, "RequestId": request_id }).to_string()
    }
}

/// True if an `Accept` header prefers JSON: it names `application/json` with a higher weight than XML.
pub fn prefers_json(accept: &str) -> bool {
    let weight = |wanted: &[&str]| {
        let ranges = accept.split(',').map(|range| range.split(';').map(str::trim));
        ranges
            .filter_map(|mut range| {
                let named = range.next().is_some_and(|name| wanted.iter().any(|one| one.eq_ignore_ascii_case(name)));
                let quality = range.find_map(|parameter| parameter.strip_prefix("q="));
                named.then(|| quality.map_or(1.0, |text| text.parse().unwrap_or(0.0)))
            })
            .fold(0.0_f32, f32::max)
    };
    weight(&["application/json"]) > weight(&["text/xml", "application/xml"])
}

/// Escapes text for XML content and attribute values.
///
/// Characters that XML 1.0 does not allow are replaced by U+FFFD.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    push_escaped(&mut escaped, text);
    escaped
}

fn push_escaped(escaped: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            // An XML parser changes an unescaped carriage return to a line feed.
            '\r' => escaped.push_str("&#13;"),
            '\t' | '\n' => escaped.push(character),
            '\0'..'\u{20}' | '\u{fffe}' | '\u{ffff}' => escaped.push(char::REPLACEMENT_CHARACTER),
            _ => escaped.push(character),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_accept_header_prefers_json_by_its_weight() {
        for (accept, json) in [
            ("application/json", true),
            ("Application/JSON; charset=utf-8", true),
            ("application/json, text/plain, */*", true),
            ("text/xml;q=0.5, application/json", true),
            ("", false),
            ("*/*", false),
            ("text/xml", false),
            ("application/xml, application/json;q=0.9", false),
            ("application/json;q=0", false),
            ("application/jsonx", false),
        ] {
            assert_eq!(prefers_json(accept), json, "{accept}");
        }
    }
}
