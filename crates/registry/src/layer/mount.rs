//! Mounts a layer of one repository in another (`ECR.md` B.8).

use super::Missing;
use crate::account_setting::{self, BLOB_MOUNTING, ENABLED};
use crate::event::{self, Event};
use crate::quirks::Behaviour;
use crate::{Cx, Error};
use meta::records;
use oci::{Digest, RepositoryName};
use serde_json::json;

/// Makes a layer of `from` visible in `to` without a copy. Returns false if that is not possible for any reason (`ECR.md` B.8).
/// The caller must be authorized to download from `from`.
pub async fn mount(cx: &Cx, from: &RepositoryName, to: &RepositoryName, digest: &Digest) -> Result<bool, Error> {
    let registry = cx.registry.key();
    let (source, target, digest) = (from.to_string(), to.to_string(), *digest);
    let missing = Missing::of(cx, to, &digest);
    let referenced_only = cx.quirks.mount_referenced_only == Behaviour::Faithful;
    let now = cx.now().0;
    let detail = json!({ "from": source });
    let event = Event { digest: Some(digest), detail, ..Event::new(cx, "layer.mount", None) };
    cx.db
        .write(move |tx| {
            // Both repositories must exist, and share their layers.
            let to = tx.repository_by_name(&registry, &target)?.ok_or_else(|| missing.repository())?;
            let Some(from) = tx.repository_by_name(&registry, &source)? else { return Ok(false) };
            let disabled = account_setting::value(tx, &registry, &BLOB_MOUNTING)? != ENABLED;
            if disabled || from.encryption != to.encryption {
                return Ok(false);
            }
            // The source must show the layer, whole.
            let bytes = digest.to_bytes();
            let shown = tx.layer_shown(from.id, &bytes)?.filter(|shown| shown.layer.damaged_at.is_none());
            let Some(shown) = shown else { return Ok(false) };
            if referenced_only && !tx.layer_referenced_by(shown.layer.id, from.id)? {
                return Ok(false);
            }
            // Keep the layer until the push that mounts it has ended, and show it.
            tx.layer_rearm(shown.layer.id, now)?;
            let media_type = shown.media_type.as_deref();
            if tx.change(records::layer::show(to.id, &bytes, shown.layer.id, media_type))? {
                event::record(tx, Event { repository: Some(to.id), ..event.clone() })?;
            }
            Ok(true)
        })
        .await
}
