//! DescribeUnused, CollectUnused: what of the server's storage nothing needs any more, and its collection at once.

use crate::{Admin, Error};
use call::Operation;
use kernel::access::Need;
use kernel::{Cx, RegistryId};
use listen::app::App;
use registry::collect::{self, Due};
use registry::permission;
use serde::{Deserialize, Serialize};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DescribeUnused {
    /// Count as if neither the window of what is deleted nor the grace of layers was waited for.
    #[serde(default)]
    at_once: bool,
}

/// What there is to collect in all registries.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DescribeUnusedOutput {
    /// Deleted images and repositories that would still be recoverable.
    pub recoverable_images: u64,
    pub recoverable_repositories: u64,
    /// Deleted images and repositories that a collection would remove.
    pub due_images: u64,
    pub due_repositories: u64,
    /// Layers that no image references, and their bytes.
    pub unreferenced_layers: u64,
    pub unreferenced_bytes: u64,
    /// Those of them that a collection would remove.
    pub due_layers: u64,
    pub due_bytes: u64,
}

impl Operation for DescribeUnused {
    const NAME: &'static str = "DescribeUnused";
    type Api = Admin;
    type Checked = bool;
    type Output = DescribeUnusedOutput;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![Need::new("ecru:DescribeUnused", permission::registry(registry))]
    }

    fn check(self) -> Result<bool, Error> {
        Ok(self.at_once)
    }

    async fn handle(at_once: bool, cx: &Cx, _app: &App) -> Result<DescribeUnusedOutput, Error> {
        let found = collect::survey(cx, due(cx, at_once)).await?;
        Ok(DescribeUnusedOutput {
            recoverable_images: found.recoverable_images,
            recoverable_repositories: found.recoverable_repositories,
            due_images: found.due_images,
            due_repositories: found.due_repositories,
            unreferenced_layers: found.unreferenced_layers,
            unreferenced_bytes: found.unreferenced_bytes,
            due_layers: found.due_layers,
            due_bytes: found.due_bytes,
        })
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CollectUnused {
    /// Do not wait for the window of what is deleted and for the grace of layers. What is deleted can't be restored then.
    #[serde(default)]
    at_once: bool,
}

/// What the collection removed in all registries.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CollectUnusedOutput {
    pub images: u64,
    pub repositories: u64,
    pub layers: u64,
    /// The bytes of those layers.
    pub layer_bytes: u64,
    /// Files that no record named.
    pub strays: u64,
    pub events: u64,
    /// Whether a backup was running, so that no layers were removed.
    pub held: bool,
}

impl Operation for CollectUnused {
    const NAME: &'static str = "CollectUnused";
    type Api = Admin;
    type Checked = bool;
    type Output = CollectUnusedOutput;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![Need::new("ecru:CollectUnused", permission::registry(registry))]
    }

    fn check(self) -> Result<bool, Error> {
        Ok(self.at_once)
    }

    async fn handle(at_once: bool, cx: &Cx, _app: &App) -> Result<CollectUnusedOutput, Error> {
        let due = due(cx, at_once);
        let done = collect::run(cx, due).await?;
        // The grace of the layers of those images and repositories begins with their removal. What is deleted meanwhile keeps its window.
        let again = Due { deleted: due.deleted, ..Due::at_once(cx) };
        let more = if at_once { collect::run(cx, again).await? } else { collect::Collected::default() };
        Ok(CollectUnusedOutput {
            images: done.images + more.images,
            repositories: done.repositories + more.repositories,
            layers: done.layers + more.layers,
            layer_bytes: done.layer_bytes + more.layer_bytes,
            strays: done.strays + more.strays,
            events: done.events + more.events,
            held: done.held || more.held,
        })
    }
}

fn due(cx: &Cx, at_once: bool) -> Due {
    if at_once { Due::at_once(cx) } else { Due::now(cx) }
}
