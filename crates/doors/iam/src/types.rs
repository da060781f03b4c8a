//! The members that many operations of IAM share: names, paths, tags, pages. The limits are those of IAM's model.

use aws::Timestamp;
use call::check;
use call::page::Listing;
use identity::entity::{Entity, MAX_TAGS, Page, Tags};
use identity::managed_policy::PolicyArn;
use identity::{EntityKind, Error};
use kernel::access::{CallerIdentity, Need, Resource};
use kernel::{Constraint, Cx, RegistryId};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// The characters of names of users, roles, groups, instance profiles and policies.
pub const NAME_PATTERN: &str = r"[\w+=,.@-]+";
/// The characters of a path. It begins and ends with a slash.
pub const PATH_PATTERN: &str = r"(\u002F)|(\u002F[\u0021-\u007E]+\u002F)";
const POLICY_PATH_PATTERN: &str = r"((/[A-Za-z0-9\.,\+@=_-]+)*)/";
const DOCUMENT_PATTERN: &str = r"[\u0009\u000A\u000D\u0020-\u00FF]+";
/// The most characters of a policy document in a request.
const MAX_DOCUMENT: u64 = 131_072;
/// The most characters of an ARN.
const MAX_ARN: usize = 2_048;
const PREFIX_PATTERN: &str = r"\u002F[\u0021-\u007F]*";
const TAG_PATTERN: &str = r"[\p{L}\p{Z}\p{N}_.:/=+\-@]+";

/// The items of a page if a call does not say.
const DEFAULT_ITEMS: u32 = 100;

/// Checks a required name of `1..=max` characters.
pub fn name(member: &'static str, value: Option<String>, max: u64) -> Result<String, Error> {
    let value = check::required(member, value)?;
    check::length(member, &value, 1, max)?;
    let known = |c: char| c.is_ascii_alphanumeric() || "_+=,.@-".contains(c);
    check::pattern(member, value.chars().all(known), NAME_PATTERN)?;
    Ok(value)
}

/// Checks an optional path. Without one it is `/`.
pub fn path(member: &'static str, value: Option<String>) -> Result<String, Error> {
    let value = value.unwrap_or_else(|| "/".to_owned());
    check::length(member, &value, 1, 512)?;
    let inner = value.strip_prefix('/').and_then(|rest| rest.strip_suffix('/'));
    let whole = value == "/" || inner.is_some_and(|inner| !inner.is_empty());
    check::pattern(member, whole && value.bytes().all(|b| b.is_ascii_graphic()), PATH_PATTERN)?;
    Ok(value)
}

/// Checks `PathPrefix`. Without one it is `/`, which every path begins with.
pub fn path_prefix(value: Option<String>) -> Result<String, Error> {
    let value = value.unwrap_or_else(|| "/".to_owned());
    check::length("pathPrefix", &value, 1, 512)?;
    let known = value.starts_with('/') && value.bytes().all(|b| (0x21..=0x7F).contains(&b));
    check::pattern("pathPrefix", known, PREFIX_PATTERN)?;
    Ok(value)
}

/// Checks the path of a managed policy, or what the paths of those of a listing begin with. Without one it is `/`.
pub fn policy_path(member: &'static str, value: Option<String>) -> Result<String, Error> {
    let value = value.unwrap_or_else(|| "/".to_owned());
    check::length(member, &value, 1, 512)?;
    let known =
        |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || ".,+@=_-".contains(c));
    let inner = value.strip_prefix('/').and_then(|rest| rest.strip_suffix('/'));
    check::pattern(
        member,
        value == "/" || inner.is_some_and(|inner| inner.split('/').all(known)),
        POLICY_PATH_PATTERN,
    )?;
    Ok(value)
}

/// Checks the ARN of a managed policy.
pub fn policy_arn(member: &'static str, value: Option<String>) -> Result<PolicyArn, Error> {
    let value = check::required(member, value)?;
    check::length(member, &value, 20, MAX_ARN as u64)?;
    PolicyArn::parse(value)
}

/// Checks the characters and the length of a policy document.
pub fn policy_document(member: &'static str, text: Option<String>) -> Result<String, Error> {
    let text = check::required(member, text)?;
    check::length(member, &text, 1, MAX_DOCUMENT)?;
    let known = |c: char| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{FF}');
    check::pattern(member, text.chars().all(known), DOCUMENT_PATTERN)?;
    Ok(text)
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Tag {
    pub key: Option<String>,
    pub value: Option<String>,
}

/// Checks tags: keys of 1 to 128 and values of 0 to 256 characters, no key twice, no key of AWS, at most 50.
pub fn tags(tags: Vec<Tag>) -> Result<Tags, Error> {
    check::size("tags", tags.len(), 0, MAX_TAGS as u64)?;
    let mut checked = Tags::new();
    for (index, tag) in tags.into_iter().enumerate() {
        let member = |name| check::element("tags", index, name);
        let key = check::required(member("key"), tag.key)?;
        let value = check::required(member("value"), tag.value)?;
        tag_text(member("key"), &key, 1, 128)?;
        tag_text(member("value"), &value, 0, 256)?;
        if key.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("aws:")) {
            return Err(Error::InvalidInput("System tags cannot be added/updated by requester".to_owned()));
        }
        if checked.keys().any(|known| known.to_lowercase() == key.to_lowercase()) {
            let why = "Duplicate tag keys found. Please note that Tag keys are case insensitive.";
            return Err(Error::InvalidInput(why.to_owned()));
        }
        checked.insert(key, value);
    }
    Ok(checked)
}

/// Checks the keys of tags to remove.
pub fn tag_keys(keys: Vec<String>) -> Result<Vec<String>, Error> {
    check::size("tagKeys", keys.len(), 0, MAX_TAGS as u64)?;
    for (index, key) in keys.iter().enumerate() {
        tag_text(check::element("tagKeys", index, ""), key, 1, 128)?;
    }
    Ok(keys)
}

fn tag_text(member: std::borrow::Cow<'static, str>, text: &str, min: u64, max: u64) -> Result<(), Error> {
    check::length(member.clone(), text, min, max)?;
    let known = |c: char| c.is_alphanumeric() || c.is_whitespace() && !c.is_control() || "_.:/=+-@".contains(c);
    Ok(check::pattern(member, text.chars().all(known), TAG_PATTERN)?)
}

/// Tags as the wire has them.
pub fn tags_out(tags: impl IntoIterator<Item = (String, String)>) -> Vec<Tag> {
    tags.into_iter().map(|(key, value)| Tag { key: Some(key), value: Some(value) }).collect()
}

/// The page that a call asks for: `Marker` and `MaxItems`.
#[derive(Debug)]
pub struct PageIn {
    marker: Option<String>,
    pub limit: u32,
}

impl PageIn {
    pub fn check(marker: Option<String>, max_items: Option<i64>) -> Result<PageIn, Error> {
        if let Some(marker) = &marker {
            check::length("marker", marker, 1, 320)?;
        }
        if let Some(items) = max_items {
            check::range("maxItems", items, 1, 1000)?;
        }
        let limit = max_items.and_then(|items| u32::try_from(items).ok()).unwrap_or(DEFAULT_ITEMS);
        Ok(PageIn { marker, limit })
    }

    /// A page of at most `most` items, where more would be too large. IAM may return fewer items than a call asks for.
    pub fn at_most(self, most: u32) -> PageIn {
        PageIn { limit: self.limit.min(most), ..self }
    }

    /// The name after which the page begins.
    pub fn after(&self, listing: &Listing) -> Result<Option<String>, Error> {
        let invalid = || Error::invalid("marker", Constraint::Text("Invalid Marker.".into()));
        let cursor = listing.decode_cursor(self.marker.as_deref()).map_err(|_| invalid())?;
        cursor.map(|cursor| String::from_utf8(cursor).map_err(|_| invalid())).transpose()
    }

    /// Cuts the page out of a short list that is read whole and ordered by `key`.
    pub fn cut<T>(&self, list: Vec<T>, listing: &Listing, key: impl Fn(&T) -> String) -> Result<Page<T>, Error> {
        let after = self.after(listing)?;
        let follows = |item: &T| after.as_ref().is_none_or(|after| key(item) > *after);
        let rest = list.into_iter().filter(follows).take(self.limit as usize + 1).collect();
        Ok(Page::of(rest, self.limit, key))
    }
}

/// The `IsTruncated` and `Marker` of a page.
pub fn marker(listing: &Listing, next: Option<String>) -> (bool, Option<String>) {
    (next.is_some(), listing.encode_cursor(next.map(String::into_bytes)))
}

/// The permission for `action` on the entity that a call names. The call knows no path: the domain finds the full ARN. Without a name
/// it is the calling user.
pub fn need_on(
    action: impl Into<Cow<'static, str>>,
    registry: &RegistryId,
    kind: EntityKind,
    name: Option<&str>,
) -> Need {
    let need = on_path(action, registry, kind, "/", name);
    Need { resource: Resource { is_exact: false, ..need.resource }, ..need }
}

/// The permission for `action` on an entity that the call creates at a path.
pub fn on_path(
    action: impl Into<Cow<'static, str>>,
    registry: &RegistryId,
    kind: EntityKind,
    path: &str,
    name: Option<&str>,
) -> Need {
    let name = kernel::excerpt(name.unwrap_or_default(), 128);
    let path = kernel::excerpt(path, 512);
    let (partition, account) = (registry.partition(), registry.account);
    Need::new(action, Resource::exact(format!("arn:{partition}:iam::{account}:{}{path}{name}", kind.name()), account))
}

/// Checks that the caller may have a user or a group where a call moves it to: under a new name, a new path, or both.
pub async fn authorize_move(
    cx: &Cx,
    action: &'static str,
    (kind, name): (EntityKind, &str),
    new_name: Option<&String>,
    new_path: Option<&String>,
) -> Result<(), Error> {
    if new_name.is_none() && new_path.is_none() {
        return Ok(());
    }
    let entity = identity::entity::get(cx, kind, name).await?;
    let (path, name) = (new_path.unwrap_or(&entity.path), new_name.unwrap_or(&entity.name));
    let need = on_path(action, &cx.registry, kind, path, Some(name));
    kernel::access::authorize(cx, &[need]).await?;
    Ok(())
}

/// The permission for an operation on a managed policy. Policies of AWS are in every account.
pub fn policy_need(operation: &str, registry: &RegistryId, arn: Option<&str>) -> Need {
    let text = kernel::excerpt(arn.unwrap_or_default(), MAX_ARN);
    let owner = arn.and_then(|arn| PolicyArn::parse(arn.to_owned()).ok()?.owner());
    Need::new(format!("iam:{operation}"), Resource::new(text.to_string(), owner.unwrap_or(registry.account)))
}

/// Adds the tags of a request to a need.
pub fn with_tags(mut need: Need, tags: &[Tag]) -> Need {
    let tags = tags.iter().filter_map(|tag| Some((tag.key.clone()?, tag.value.clone().unwrap_or_default())));
    need.request_tags.extend(tags);
    need
}

/// The permissions to create an entity with tags: to create it, and to tag it if there are tags.
pub fn create_with_tags(create: Need, tag_action: &'static str, tags: &[Tag]) -> Vec<Need> {
    let tagging = (!tags.is_empty()).then(|| with_tags(Need::new(tag_action, create.resource.clone()), tags));
    std::iter::once(with_tags(create, tags)).chain(tagging).collect()
}

/// When an entity was created.
pub fn created(entity: &Entity) -> Timestamp {
    Timestamp(entity.created_at)
}

/// The ARN of an entity.
pub fn arn(cx: &Cx, entity: &Entity) -> String {
    identity::entity::arn(cx.registry.partition(), entity)
}

/// A page of tags.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct TagsOut {
    tags: Vec<Tag>,
    is_truncated: bool,
    marker: Option<String>,
}

impl TagsOut {
    /// Cuts a page out of an entity's tags, which are ordered by key.
    pub fn page(tags: Vec<(String, String)>, page: &PageIn, listing: &Listing) -> Result<TagsOut, Error> {
        let cut = page.cut(tags, listing, |(key, _)| key.to_lowercase())?;
        let (is_truncated, marker) = marker(listing, cut.next);
        Ok(TagsOut { tags: tags_out(cut.items), is_truncated, marker })
    }
}

/// The name that a call gives, or that of the calling user. Only a user has one.
pub fn named_or_own(cx: &Cx, name: Option<String>) -> Result<String, Error> {
    let own = || match &cx.caller.identity {
        CallerIdentity::User { path_and_name, .. } => path_and_name.rsplit('/').next().map(str::to_owned),
        _ => None,
    };
    // AWS's words.
    let none = || {
        let text = "Must specify userName when calling with non-User credentials";
        Error::Common(kernel::CommonError::invalid("userName", Constraint::Text(text.into())))
    };
    name.or_else(own).ok_or_else(none)
}

/// The output of an operation without members.
pub type Nothing = ();
