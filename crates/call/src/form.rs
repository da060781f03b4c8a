//! The parameters of the query protocol: from the body, and from the query string of presigned calls.
use serde_json::{Map, Value};

pub const CONTENT_TYPE: &str = "application/x-www-form-urlencoded";

/// Parameters in the order of the wire; of a repeated name the first counts.
#[derive(Debug)]
pub struct Form(Vec<(String, String)>);

impl Form {
    /// Reads the body first, then the query string.
    pub fn read(query: &str, body: &[u8]) -> Form {
        let query = form_urlencoded::parse(query.as_bytes()).into_owned();
        Form(form_urlencoded::parse(body).into_owned().chain(query).collect())
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The members of the operation's input, as an object of texts: what is left without the protocol's own parameters.
    pub fn into_members(self) -> Value {
        let mut members = Map::new();
        for (name, value) in self.0 {
            let protocol = name == "Action"
                || name == "Version"
                || name.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("x-amz-"));
            if !protocol && !members.contains_key(&name) {
                members.insert(name, Value::String(value));
            }
        }
        Value::Object(members)
    }
}

/// One parameter of a form that is not taken apart otherwise.
pub fn parameter(form: &[u8], name: &str) -> Option<String> {
    form_urlencoded::parse(form).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_counts_before_the_query_string_and_protocol_parameters_are_no_members() {
        let form = Form::read(
            "Action=Other&X-Amz-Signature=ab&Name=q",
            b"Action=GetCallerIdentity&Version=2011-06-15&Name=a%20b&Name=c",
        );
        assert_eq!(form.get("Action"), Some("GetCallerIdentity"));
        assert_eq!(form.into_members(), serde_json::json!({ "Name": "a b" }));
    }
}
