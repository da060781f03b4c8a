//! Layers: what a repository shows, reading their bytes, mounts (`ECR.md` A.3, B.4, B.8; DESIGN "Layers").
//!
//! A layer whose bytes were found missing or wrong is marked, and counts as missing until it is pushed again ([`damage`]).
mod blocks;
mod damage;
mod mount;
mod open;
mod record;
pub mod verify;

pub use damage::Damage;
pub use mount::mount;
pub(crate) use open::open_as;
pub use open::{LayerOpening, LayerReader, OpenedLayer, open, open_by_id};
pub(crate) use record::{LayerBytes, LocationCheck, NewLayer, NotRecorded, RecordedLayer, check_location, record};

use crate::clock::Time;
use crate::event::{self, Event};
use crate::repository::{not_found, read};
use crate::{Cx, Error, LayersNotFoundBy, System};
use meta::LayerId;
use meta::records::{
    self,
    layer::{LayerRow, LayerToRead, ShownLayer},
};
use oci::{Digest, RepositoryName};

/// A layer that a repository shows.
#[derive(Clone, Debug)]
pub struct Layer {
    pub id: LayerId,
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
    /// As the last manifest of the repository that names it said.
    pub media_type: Option<String>,
}

/// The layers among `digests` that the repository shows and that will outlive a push (the HEAD rule of DESIGN "Deletion"),
/// in the order in which they were asked for.
pub async fn check(cx: &Cx, name: &RepositoryName, digests: Vec<Digest>) -> Result<Vec<Layer>, Error> {
    let outlives = outlives(cx);
    let digests: Vec<Vec<u8>> = digests.iter().map(Digest::to_bytes).collect();
    let shown = match digests.as_slice() {
        // docker asks for one at a time.
        [digest] => {
            let found = cx.db.look_up(records::layer::named(&cx.registry.key(), name.as_str(), digest)).await?;
            vec![found.ok_or_else(|| not_found(cx, name))?]
        }
        _ => read(cx, name, move |tx, repository| Ok(tx.layers_shown(repository.id, &digests)?)).await?,
    };
    let sound = |shown: &ShownLayer| shown.layer.damaged_at.is_none() && outlives(&shown.layer);
    shown.into_iter().flatten().filter(sound).map(layer).collect()
}

/// A layer for GetDownloadUrlForLayer and redirects: LayersNotFound when unknown, LayerInaccessible when no image references it
/// (`referenced` true, as the API asks).
pub async fn find(cx: &Cx, name: &RepositoryName, digest: &Digest, referenced: bool) -> Result<Layer, Error> {
    layer(find_shown(cx, name, digest, referenced).await?.shown)
}

/// A layer by its record's id, for signed layer URLs. `None` when it is gone or damaged.
pub async fn by_id(system: &System, id: LayerId) -> Result<Option<Layer>, Error> {
    system.blobs.present()?;
    let row = system.db.look_up(records::layer::by_id(id)).await?;
    row.filter(|row| row.damaged_at.is_none()).map(|row| layer(ShownLayer { layer: row, media_type: None })).transpose()
}

/// Takes a layer from what the repository shows; refused while an image here stands on it.
pub async fn delete(cx: &Cx, name: &RepositoryName, digest: &Digest) -> Result<(), Error> {
    let (registry, text, digest) = (cx.registry.key(), name.to_string(), *digest);
    let missing = Missing::of(cx, name, &digest);
    let event = Event { digest: Some(digest), ..Event::new(cx, "layer.delete", None) };
    cx.db
        .write_to_free(move |tx| {
            let repository = tx.repository_by_name(&registry, &text)?.ok_or_else(|| missing.repository())?;
            let bytes = digest.to_bytes();
            let shown = tx.layer_shown(repository.id, &bytes)?.ok_or_else(|| missing.layer())?;
            if tx.layer_referenced_by(shown.layer.id, repository.id)? {
                return Err(Error::LayerInUse { digest: digest.to_string(), name: text.clone() });
            }
            tx.layer_hide(repository.id, &bytes)?;
            event::record(tx, Event { repository: Some(repository.id), ..event.clone() })?;
            Ok(())
        })
        .await
}

/// A shown layer with its record, and its bytes where they lie in one; see [`find`].
async fn find_shown(cx: &Cx, name: &RepositoryName, digest: &Digest, referenced: bool) -> Result<LayerToRead, Error> {
    let missing = Missing::of(cx, name, digest);
    let found = cx.db.look_up(records::layer::to_read(&cx.registry.key(), name.as_str(), &digest.to_bytes())).await?;
    let found = found.ok_or_else(|| missing.repository())?.ok_or_else(|| missing.layer())?;
    if referenced
        && cx.db.look_up(records::layer::referenced_by(found.shown.layer.id, found.repository)).await?.is_none()
    {
        return Err(missing.reference());
    }
    Ok(found)
}

fn layer(shown: ShownLayer) -> Result<Layer, Error> {
    Ok(Layer {
        id: shown.layer.id,
        digest: Digest::from_bytes(&shown.layer.digest).map_err(Error::server)?,
        size: size(&shown.layer),
        media_type: shown.media_type,
    })
}

/// A stored size; sizes are never negative.
fn size(row: &LayerRow) -> u64 {
    u64::try_from(row.size).unwrap_or(0)
}

/// Tells the layers that stay for a push's life from those that may be collected before its manifest comes.
fn outlives(system: &System) -> impl Fn(&LayerRow) -> bool + Send + use<> {
    let (needed, grace) = (system.now().plus(system.limits.push_life), system.limits.grace);
    move |row| row.unreferenced_since.is_none_or(|since| Time(since).plus(grace) > needed)
}

/// What a call says of a repository or a layer that is not there; made before the transaction that finds out.
struct Missing {
    name: String,
    account: String,
    digest: Digest,
}

impl Missing {
    fn of(cx: &Cx, name: &RepositoryName, digest: &Digest) -> Missing {
        Missing { name: name.to_string(), account: cx.registry.account.to_string(), digest: *digest }
    }

    fn repository(&self) -> Error {
        Error::RepositoryNotFound { name: self.name.clone(), account: self.account.clone() }
    }

    fn layer(&self) -> Error {
        Error::LayersNotFound {
            by: LayersNotFoundBy::Read,
            digests: self.digest.to_string(),
            name: self.name.clone(),
            account: self.account.clone(),
        }
    }

    fn reference(&self) -> Error {
        Error::LayerInaccessible {
            digest: self.digest.to_string(),
            name: self.name.clone(),
            account: self.account.clone(),
        }
    }
}
