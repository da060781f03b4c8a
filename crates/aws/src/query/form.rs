//! The parameters of a call, and the tree of their dotted names.

use serde::de::{DeserializeOwned, DeserializeSeed};
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

/// The largest number of parameters in a call. The longest documented lists of IAM have a few hundred items.
pub const MAX_PARAMETERS: usize = 4_000;
/// The largest number of parts in a parameter's name, separated by dots. The deepest inputs of STS and IAM have six.
pub const MAX_DEPTH: usize = 16;
/// The highest index of a list's or map's item.
pub const MAX_INDEX: usize = MAX_PARAMETERS;

/// The largest number of nodes in the tree of a call's names. A node takes about a kilobyte, so a tree takes 8 MB.
const MAX_NODES: usize = 2 * MAX_PARAMETERS;

/// The media type of a call's body.
pub const CONTENT_TYPE: &str = "application/x-www-form-urlencoded";

/// The parameters of a call, in the order of the request. If a name is repeated, the first parameter counts.
pub struct QueryForm(Vec<(String, String)>);

impl QueryForm {
    /// Reads the body and then the query string of the URI, which presigned calls use.
    ///
    /// Bytes that are not UTF-8 after decoding are replaced by U+FFFD.
    ///
    /// # Errors
    /// More than [`MAX_PARAMETERS`].
    pub fn read(query: &str, body: &[u8]) -> Result<QueryForm, QueryFormError> {
        let all = [body, query.as_bytes()].into_iter().flat_map(|text| form_urlencoded::parse(text).into_owned());
        let parameters: Vec<_> = all.take(MAX_PARAMETERS + 1).collect();
        if parameters.len() > MAX_PARAMETERS {
            return Err(QueryFormError::new(format!("A request has at most {MAX_PARAMETERS} parameters")));
        }
        Ok(QueryForm(parameters))
    }

    /// The value of the first parameter of that name.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// Deserializes the operation's input from all parameters except those of the protocol (`Action`, `Version`, `X-Amz-…`).
    ///
    /// An empty list or map is written as `NAME=`. Parameters that are no members of `T` are ignored.
    ///
    /// # Errors
    /// A value does not have its member's type, an index is invalid, a name has more than [`MAX_DEPTH`] parts, or all names together
    /// have too many different beginnings. The error names the
    /// member and does not repeat its value.
    pub fn input<T: DeserializeOwned>(&self) -> Result<T, QueryFormError> {
        self.input_of(PhantomData::<T>)
    }

    /// Like `input`, for a type that is known only at run time.
    pub fn input_of<'a, S: DeserializeSeed<'a>>(&'a self, seed: S) -> Result<S::Value, QueryFormError> {
        seed.deserialize(&self.tree()?)
    }

    fn tree(&self) -> Result<Node<'_>, QueryFormError> {
        let (mut root, mut nodes) = (Node::at(""), 0);
        for (name, value) in self.0.iter().filter(|(name, _)| !of_protocol(name)) {
            nodes += root.insert(name, value)?;
            if nodes > MAX_NODES {
                let problem =
                    format!("The names of a request's parameters have at most {MAX_NODES} different beginnings");
                return Err(QueryFormError::new(problem));
            }
        }
        Ok(root)
    }
}

/// True for a parameter of the protocol or the signature, which is no part of the operation's input.
fn of_protocol(name: &str) -> bool {
    name == "Action" || name == "Version" || name.get(..6).is_some_and(|start| start.eq_ignore_ascii_case("x-amz-"))
}

/// The value of one parameter of a form.
pub fn parameter(form: &[u8], name: &str) -> Option<String> {
    form_urlencoded::parse(form).find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

/// A node in the tree of parameter names. It has a value, members, or both.
pub(super) struct Node<'a> {
    /// The whole name, as in the request. Empty for the root.
    pub path: &'a str,
    pub value: Option<&'a str>,
    pub members: BTreeMap<&'a str, Node<'a>>,
}

impl<'a> Node<'a> {
    /// Makes a node without a value and without members.
    pub fn at(path: &'a str) -> Node<'a> {
        Node { path, value: None, members: BTreeMap::new() }
    }

    /// Adds a parameter below this node. Returns the number of nodes that are new.
    fn insert(&mut self, name: &'a str, value: &'a str) -> Result<usize, QueryFormError> {
        let (mut node, mut end, mut new) = (self, 0, 0);
        for (depth, part) in name.split('.').enumerate() {
            if depth == MAX_DEPTH {
                return Err(QueryFormError::new(format!("must not have more than {MAX_DEPTH} parts")).within(name));
            }
            end += part.len() + usize::from(depth > 0);
            node = node.members.entry(part).or_insert_with(|| {
                new += 1;
                Node::at(&name[..end])
            });
        }
        node.value.get_or_insert(value);
        Ok(new)
    }
}

/// The reason why a form is not a valid input. The text names the member and does not repeat its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueryFormError {
    /// The member's name in the request, shortened. Empty while it is not known.
    member: String,
    problem: String,
}

impl QueryFormError {
    pub(super) fn new(problem: impl Into<String>) -> QueryFormError {
        QueryFormError { member: String::new(), problem: problem.into() }
    }

    /// Sets the member to `path`, unless the error already names a member.
    pub(super) fn within(mut self, path: &str) -> QueryFormError {
        const CHARACTERS: usize = 128;
        if self.member.is_empty() {
            self.member = path.chars().take(CHARACTERS).collect();
        }
        self
    }
}

impl fmt::Display for QueryFormError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.member.as_str() {
            "" => f.write_str(&self.problem),
            member => write!(f, "{member}: {}", self.problem),
        }
    }
}

impl std::error::Error for QueryFormError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parameter_of_the_body_precedes_the_query_string_and_the_first_of_a_name_counts() {
        let form =
            QueryForm::read("Action=Other&Name=q&Late=z", b"Action=GetUser&Name=a+b%20c%2Bd&Name=second&Empty=&Bare")
                .unwrap();
        let found = ["Action", "Name", "Empty", "Bare", "Late", "Absent", "action"].map(|name| form.get(name));
        assert_eq!(found, [Some("GetUser"), Some("a b c+d"), Some(""), Some(""), Some("z"), None, None]);
        assert_eq!(parameter(b"a=1&b=%3D", "b").as_deref(), Some("="));
    }

    #[test]
    fn a_form_has_a_limited_number_of_parameters() {
        let text = "a=1&".repeat(MAX_PARAMETERS);
        assert!(QueryForm::read("", text.as_bytes()).is_ok());
        let error = QueryForm::read("one=more", text.as_bytes()).err().unwrap();
        assert_eq!(error.to_string(), "A request has at most 4000 parameters");
    }
    #[test]
    fn the_names_of_a_form_make_a_tree_of_limited_size() {
        let deep: String = (0..MAX_PARAMETERS / 3).map(|number| format!("{number}.a.a.a.a.a.a.a=1&")).collect();
        let form = QueryForm::read("", deep.as_bytes()).unwrap();
        let input = form.input::<BTreeMap<String, serde::de::IgnoredAny>>();
        let error = input.err().map(|error| error.to_string()).unwrap_or_default();
        assert_eq!(error, "The names of a request's parameters have at most 8000 different beginnings");
        let flat: String = (0..MAX_PARAMETERS / 2).map(|number| format!("A.member.{number}.B=1&")).collect();
        assert!(QueryForm::read("", flat.as_bytes()).unwrap().tree().is_ok());
    }
}
