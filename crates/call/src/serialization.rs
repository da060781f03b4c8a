//! The messages of SerializationException: AWS's wording for a wrong JSON type, derived from serde's.

/// Returns the message for an input that could not be parsed. It never repeats what the caller sent.
pub fn message(error: &serde_json::Error) -> String {
    if !error.is_data() {
        return format!("The request body is not valid JSON (line {}, column {})", error.line(), error.column());
    }
    let text = error.to_string();
    wrong_type(&text).unwrap_or_else(|| "A member of the request could not be read".to_owned())
}

/// Parses serde's message, ``invalid type: integer `5`, expected a string at line 1 column 9``.
fn wrong_type(text: &str) -> Option<String> {
    let (found, expected) = text
        .strip_prefix("invalid type: ")
        .or_else(|| text.strip_prefix("invalid value: "))?
        .rsplit_once(", expected ")?;
    let expected = expected.split(" at line ").next()?;
    if found.starts_with("sequence") {
        return Some("Start of list found where not expected".to_owned());
    }
    if found.starts_with("map") {
        return Some("Start of structure or map found where not expected".to_owned());
    }
    let found = match found.split(' ').next()? {
        "integer" | "floating" => "NUMBER_VALUE",
        "string" => "STRING_VALUE",
        "boolean" => "BOOLEAN_VALUE",
        "null" => "NULL_VALUE",
        _ => return None,
    };
    let expected = match expected {
        "a string" => "String",
        "a boolean" => "Boolean",
        "a sequence" => "List",
        "a structure" => "Structure",
        "base64" => "Blob",
        "i64" => "Long",
        _ => return None,
    };
    Some(format!("{found} can not be converted to {expected}"))
}

#[cfg(test)]
mod tests {
    use super::message;
    use crate::Structure;
    use aws::Blob;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only what cannot be read is of interest")]
    struct Input {
        text: Option<String>,
        number: Option<i64>,
        flag: Option<bool>,
        list: Option<Vec<String>>,
        part: Option<Blob>,
        inner: Option<Structure<Inner>>,
    }

    #[derive(Debug, Deserialize)]
    #[expect(dead_code, reason = "only what cannot be read is of interest")]
    struct Inner {
        text: Option<String>,
    }

    #[test]
    fn a_wrong_type_is_told_in_awss_words() {
        for (input, expected) in [
            (r#"{"text":5}"#, "NUMBER_VALUE can not be converted to String"),
            (r#"{"text":true}"#, "BOOLEAN_VALUE can not be converted to String"),
            (r#"{"text":[]}"#, "Start of list found where not expected"),
            (r#"{"text":{}}"#, "Start of structure or map found where not expected"),
            (r#"{"number":"5"}"#, "STRING_VALUE can not be converted to Long"),
            (r#"{"number":1.5}"#, "NUMBER_VALUE can not be converted to Long"),
            (r#"{"number":1e30}"#, "NUMBER_VALUE can not be converted to Long"),
            (r#"{"number":18446744073709551615}"#, "NUMBER_VALUE can not be converted to Long"),
            (r#"{"flag":"yes, expected"}"#, "STRING_VALUE can not be converted to Boolean"),
            (r#"{"list":"a"}"#, "STRING_VALUE can not be converted to List"),
            (r#"{"list":[null]}"#, "NULL_VALUE can not be converted to String"),
            (r#"{"inner":["a"]}"#, "Start of list found where not expected"),
            (r#"{"inner":"a"}"#, "STRING_VALUE can not be converted to Structure"),
            (r#"{"part":"***"}"#, "STRING_VALUE can not be converted to Blob"),
            (r#"{"part":7}"#, "NUMBER_VALUE can not be converted to Blob"),
            (r#"["a"]"#, "Start of list found where not expected"),
            (r#"{"text":"a","text":"b"}"#, "A member of the request could not be read"),
            (r#"{"text":"a""#, "The request body is not valid JSON (line 1, column 11)"),
            (r#"{} {}"#, "The request body is not valid JSON (line 1, column 4)"),
        ] {
            let error = serde_json::from_str::<Structure<Input>>(input).unwrap_err();
            assert_eq!(message(&error), expected, "{input}");
        }
    }
}
