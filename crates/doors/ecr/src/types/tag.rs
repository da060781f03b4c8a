//! Resource tags.

use super::Bounded;
use call::Structure;
use call::check;
use kernel::access::Need;
use registry::Error;
use serde::{Deserialize, Serialize};

/// A resource tag. Its members are in Pascal case, unlike those of other structures.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Tag {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// Maximum tags of one call. The model has no bound; the registry's limit for one repository is smaller.
pub const MAX_TAGS: usize = 1000;

/// `tags` on the wire.
pub type Tags = Bounded<Structure<Tag>, MAX_TAGS>;

/// Checks that tags have the members that the model requires. The domain checks lengths, prefixes and repeats.
pub fn resource_tags(tags: Tags) -> Result<Vec<(String, String)>, Error> {
    let pair = |(index, Structure(tag)): (usize, Structure<Tag>)| {
        let key = check::required(check::element("tags", index, "Key"), tag.key)?;
        let value = check::required(check::element("tags", index, "Value"), tag.value)?;
        Ok((key, value))
    };
    if tags.count() > MAX_TAGS {
        return Err(Error::TooManyTags { count: tags.count(), max: MAX_TAGS });
    }
    tags.check("tags", 0)?.into_iter().enumerate().map(pair).collect()
}

/// Adds the request's resource tags to a need, as conditions. Too many tags are refused later, in `check`, so only the stored
/// ones are listed here.
pub fn with_request_tags(mut need: Need, tags: &[Structure<Tag>]) -> Need {
    let pairs = tags.iter().filter_map(|Structure(tag)| Some((tag.key.clone()?, tag.value.clone()?)));
    need.request_tags.extend(pairs);
    need
}
