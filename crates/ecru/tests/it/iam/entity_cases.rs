//! Valid inputs of the operations about keys, groups, roles and instance profiles. `{MEMBER}` stands for what an earlier call answered.
use super::cases::{Case, after, user};
use serde_json::{Value, json};

pub fn case(operation: &str) -> Option<Case> {
    keys(operation)
}

fn key() -> (&'static str, Value) {
    ("CreateAccessKey", json!({"UserName": "ann"}))
}

fn keys(operation: &str) -> Option<Case> {
    let named = json!({"UserName": "ann", "AccessKeyId": "{AccessKeyId}"});
    match operation {
        "CreateAccessKey" => after([user()], json!({"UserName": "ann"})),
        "UpdateAccessKey" => {
            after([user(), key()], json!({"UserName": "ann", "AccessKeyId": "{AccessKeyId}", "Status": "Inactive"}))
        }
        "ListAccessKeys" => after([user(), key()], json!({"UserName": "ann", "MaxItems": 5})),
        "DeleteAccessKey" => after([user(), key()], named),
        "GetAccessKeyLastUsed" => after([user(), key()], json!({"AccessKeyId": "{AccessKeyId}"})),
        _ => None,
    }
}
