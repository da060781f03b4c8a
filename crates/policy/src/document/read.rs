//! Reads a document from its JSON form, and checks it.

use super::raw::{Many, Object, Pairs, RawDocument, RawPrincipal, RawStatement, Scalar, Statements};
use super::statement::{Actions, Effect, Resources, Statement};
use super::{Document, Grammar, InvalidDocument};
use crate::condition::Condition;
use crate::pattern::{ArnPattern, Pattern, Syntax};
use crate::principal::{PrincipalMatcher, PrincipalName};

/// An invalid member of a statement, and the reason.
pub(super) struct Wrong {
    pub member: String,
    pub reason: String,
}

pub(super) fn wrong(member: impl Into<String>, reason: impl Into<String>) -> Wrong {
    Wrong { member: cut(&member.into()), reason: cut(&reason.into()) }
}

/// The largest number of characters in an error's text, which may repeat the client's text.
const MAX_TEXT: usize = 200;

/// Cuts a text to [`MAX_TEXT`] characters and replaces control characters.
pub(super) fn cut(text: &str) -> String {
    let visible = |c: char| if c.is_control() { '?' } else { c };
    text.chars().take(MAX_TEXT).map(visible).collect()
}

pub(super) fn document(text: &str, grammar: Grammar) -> Result<Document, InvalidDocument> {
    if text.len() > Document::MAX_BYTES {
        return Err(InvalidDocument::TooLarge);
    }
    let Object(raw): Object<RawDocument> =
        serde_json::from_str(text).map_err(|e| InvalidDocument::Json(cut(&e.to_string())))?;
    // Version 2008-10-17 has no variables. It is the default.
    let variables = match raw.version.as_deref() {
        Some("2012-10-17") => true,
        Some("2008-10-17") | None => false,
        Some(_) => return Err(InvalidDocument::Version),
    };
    let Statements(raw) = raw.statement;
    if raw.is_empty() {
        return Err(InvalidDocument::NoStatement);
    }
    let read = |(index, raw)| {
        statement(raw, grammar, variables).map_err(|Wrong { member, reason }| InvalidDocument::Statement {
            index,
            member,
            reason,
        })
    };
    let statements = raw.into_iter().enumerate().map(read);
    Ok(Document { statements: statements.collect::<Result<_, _>>()? })
}

fn statement(raw: RawStatement, grammar: Grammar, variables: bool) -> Result<Statement, Wrong> {
    let effect = match raw.effect.as_str() {
        "Allow" => Effect::Allow,
        "Deny" => Effect::Deny,
        _ => return Err(wrong("Effect", "it is neither Allow nor Deny")),
    };
    Ok(Statement {
        sid: raw.sid.map(|sid| cut(&sid).into()),
        effect,
        principals: principal_matcher(raw.principal, raw.not_principal, grammar, effect)?,
        actions: actions(raw.action, raw.not_action)?,
        resources: resources(raw.resource, raw.not_resource, grammar, variables)?,
        conditions: conditions(raw.condition, variables)?,
    })
}

fn principal_matcher(
    principal: Option<RawPrincipal>,
    not_principal: Option<RawPrincipal>,
    grammar: Grammar,
    effect: Effect,
) -> Result<Option<PrincipalMatcher>, Wrong> {
    match (grammar, principal, not_principal) {
        (Grammar::Identity, None, None) => Ok(None),
        (Grammar::Identity, Some(_), _) => Err(wrong("Principal", "an identity policy must not have it")),
        (Grammar::Identity, None, Some(_)) => Err(wrong("NotPrincipal", "an identity policy must not have it")),
        (Grammar::Resource, Some(raw), None) => Ok(Some(PrincipalMatcher::AnyOf(principals("Principal", raw)?))),
        (Grammar::Resource, None, Some(_)) if effect == Effect::Allow => {
            Err(wrong("NotPrincipal", "only a Deny may have it"))
        }
        (Grammar::Resource, None, Some(raw)) => Ok(Some(PrincipalMatcher::AllBut(principals("NotPrincipal", raw)?))),
        (Grammar::Resource, None, None) => Err(wrong("Principal", "it is missing")),
        (Grammar::Resource, Some(_), Some(_)) => Err(both("NotPrincipal", "Principal")),
    }
}

fn principals(member: &str, raw: RawPrincipal) -> Result<Vec<PrincipalName>, Wrong> {
    let Pairs(lists) = match raw {
        RawPrincipal::Text(text) if text == "*" => return Ok(vec![PrincipalName::Everyone]),
        RawPrincipal::Text(_) => return Err(wrong(member, "it is neither '*' nor an object")),
        RawPrincipal::Lists(lists) => lists,
    };
    let mut named = Vec::new();
    for (kind, Many(entries)) in lists {
        let member = format!("{member}.{kind}");
        for entry in entries {
            let read = match kind.as_str() {
                "AWS" => PrincipalName::aws(&entry),
                "Service" | "Federated" if entry.contains(['*', '?']) => {
                    Err("a principal takes no wildcard except a lone '*'")
                }
                "Service" => Ok(PrincipalName::Service(entry)),
                "Federated" => Ok(PrincipalName::Federated),
                _ => Err("it is not a kind of principal that is known here"),
            };
            named.push(read.map_err(|reason| wrong(&member, reason))?);
        }
    }
    if named.is_empty() {
        return Err(wrong(member, "it names nobody"));
    }
    Ok(named)
}

fn actions(action: Option<Many<String>>, not_action: Option<Many<String>>) -> Result<Actions, Wrong> {
    let read = |member: &str, Many(texts): Many<String>| {
        if texts.is_empty() {
            return Err(wrong(member, "it is empty"));
        }
        let read = |text: &String| action_pattern(text).map_err(|reason| wrong(member, reason));
        texts.iter().map(read).collect::<Result<Vec<_>, _>>()
    };
    match (action, not_action) {
        (Some(these), None) => Ok(Actions::AnyOf(read("Action", these)?)),
        (None, Some(these)) => Ok(Actions::AllBut(read("NotAction", these)?)),
        (None, None) => Err(wrong("Action", "it is missing")),
        (Some(_), Some(_)) => Err(both("NotAction", "Action")),
    }
}

fn action_pattern(text: &str) -> Result<Pattern, &'static str> {
    let is_name = |part: &str| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-_*?".contains(c);
        !part.is_empty() && part.chars().all(allowed)
    };
    let well_formed = match text.split_once(':') {
        Some((service, name)) => is_name(service) && is_name(name),
        None => text == "*",
    };
    if !well_formed {
        return Err("an action is 'service:name' or '*'");
    }
    let syntax = Syntax { wildcards: true, variables: false };
    Pattern::parse(text, syntax)
}

fn resources(
    resource: Option<Many<String>>,
    not_resource: Option<Many<String>>,
    grammar: Grammar,
    variables: bool,
) -> Result<Resources, Wrong> {
    let read = |member: &str, Many(texts): Many<String>| {
        if texts.is_empty() {
            return Err(wrong(member, "it is empty"));
        }
        let read = |text: &String| ArnPattern::parse(text, variables).map_err(|reason| wrong(member, reason));
        texts.iter().map(read).collect::<Result<Vec<_>, _>>()
    };
    match (resource, not_resource) {
        (Some(these), None) => Ok(Resources::AnyOf(read("Resource", these)?)),
        (None, Some(these)) => Ok(Resources::AllBut(read("NotResource", these)?)),
        (None, None) if grammar == Grammar::Resource => Ok(Resources::Own),
        (None, None) => Err(wrong("Resource", "it is missing")),
        (Some(_), Some(_)) => Err(both("NotResource", "Resource")),
    }
}

fn both(member: &str, other: &str) -> Wrong {
    wrong(member, format!("{other} is there too"))
}

fn conditions(raw: Option<Pairs<Pairs<Many<Scalar>>>>, variables: bool) -> Result<Vec<Condition>, Wrong> {
    let mut conditions = Vec::new();
    for (operator, Pairs(keys)) in raw.map(|Pairs(blocks)| blocks).unwrap_or_default() {
        for (key, Many(values)) in keys {
            let values: Vec<String> = values.into_iter().map(|Scalar(text)| text).collect();
            let condition = Condition::parse(&operator, &key, &values, variables)
                .map_err(|reason| wrong(format!("Condition.{operator}"), reason))?;
            conditions.push(condition);
        }
    }
    Ok(conditions)
}
