use super::{PolicyRules, ResourceMember};
use crate::{Document, Grammar, InvalidDocument};
use serde_json::{Value, json};

/// The rules of a service `box` with two actions.
fn rules(spelled_out: bool, resource: ResourceMember) -> PolicyRules<'static> {
    PolicyRules { service: "box", actions: &["Open", "OpenAll"], spelled_out, resource }
}

#[test]
fn a_services_rules_name_the_statement_and_the_member() {
    let everyone = |members: Value| {
        let mut statement = json!({"Effect": "Deny", "Principal": "*"});
        statement.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        statement
    };
    let own = ResourceMember::Implied;
    let stated = ResourceMember::Stated { account: "111111111111".parse().unwrap() };
    let foreign = "it is neither '*' nor an ARN of box in the account 111111111111";
    let data = [
        (json!({"Action": "BOX:open"}), false, own, Ok(())),
        (json!({"NotAction": ["box:*", "box:?pen"]}), false, own, Ok(())),
        (
            json!({"Action": ["box:Open", "box:Shut"]}),
            false,
            own,
            Err(("Action", "'box:Shut' is not an action of box")),
        ),
        (json!({"NotAction": "box:S*"}), false, own, Err(("NotAction", "'box:S*' is not an action of box"))),
        (json!({"Action": "*"}), false, own, Err(("Action", "'*' does not begin with 'box:'"))),
        (json!({"Action": "bo?:Open"}), false, own, Err(("Action", "'bo?:Open' does not begin with 'box:'"))),
        (json!({"Action": "box:open"}), true, own, Ok(())),
        (
            json!({"Action": "box:Open*"}),
            true,
            own,
            Err(("Action", "'box:Open*' has a wildcard, and must be one of: Open, OpenAll")),
        ),
        (json!({"Action": "box:Shut"}), true, own, Err(("Action", "'box:Shut' is none of: Open, OpenAll"))),
        (json!({"NotAction": "box:Open"}), true, own, Err(("NotAction", "it must be Action here"))),
        (
            json!({"Action": "box:Open", "Resource": "*"}),
            false,
            own,
            Err(("Resource", "the policy is about the resource that it is set on")),
        ),
        (
            json!({"Action": "box:Open", "NotResource": "*"}),
            false,
            own,
            Err(("NotResource", "the policy is about the resource that it is set on")),
        ),
        (json!({"Action": "box:Open"}), false, stated, Err(("Resource", "it is missing"))),
        (json!({"Action": "box:Open", "Resource": ["*", "arn:aws:box:*:111111111111:x/*"]}), false, stated, Ok(())),
        (json!({"Action": "box:Open", "Resource": "arn:*:b*:us-?:1*:x"}), false, stated, Ok(())),
        (
            json!({"Action": "box:Open", "Resource": "arn:aws:box:*:222222222222:x"}),
            false,
            stated,
            Err(("Resource", foreign)),
        ),
        (
            json!({"Action": "box:Open", "NotResource": "arn:aws:bag:*:*:x"}),
            false,
            stated,
            Err(("NotResource", foreign)),
        ),
    ];
    for (members, spelled_out, resource_member, expected) in data {
        // The first statement is valid, so that the error must name the second one.
        let first = match resource_member {
            ResourceMember::Implied => json!({"Action": "box:Open"}),
            ResourceMember::Stated { .. } => json!({"Action": "box:Open", "Resource": "*"}),
        };
        let text = json!({"Statement": [everyone(first), everyone(members)]});
        let document = Document::parse(&text.to_string(), Grammar::Resource).unwrap();
        let expected = expected.map_err(|(member, reason)| InvalidDocument::Statement {
            index: 1,
            member: member.to_owned(),
            reason: reason.to_owned(),
        });
        assert_eq!(document.check(&rules(spelled_out, resource_member)), expected, "{text}");
    }
}

#[test]
fn the_names_of_users_and_roles_are_told_with_their_statement() {
    let text = json!({"Statement": [
        {"Effect": "Allow", "Principal": {"AWS": ["111111111111", "*"], "Service": "x.amazonaws.com"}, "Action": "box:Open"},
        {"Effect": "Deny", "NotPrincipal": {"AWS": ["arn:aws:iam::222222222222:role/a/b", "AIDAANNANNANNANNANNA2"]},
            "Action": "box:Open"},
    ]});
    let document = Document::parse(&text.to_string(), Grammar::Resource).unwrap();
    let named: Vec<_> = document.named_principals().collect();
    assert_eq!(named, [(1, "arn:aws:iam::222222222222:role/a/b"), (1, "AIDAANNANNANNANNANNA2")]);
}
