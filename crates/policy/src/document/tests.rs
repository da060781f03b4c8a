use super::{Document, Grammar, InvalidDocument};
use proptest::prelude::*;
use serde_json::{Value, json};

fn identity(statement: &Value) -> Result<Document, InvalidDocument> {
    let document = json!({"Version": "2012-10-17", "Statement": statement});
    Document::parse(&document.to_string(), Grammar::Identity)
}

fn resource(statement: &Value) -> Result<Document, InvalidDocument> {
    let document = json!({"Version": "2008-10-17", "Id": "x", "Statement": [statement]});
    Document::parse(&document.to_string(), Grammar::Resource)
}

fn allow() -> Value {
    json!({"Effect": "Allow", "Action": "ecr:*", "Resource": "*"})
}

fn shared() -> Value {
    json!({"Sid": "new statement", "Effect": "Deny", "Principal": "*", "Action": ["ecr:PutImage"]})
}

fn with(mut statement: Value, member: &str, value: Value) -> Value {
    statement[member] = value;
    statement
}

fn without(mut statement: Value, member: &str) -> Value {
    statement.as_object_mut().unwrap().remove(member);
    statement
}

#[test]
fn every_documented_form_of_a_document_is_valid() {
    let conditions = json!({
        "StringEquals": {"aws:ResourceTag/team": ["a", "b"], "ecr:ResourceTag/x": "y"},
        "Bool": {"aws:SecureTransport": true},
        "NumericLessThan": {"x:n": 10, "x:m": [-1, 2.5]},
        "ForAllValues:StringLikeIfExists": {"aws:TagKeys": ["a*"]},
    });
    let identities = [
        allow(),
        json!([allow(), allow()]),
        json!([with(allow(), "Sid", json!("One"))]),
        with(allow(), "Action", json!(["*", "ECR:put*", "sts:Get?allerIdentity"])),
        with(without(allow(), "Action"), "NotAction", json!("iam:*")),
        with(without(allow(), "Resource"), "NotResource", json!(["arn:aws:ecr:*"])),
        with(allow(), "Condition", conditions),
        with(allow(), "Condition", json!({})),
    ];
    for statement in identities {
        identity(&statement).unwrap_or_else(|e| panic!("{statement}: {e}"));
    }
    let principals = [
        json!("*"),
        json!({"AWS": "*"}),
        json!({"AWS": "111111111111"}),
        json!({"AWS": ["arn:aws:iam::111111111111:root", "arn:aws:iam::111111111111:user/a/b"]}),
        json!({"AWS": "arn:aws:iam::111111111111:role/r", "Service": "ecr.amazonaws.com"}),
        json!({"AWS": "arn:aws:sts::111111111111:assumed-role/r/s"}),
        json!({"AWS": "arn:aws:sts::111111111111:federated-user/f"}),
        json!({"Federated": "cognito-identity.amazonaws.com"}),
    ];
    for principal in principals {
        for member in ["Principal", "NotPrincipal"] {
            let statement = with(without(shared(), "Principal"), member, principal.clone());
            resource(&statement).unwrap_or_else(|e| panic!("{statement}: {e}"));
        }
    }
    resource(&with(shared(), "Resource", json!("arn:aws:ecr:*:111111111111:repository/*"))).unwrap();
}

#[test]
fn the_error_names_an_unknown_duplicate_or_null_member() {
    let data = [
        (r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"*"},"Extra":1}"#, "unknown field `Extra`"),
        (
            r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Conditions":{}}}"#,
            "Statement[0]: unknown field `Conditions`",
        ),
        (r#"{"Statement":{"effect":"Allow","Action":"*","Resource":"*"}}"#, "Statement[0]: unknown field `effect`"),
        (
            r#"{"Statement":{"Effect":"Allow","Effect":"Deny","Action":"*","Resource":"*"}}"#,
            "Statement[0]: duplicate field `Effect`",
        ),
        (r#"{"Version":"2012-10-17","Version":"2012-10-17","Statement":[]}"#, "duplicate field `Version`"),
        (
            r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"Bool":{"a:b":true},"Bool":{"a:b":true}}}}"#,
            "Statement[0]: duplicate member `Bool`",
        ),
        (
            r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"Bool":{"a:b":true,"A:B":false}}}}"#,
            "Statement[0]: duplicate member `A:B`",
        ),
        (
            r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":null}}"#,
            "Statement[0]: invalid type: null",
        ),
        (
            r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":"*","Condition":{"Bool":{"a:b":null}}}}"#,
            "Statement[0]: invalid type: null",
        ),
        (
            r#"{"Statement":{"Effect":"Allow","Action":null,"NotAction":"x:y","Resource":"*"}}"#,
            "Statement[0]: invalid type: null",
        ),
        (r#"{"Statement":{"Effect":"Allow","Action":"*","Resource":["*",null]}}"#, "Statement[0]: invalid type: null"),
        (r#"{"Statement":[["s","Allow"]]}"#, "Statement[0]: invalid type: sequence"),
        (
            r#"{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Allow","Resourse":"*"}]}"#,
            "Statement[1]: unknown field `Resourse`",
        ),
        (r#"{"Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},"#, "Statement[1]: EOF while parsing"),
        (r#"["2012-10-17","id",[]]"#, "invalid type: sequence"),
        (r#"{"Version":"2012-10-17"}"#, "missing field `Statement`"),
        (r#"{"Statement":{"Action":"*","Resource":"*"}}"#, "Statement[0]: missing field `Effect`"),
        (r#"{"Statement":[]} x"#, "trailing characters"),
        ("", "EOF"),
        ("null", "invalid type: null"),
    ];
    for (text, expected) in data {
        let error = Document::parse(text, Grammar::Identity).unwrap_err();
        let InvalidDocument::Json(reason) = &error else {
            panic!("{text}: {error}");
        };
        assert!(reason.starts_with(expected), "{text}: {reason}");
    }
}

#[test]
fn the_error_names_the_invalid_member_of_a_statement() {
    let missing = "it is missing";
    let not_here = "an identity policy must not have it";
    let identities = [
        (with(allow(), "Effect", json!("allow")), "Effect", "it is neither Allow nor Deny"),
        (without(allow(), "Action"), "Action", missing),
        (without(allow(), "Resource"), "Resource", missing),
        (with(allow(), "NotAction", json!("x:y")), "NotAction", "Action is there too"),
        (with(allow(), "NotResource", json!("*")), "NotResource", "Resource is there too"),
        (with(allow(), "Principal", json!("*")), "Principal", not_here),
        (with(allow(), "NotPrincipal", json!("*")), "NotPrincipal", not_here),
        (with(allow(), "Action", json!([])), "Action", "it is empty"),
        (with(allow(), "Resource", json!([])), "Resource", "it is empty"),
        (with(allow(), "Action", json!("PutImage")), "Action", "an action is 'service:name' or '*'"),
        (with(allow(), "Action", json!("ecr:")), "Action", "an action is 'service:name' or '*'"),
        (with(allow(), "Action", json!("ecr:a:b")), "Action", "an action is 'service:name' or '*'"),
        (with(allow(), "Action", json!("ecr:é")), "Action", "an action is 'service:name' or '*'"),
        (with(allow(), "Resource", json!("repository/x")), "Resource", "it is neither an ARN nor '*'"),
        (with(allow(), "Resource", json!("arn:aws:ecr:*:*:${x")), "Resource", "'${' without '}'"),
        (
            with(allow(), "Condition", json!({"BinaryEqual": {"a:b": "c"}})),
            "Condition.BinaryEqual",
            "it is not an operator that is known here",
        ),
        (
            with(allow(), "Condition", json!({"BinaryEquals": {"a:b": "c"}})),
            "Condition.BinaryEquals",
            "a:b: it is not base64",
        ),
        (
            with(allow(), "Condition", json!({"Bool": {"a:b": "c"}})),
            "Condition.Bool",
            "a:b: it is neither true nor false",
        ),
    ];
    let wildcard = "a principal takes no wildcard except a lone '*'";
    let unknown = "it is not an account or the ARN of a user, a role or a session";
    let aws = |entry: &str| with(shared(), "Principal", json!({"AWS": entry}));
    let resources = [
        (without(shared(), "Principal"), "Principal", missing),
        (with(shared(), "NotPrincipal", json!("*")), "NotPrincipal", "Principal is there too"),
        (
            with(without(with(shared(), "NotPrincipal", json!("*")), "Principal"), "Effect", json!("Allow")),
            "NotPrincipal",
            "only a Deny may have it",
        ),
        (with(shared(), "Principal", json!("111111111111")), "Principal", "it is neither '*' nor an object"),
        (with(shared(), "Principal", json!({})), "Principal", "it names nobody"),
        (with(shared(), "Principal", json!({"AWS": []})), "Principal", "it names nobody"),
        (
            with(shared(), "Principal", json!({"CanonicalUser": "x"})),
            "Principal.CanonicalUser",
            "it is not a kind of principal that is known here",
        ),
        (with(shared(), "Principal", json!({"Service": "*"})), "Principal.Service", wildcard),
        (aws("arn:aws:iam::111111111111:user/*"), "Principal.AWS", wildcard),
        (aws("arn:aws:iam::111111111111:group/g"), "Principal.AWS", unknown),
        (aws("arn:aws:iam::1:root"), "Principal.AWS", unknown),
        (aws("arn:aws-xx:iam::111111111111:root"), "Principal.AWS", unknown),
        (aws("arn:aws:ecr::111111111111:user/x"), "Principal.AWS", unknown),
        (aws("1111"), "Principal.AWS", unknown),
        (aws(""), "Principal.AWS", unknown),
    ];
    let identities = identities.map(|(s, m, r)| (identity(&s), m, r));
    let resources = resources.map(|(s, m, r)| (resource(&s), m, r));
    for (read, member, reason) in identities.into_iter().chain(resources) {
        let expected = InvalidDocument::Statement { index: 0, member: member.into(), reason: reason.into() };
        assert_eq!(read, Err(expected));
    }
    let second = identity(&json!([allow(), without(allow(), "Action")])).unwrap_err();
    assert_eq!(second.to_string(), "Statement[1].Action: it is missing");
}

#[test]
fn unknown_versions_and_large_documents_are_refused() {
    let document = |version: &str| format!(r#"{{"Version":"{version}","Statement":[]}}"#);
    let parse = |text: &str| Document::parse(text, Grammar::Identity).unwrap_err();
    assert_eq!(parse(&document("2020-01-01")), InvalidDocument::Version);
    assert_eq!(parse(&document("2012-10-17")), InvalidDocument::NoStatement);
    assert_eq!(parse(&" ".repeat(Document::MAX_BYTES + 1)), InvalidDocument::TooLarge);
    let long = "k".repeat(100_000);
    for statement in [with(allow(), &long, json!(1)), with(allow(), "Condition", json!({"Bool": {long.as_str(): 1}}))] {
        assert!(identity(&statement).unwrap_err().to_string().len() < 500);
    }
}

proptest! {
    #[test]
    fn parsing_never_panics(text in ".*|[{}\\[\\]\",:a-zA-Z*]{0,60}") {
        prop_assert!(Document::parse(&text, Grammar::Identity).is_err());
        prop_assert!(Document::parse(&text, Grammar::Resource).is_err());
    }

    #[test]
    fn an_unknown_member_is_refused(name in "[A-Za-z]{1,12}") {
        let known = ["Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource", "Condition"];
        prop_assume!(!known.contains(&name.as_str()));
        prop_assert!(identity(&with(allow(), &name, json!("x"))).is_err());
    }
}
