//! Pages of a listing. A token is valid for its listing only (`ECR.md` 0 "Pagination").

use aws::PageTokens;
use kernel::keys::Purpose;
use kernel::{CommonError, Constraint, Cx};

/// The identity of a listing, by which tokens of other listings are refused: the operation, and what it lists in the call's
/// registry.
pub struct Listing {
    name: String,
    tokens: PageTokens,
}

impl Listing {
    /// Creates a listing. `what` is everything that determines its items: a repository's name, a filter.
    pub fn new(cx: &Cx, operation: &str, what: &[&str]) -> Listing {
        // The parts contain no line break, so different listings have different names.
        let name = format!("{operation}\n{}\n{}\n{}", cx.registry.account, cx.registry.key().region(), what.join("\n"));
        Listing { name, tokens: PageTokens::new(*cx.keys.derive(Purpose::PageToken)) }
    }

    /// Returns the cursor in `nextToken`.
    pub fn decode_cursor(&self, token: Option<&str>) -> Result<Option<Vec<u8>>, CommonError> {
        let open = |token| {
            self.tokens
                .open(&self.name, token)
                .map_err(|_| CommonError::invalid("nextToken", Constraint::Text("Invalid token".into())))
        };
        token.map(open).transpose()
    }

    /// Returns the `nextToken` of a page; `None` for the last one.
    pub fn encode_cursor(&self, next: Option<Vec<u8>>) -> Option<String> {
        next.map(|cursor| self.tokens.seal(&self.name, &cursor))
    }
}

/// Refuses page parameters together with a list of names or ids, which is never paged.
pub fn refuse_with(list: &'static str, token: Option<&str>, max_results: Option<i64>) -> Result<(), CommonError> {
    let member = match (token, max_results) {
        (None, None) => return Ok(()),
        (Some(_), _) => "nextToken",
        (None, Some(_)) => "maxResults",
    };
    Err(CommonError::invalid(member, Constraint::Text(format!("Member must not be given together with {list}").into())))
}

/// A page that a call asks for.
#[derive(Debug)]
pub struct PageRequest {
    pub token: Option<String>,
    pub limit: u32,
}
