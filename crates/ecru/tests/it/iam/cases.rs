//! Valid inputs of every operation, which together hold every member that its model has. `ACCT` stands for the caller's account.

use serde_json::{Value, json};

/// The inputs of one operation.
pub struct Case {
    /// The calls that make what the inputs name.
    pub before: Vec<(&'static str, Value)>,
    pub valid: Vec<Value>,
}

/// The case of an operation. The account is empty before it.
pub fn case(operation: &str) -> Case {
    let case = users(operation)
        .or_else(|| super::entity_cases::case(operation))
        .or_else(|| super::policy_cases::case(operation));
    case.unwrap_or_else(|| panic!("no input for {operation}: a new operation needs one here"))
}

pub fn after<const N: usize>(before: [(&'static str, Value); N], valid: Value) -> Option<Case> {
    Some(Case { before: before.into(), valid: vec![valid] })
}

/// A permissions boundary.
pub const BOUNDARY: &str = "arn:aws:iam::aws:policy/AdministratorAccess";

pub fn tags() -> Value {
    json!([{"Key": "k", "Value": "v"}])
}

pub fn user() -> (&'static str, Value) {
    ("CreateUser", json!({"UserName": "ann"}))
}

fn users(operation: &str) -> Option<Case> {
    match operation {
        "CreateUser" => {
            after([], json!({"UserName": "ann", "Path": "/team/", "PermissionsBoundary": BOUNDARY, "Tags": tags()}))
        }
        "GetUser" | "DeleteUser" => after([user()], json!({"UserName": "ann"})),
        "ListUsers" => after([], json!({"PathPrefix": "/", "MaxItems": 5})),
        "UpdateUser" => after([user()], json!({"UserName": "ann", "NewPath": "/team/", "NewUserName": "bea"})),
        "TagUser" => after([user()], json!({"UserName": "ann", "Tags": tags()})),
        "UntagUser" => after([user()], json!({"UserName": "ann", "TagKeys": ["k"]})),
        "ListUserTags" => after([user()], json!({"UserName": "ann", "MaxItems": 5})),
        _ => None,
    }
}
