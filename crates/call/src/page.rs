//! Pages of a listing: tokens that are good for one listing only (`ECR.md` 0 "Pagination").
use aws::PageTokens;
use kernel::keys::Purpose;
use kernel::{CommonError, Constraint, Cx};

/// A listing, so that a token of another one is refused: the operation, and what it lists in the call's registry.
pub struct Listing {
    name: String,
    tokens: PageTokens,
}

impl Listing {
    /// `what` is everything that decides which items are listed: a repository's name, a filter.
    pub fn new(cx: &Cx, operation: &str, what: &[&str]) -> Listing {
        // A name can't hold a line break, so that two different listings never have one name.
        let name = format!("{operation}\n{}\n{}\n{}", cx.registry.account, cx.registry.region, what.join("\n"));
        Listing { name, tokens: PageTokens::new(*cx.keys.derive(Purpose::PageToken)) }
    }

    /// The cursor that `nextToken` holds.
    pub fn after(&self, token: Option<&str>) -> Result<Option<Vec<u8>>, CommonError> {
        let open = |token| {
            self.tokens
                .open(&self.name, token)
                .map_err(|_| CommonError::invalid("nextToken", Constraint::Text("Invalid token".into())))
        };
        token.map(open).transpose()
    }

    /// The `nextToken` behind a page, absent on the last one.
    pub fn token(&self, next: Option<Vec<u8>>) -> Option<String> {
        next.map(|cursor| self.tokens.seal(&self.name, &cursor))
    }
}

/// Refuses a page's members beside a list of names or ids, which is never paged.
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
pub struct Asked {
    pub token: Option<String>,
    pub limit: u32,
}
