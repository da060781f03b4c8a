//! Layers: their visibility in repositories, their bytes, and mounts (`ECR.md` A.3, B.4, B.8; DESIGN "Layers").
//!
//! A layer whose bytes are missing or corrupt is marked, and counts as missing until it is pushed again ([`damage`]).

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

/// A layer that is visible in a repository.
#[derive(Clone, Debug)]
pub struct Layer {
    pub id: LayerId,
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
    /// The media type in the last manifest of the repository that named the layer.
    pub media_type: Option<String>,
}

/// Returns those of `digests` that are visible in the repository and will not be collected before a push in progress can finish (the HEAD
/// rule of DESIGN "Deletion"), in the order of the request.
pub async fn check(cx: &Cx, name: &RepositoryName, digests: Vec<Digest>) -> Result<Vec<Layer>, Error> {
    let outlives = outlives(cx);
    let digests: Vec<Vec<u8>> = digests.iter().map(Digest::to_bytes).collect();
    let shown = match digests.as_slice() {
        // docker checks one layer at a time.
        [digest] => {
            let found = cx.db.look_up(records::layer::named(&cx.registry.key(), name.as_str(), digest)).await?;
            vec![found.ok_or_else(|| not_found(cx, name))?]
        }
        _ => read(cx, name, move |tx, repository| Ok(tx.layers_shown(repository.id, &digests)?)).await?,
    };
    let sound = |shown: &ShownLayer| shown.layer.damaged_at.is_none() && outlives(&shown.layer);
    shown.into_iter().flatten().filter(sound).map(layer).collect()
}

/// Returns a layer for GetDownloadUrlForLayer and redirects.
///
/// Fails with LayersNotFound if it is not visible. With `referenced`, as the API requires, fails with LayerInaccessible if no image
/// references it.
pub async fn find(cx: &Cx, name: &RepositoryName, digest: &Digest, referenced: bool) -> Result<Layer, Error> {
    layer(find_shown(cx, name, digest, referenced).await?.shown)
}

/// Returns a layer by the id of its record, for signed layer URLs. Returns `None` if it is gone or damaged.
pub async fn by_id(system: &System, id: LayerId) -> Result<Option<Layer>, Error> {
    system.blobs.present()?;
    let row = system.db.look_up(records::layer::by_id(id)).await?;
    row.filter(|row| row.damaged_at.is_none()).map(|row| layer(ShownLayer { layer: row, media_type: None })).transpose()
}

/// Hides a layer from the repository. Refused while an image in the repository references the layer.
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

/// Finds a visible layer with its record, and with its bytes if they are in the record. See [`find`].
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

/// Returns a stored size. Sizes are never negative.
fn size(row: &LayerRow) -> u64 {
    u64::try_from(row.size).unwrap_or(0)
}

/// Returns a predicate that is true for layers that will not be collected before a push in progress can finish.
fn outlives(system: &System) -> impl Fn(&LayerRow) -> bool + Send + use<> {
    let (needed, grace) = (system.now().plus(system.limits.push_life), system.limits.grace);
    move |row| row.unreferenced_since.is_none_or(|since| Time(since).plus(grace) > needed)
}

/// The errors for a missing repository or layer. It is made before the transaction, which moves it in.
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
