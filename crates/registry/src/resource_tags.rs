//! Resource tags of repositories (`ECR.md` A.2 TagResource, UntagResource, ListTagsForResource).

use crate::event::{self, Event};
use crate::{Cx, Error, repository};
use oci::RepositoryName;
use serde_json::json;
use std::collections::BTreeSet;

/// The most characters of a key (`ECR.md` A.2 CreateRepository).
pub const MAX_KEY: usize = 128;
/// The most characters of a value.
pub const MAX_VALUE: usize = 256;

/// Checks tags: keys of 1 to 128 and values of 0 to 256 characters, no control characters, no prefix `aws:`, no duplicate key, at most 50
/// tags.
pub fn check(cx: &Cx, tags: &[(String, String)]) -> Result<(), Error> {
    let refuse = |reason: String| Err(Error::InvalidTagParameter { member: "tags", reason });
    let mut keys = BTreeSet::new();
    for (key, value) in tags {
        if key.is_empty() || key.chars().count() > MAX_KEY {
            return refuse(format!("Key must have length between 1 and {MAX_KEY}"));
        }
        if value.chars().count() > MAX_VALUE {
            return refuse(format!("Value of key '{key}' must have length less than or equal to {MAX_VALUE}"));
        }
        if key.chars().chain(value.chars()).any(char::is_control) {
            return refuse("Keys and values must not hold control characters".to_owned());
        }
        if key.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("aws:")) {
            return refuse(format!("Key '{key}' must not begin with 'aws:'"));
        }
        if !keys.insert(key) {
            return refuse(format!("Key '{key}' is given twice"));
        }
    }
    within_limit(cx.limits.resource_tags, tags.len())
}

fn within_limit(max: usize, count: usize) -> Result<(), Error> {
    if count > max { Err(Error::TooManyTags { count, max }) } else { Ok(()) }
}

/// Adds tags. Existing tags with the same keys are overwritten.
pub async fn tag(cx: &Cx, name: &RepositoryName, tags: Vec<(String, String)>) -> Result<(), Error> {
    check(cx, &tags)?;
    let max = cx.limits.resource_tags;
    let event = Event::new(cx, "repository.tag", None);
    repository::change(cx, name, move |tx, row| {
        let before = tx.resource_tag_list(row.id)?;
        let kept = before.iter().filter(|(key, _)| tags.iter().all(|(new, _)| new != key)).count();
        within_limit(max, kept + tags.len())?;
        for (key, value) in &tags {
            tx.resource_tag_put(row.id, key, value)?;
        }
        let detail = json!({ "before": before, "put": tags });
        event::record(tx, Event { repository: Some(row.id), detail, ..event.clone() })?;
        Ok(())
    })
    .await?;
    Ok(())
}

/// Removes tags. Unknown keys are ignored. Does nothing if no key matches.
pub async fn untag(cx: &Cx, name: &RepositoryName, keys: Vec<String>) -> Result<(), Error> {
    let keys: BTreeSet<String> = keys.into_iter().collect();
    let event = Event::new(cx, "repository.untag", None);
    repository::change_to_free(cx, name, move |tx, row| {
        // Only keys that exist cost a statement, so the number of keys does not matter.
        let mut removed = tx.resource_tag_list(row.id)?;
        removed.retain(|(key, _)| keys.contains(key));
        for (key, _) in &removed {
            tx.resource_tag_delete(row.id, key)?;
        }
        if !removed.is_empty() {
            let detail = json!({ "removed": removed });
            event::record(tx, Event { repository: Some(row.id), detail, ..event.clone() })?;
        }
        Ok(())
    })
    .await?;
    Ok(())
}

/// Lists the tags of a repository, ordered by key.
pub async fn list(cx: &Cx, name: &RepositoryName) -> Result<Vec<(String, String)>, Error> {
    repository::read(cx, name, |tx, row| Ok(tx.resource_tag_list(row.id)?)).await
}
