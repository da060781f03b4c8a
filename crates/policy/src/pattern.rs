//! Patterns: texts with wildcards and policy variables.

#[cfg(test)]
mod tests;

use crate::request::Context;
use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::str::Chars;

/// The special syntax that a text may contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Syntax {
    /// `*` matches any number of characters and `?` matches one.
    pub wildcards: bool,
    /// `${key}` and `${key, 'default'}` stand for a value of the request. `${*}`, `${?}` and `${$}` stand for that character.
    pub variables: bool,
}

/// A parsed text of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pattern(Vec<Piece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Character(char),
    /// `?`
    One,
    /// `*`
    Any,
    /// Boxed, so that the other pieces stay small: there is one for each character.
    Variable(Box<Variable>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Variable {
    /// In lower case.
    key: String,
    default: Option<String>,
}

impl Pattern {
    /// Parses a text. The error tells what is wrong with a variable.
    pub(crate) fn parse(text: &str, syntax: Syntax) -> Result<Pattern, &'static str> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            if syntax.variables && rest.starts_with("${") {
                let end = rest.find('}').ok_or("'${' without '}'")?;
                pieces.push(variable(&rest[2..end])?);
                rest = &rest[end + 1..];
                continue;
            }
            pieces.push(match first {
                '*' if syntax.wildcards => Piece::Any,
                '?' if syntax.wildcards => Piece::One,
                other => Piece::Character(other),
            });
            rest = &rest[first.len_utf8()..];
        }
        Ok(Pattern(pieces))
    }

    /// The pattern that every text matches.
    pub(crate) fn any() -> Pattern {
        Pattern(vec![Piece::Any])
    }

    /// True if the whole text matches. `None` if a variable has no value in the request, or if there is a variable but no context.
    ///
    /// The time is at most proportional to the product of both lengths.
    pub(crate) fn matches<'c>(&self, text: &str, context: impl Into<Option<&'c Context>>) -> Option<bool> {
        Some(whole(&self.resolve(context.into())?, text, |own, other| own == other))
    }

    /// Like [`Pattern::matches`], but ignores case.
    pub(crate) fn matches_without_case<'c>(&self, text: &str, context: impl Into<Option<&'c Context>>) -> Option<bool> {
        Some(whole(&self.resolve(context.into())?, text, is_same_without_case))
    }

    /// True when the whole text matches, with upper and lower case alike, whatever the values of variables are.
    pub(crate) fn may_match_without_case(&self, text: &str) -> bool {
        let anything = |piece: &Piece| match piece {
            Piece::Variable(_) => Piece::Any,
            other => other.clone(),
        };
        let pieces: Vec<Piece> = self.0.iter().map(anything).collect();
        whole(&pieces, text, is_same_without_case)
    }

    /// True if it has a variable with this lower-case name.
    pub(crate) fn mentions(&self, key: &str) -> bool {
        self.0.iter().any(|piece| matches!(piece, Piece::Variable(variable) if variable.key == key))
    }

    /// True when neither a wildcard nor a variable is in it.
    pub(crate) fn is_plain(&self) -> bool {
        self.0.iter().all(|piece| matches!(piece, Piece::Character(_)))
    }

    /// True when it begins with these characters, upper and lower case alike.
    pub(crate) fn begins_with_without_case(&self, text: &str) -> bool {
        let same = |(piece, c): (&Piece, char)| matches!(piece, Piece::Character(own) if own.eq_ignore_ascii_case(&c));
        self.0.len() >= text.chars().count() && self.0.iter().zip(text.chars()).all(same)
    }

    /// Replaces variables by their values. Wildcards in a value are plain characters.
    fn resolve(&self, context: Option<&Context>) -> Option<Cow<'_, [Piece]>> {
        let is_variable = |piece: &Piece| matches!(piece, Piece::Variable(_));
        if !self.0.iter().any(is_variable) {
            return Some(Cow::Borrowed(&self.0));
        }
        let mut resolved = Vec::new();
        for piece in &self.0 {
            match piece {
                Piece::Variable(variable) => {
                    let value = context?.single(&variable.key).or(variable.default.as_deref())?;
                    resolved.extend(value.chars().map(Piece::Character));
                }
                other => resolved.push(other.clone()),
            }
        }
        Some(Cow::Owned(resolved))
    }
}

/// As it is written in a policy, but for characters that a variable stood for.
impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|piece| match piece {
            Piece::Character(c) => f.write_char(*c),
            Piece::One => f.write_char('?'),
            Piece::Any => f.write_char('*'),
            Piece::Variable(variable) => write!(f, "${{{}}}", variable.key),
        })
    }
}

/// Parses the text between `${` and `}`.
fn variable(text: &str) -> Result<Piece, &'static str> {
    if let "*" | "?" | "$" = text {
        return Ok(Piece::Character(text.chars().next().unwrap_or('$')));
    }
    let (key, default) = match text.split_once(',') {
        Some((key, default)) => {
            let quoted = default.trim().strip_prefix('\'').and_then(|d| d.strip_suffix('\''));
            (key.trim(), Some(quoted.ok_or("a variable's default is not in single quotes")?))
        }
        None => (text.trim(), None),
    };
    let is_name = |c: char| c.is_alphanumeric() || " _.:/=+-@".contains(c);
    if !key.contains(':') || !key.chars().all(is_name) {
        return Err("a variable does not name a condition key");
    }
    Ok(Piece::Variable(Box::new(Variable { key: key.to_ascii_lowercase(), default: default.map(str::to_owned) })))
}

fn is_same_without_case(own: char, other: char) -> bool {
    own.eq_ignore_ascii_case(&other)
        || (!(own.is_ascii() && other.is_ascii()) && own.to_lowercase().eq(other.to_lowercase()))
}

/// True if the whole text matches. Backtracks only to the last `*`; the match of an earlier `*` never needs to change.
fn whole(pattern: &[Piece], text: &str, is_same: impl Fn(char, char) -> bool) -> bool {
    let (mut p, mut rest) = (0, text.chars());
    let mut last_any: Option<(usize, Chars<'_>)> = None;
    loop {
        let mut after = rest.clone();
        let Some(character) = after.next() else { break };
        match pattern.get(p) {
            Some(Piece::Any) => {
                last_any = Some((p, rest.clone()));
                p += 1;
                continue;
            }
            Some(Piece::One) => {
                p += 1;
                rest = after;
                continue;
            }
            Some(Piece::Character(own)) if is_same(*own, character) => {
                p += 1;
                rest = after;
                continue;
            }
            _ => {}
        }
        // Let the last `*` match one more character.
        let Some((any, mut start)) = last_any else {
            return false;
        };
        start.next();
        (p, rest) = (any + 1, start.clone());
        last_any = Some((any, start));
    }
    pattern[p..].iter().all(|piece| *piece == Piece::Any)
}

/// `*`, or an ARN with wildcards. Each of its six fields is matched separately.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ArnPattern {
    Everything,
    Fields(Vec<Pattern>),
}

/// `arn:partition:service:region:account:resource`
const ARN_FIELDS: usize = 6;

impl ArnPattern {
    /// Parses `*` or an ARN. Missing fields at its end match everything (IAM user guide, "Resource").
    pub(crate) fn parse(text: &str, variables: bool) -> Result<ArnPattern, &'static str> {
        if text == "*" {
            return Ok(ArnPattern::Everything);
        }
        if !text.starts_with("arn:") {
            return Err("it is neither an ARN nor '*'");
        }
        let syntax = Syntax { wildcards: true, variables };
        let mut fields = fields(text, variables)
            .into_iter()
            .map(|field| Pattern::parse(field, syntax))
            .collect::<Result<Vec<_>, _>>()?;
        fields.resize(ARN_FIELDS, Pattern::any());
        Ok(ArnPattern::Fields(fields))
    }

    /// True when it may match an ARN of this service and account.
    pub(crate) fn may_be_of(&self, service: &str, account: &str) -> bool {
        match self {
            ArnPattern::Everything => true,
            ArnPattern::Fields(fields) => {
                let may = |field: usize, text| fields.get(field).is_some_and(|own| own.may_match_without_case(text));
                may(2, service) && may(4, account)
            }
        }
    }

    /// See [`Pattern::mentions`].
    pub(crate) fn mentions(&self, key: &str) -> bool {
        match self {
            ArnPattern::Everything => false,
            ArnPattern::Fields(fields) => fields.iter().any(|field| field.mentions(key)),
        }
    }

    /// True if the ARN matches. `None` if a variable has no value in the request, or if there is a variable but no context.
    pub(crate) fn matches<'c>(&self, arn: &str, context: impl Into<Option<&'c Context>>) -> Option<bool> {
        let patterns = match self {
            ArnPattern::Everything => return Some(true),
            ArnPattern::Fields(patterns) => patterns,
        };
        let context = context.into();
        let mut fields = arn.splitn(ARN_FIELDS, ':');
        let mut all = true;
        for pattern in patterns {
            all &= match fields.next() {
                Some(field) => pattern.matches(field, context)?,
                None => false,
            };
        }
        Some(all)
    }
}

/// Splits an ARN at its colons, except those in variables.
fn fields(text: &str, variables: bool) -> Vec<&str> {
    let mut fields = Vec::with_capacity(ARN_FIELDS);
    let (mut start, mut within) = (0, false);
    for (at, character) in text.char_indices() {
        match character {
            '{' if variables && text[..at].ends_with('$') => within = true,
            '}' => within = false,
            ':' if !within && fields.len() < ARN_FIELDS - 1 => {
                fields.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    fields.push(&text[start..]);
    fields
}
