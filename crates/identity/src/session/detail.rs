//! What the row of a session holds as JSON: its policies, tags and source identity.

use super::SessionLimits;
use crate::CommonError;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The version of the JSON.
const VERSION: u32 = 1;

/// It is a format, so the names of its members must not change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Detail {
    version: u32,
    pub policy: Option<String>,
    pub policy_arns: Vec<String>,
    pub tags: BTreeMap<String, String>,
    pub transitive_tag_keys: BTreeSet<String>,
    pub source_identity: Option<String>,
}

impl Detail {
    pub fn of(limits: SessionLimits, transitive_tag_keys: BTreeSet<String>, source_identity: Option<String>) -> Detail {
        let SessionLimits { policy, policy_arns, tags } = limits;
        Detail { version: VERSION, policy, policy_arns, tags, transitive_tag_keys, source_identity }
    }

    pub fn to_text(&self) -> String {
        serde_json::json!(self).to_string()
    }

    /// Fails for a version that this program does not know: it may limit the session in ways that would be ignored.
    pub fn read(text: &str) -> Result<Detail, CommonError> {
        let detail: Detail = serde_json::from_str(text).map_err(CommonError::server)?;
        if detail.version != VERSION {
            let why = format!("a session has details of version {}", detail.version);
            return Err(CommonError::server(std::io::Error::other(why)));
        }
        Ok(detail)
    }

    /// The bytes of the policies, the policies' ARNs and the tags.
    pub fn packed_bytes(&self) -> usize {
        let tags = self.tags.iter().map(|(key, value)| key.len() + value.len());
        let arns = self.policy_arns.iter().map(String::len);
        self.policy.as_ref().map_or(0, String::len) + arns.sum::<usize>() + tags.sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_are_read_as_they_were_written_and_only_in_their_own_version() {
        let limits = SessionLimits {
            policy: Some("{}".to_owned()),
            policy_arns: vec!["arn".to_owned()],
            tags: BTreeMap::from([("team".to_owned(), "a".to_owned())]),
        };
        let detail = Detail::of(limits, BTreeSet::from(["team".to_owned()]), Some("ann".to_owned()));
        assert_eq!(detail.packed_bytes(), 2 + 3 + 5);
        assert_eq!(Detail::read(&detail.to_text()).unwrap(), detail);
        let newer = detail.to_text().replace("\"version\":1", "\"version\":2");
        assert!(Detail::read(&newer).is_err());
    }
}
