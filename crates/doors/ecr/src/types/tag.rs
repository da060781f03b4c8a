//! Resource tags.
use super::Bounded;
use call::Structure;
use call::check;
use kernel::access::Need;
use registry::Error;
use serde::{Deserialize, Serialize};

/// A resource tag; its members are written with a capital.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Tag {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// Tags of one call at most. The model has no bound; the registry's own for one repository is smaller.
pub const MAX_TAGS: usize = 1000;

/// `tags` as they stand on the wire.
pub type Tags = Bounded<Structure<Tag>, MAX_TAGS>;

/// Resource tags with the members that the model requires; lengths, prefixes and repeats are the domain's to refuse.
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

/// The same need with the resource tags that the request carries. More than one call may have are refused whatever they are.
pub fn with_request_tags(mut need: Need, tags: &[Structure<Tag>]) -> Need {
    let pairs = tags.iter().filter_map(|Structure(tag)| Some((tag.key.clone()?, tag.value.clone()?)));
    need.request_tags.extend(pairs);
    need
}
