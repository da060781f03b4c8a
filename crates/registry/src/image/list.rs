//! Lists image ids and tags (`ECR.md` A.3 ListImages, B.7).

use super::{StatusFilter, TagStatus, cursor};
use crate::repository::{Page, read};
use crate::{Cx, Error};
use meta::RepositoryId;
use meta::Tx;
use meta::records::image::PushCursor;
use oci::{Digest, RepositoryName};

/// Lists images (ListImages): an element for each (digest, tag), ordered by tag, then the untagged images, ordered by push time.
pub async fn list(
    cx: &Cx,
    name: &RepositoryName,
    tags: TagStatus,
    status: StatusFilter,
    after: Option<Vec<u8>>,
    limit: u32,
) -> Result<Page<(Digest, Option<String>)>, Error> {
    let after = after.as_deref().map(Place::read).transpose()?.unwrap_or(Place::Tag(String::new()));
    let elements = read(cx, name, move |tx, row| {
        if !status.selects_active() {
            return Ok(Vec::new());
        }
        elements(tx, row.id, tags, &after, limit.saturating_add(1))
    })
    .await?;
    let page = Page::cut(elements, limit, |element| element.place.write());
    let items = page.items.into_iter().map(|element| Ok((digest(&element.digest)?, element.tag)));
    Ok(Page { items: items.collect::<Result<_, Error>>()?, next: page.next })
}

/// Lists the tags after `last`, in order, for the docker door. Also returns whether more follow.
pub async fn tags(
    cx: &Cx,
    name: &RepositoryName,
    last: Option<String>,
    limit: u32,
) -> Result<(Vec<String>, bool), Error> {
    let last = last.unwrap_or_default();
    let names = read(cx, name, move |tx, row| Ok(tx.tag_list(row.id, &last, limit.saturating_add(1))?)).await?;
    let page = Page::cut(names, limit, |name| name.as_bytes().to_vec());
    Ok((page.items, page.next.is_some()))
}

fn digest(bytes: &[u8]) -> Result<Digest, Error> {
    Digest::from_bytes(bytes).map_err(Error::server)
}

struct Element {
    place: Place,
    digest: Vec<u8>,
    tag: Option<String>,
}

/// Returns up to `limit` elements after a place: the remaining tags, then the untagged images.
fn elements(
    tx: &mut Tx<'_>,
    repository: RepositoryId,
    tags: TagStatus,
    after: &Place,
    limit: u32,
) -> Result<Vec<Element>, Error> {
    let mut elements = Vec::new();
    if let (Place::Tag(after), TagStatus::Tagged | TagStatus::Any) = (after, tags) {
        for (name, digest) in tx.tag_list_images(repository, after, limit)? {
            elements.push(Element { place: Place::Tag(name.clone()), digest, tag: Some(name) });
        }
    }
    let left = limit.saturating_sub(u32::try_from(elements.len()).unwrap_or(limit));
    if left > 0 && tags != TagStatus::Tagged {
        let start = match after {
            Place::Untagged(cursor) => cursor,
            Place::Tag(_) => &PushCursor::START,
        };
        for cursor in tx.image_untagged(repository, start, left)? {
            elements.push(Element { digest: cursor.digest.clone(), place: Place::Untagged(cursor), tag: None });
        }
    }
    Ok(elements)
}

/// A place in a listing. The next page starts after this tag, or after this untagged image.
enum Place {
    Tag(String),
    Untagged(PushCursor),
}

impl Place {
    fn write(&self) -> Vec<u8> {
        match self {
            Place::Tag(name) => [b"t", name.as_bytes()].concat(),
            Place::Untagged(place) => [b"u", cursor::write(place).as_slice()].concat(),
        }
    }

    fn read(bytes: &[u8]) -> Result<Place, Error> {
        let place = match bytes.split_first() {
            Some((b't', name)) => String::from_utf8(name.to_vec()).ok().map(Place::Tag),
            Some((b'u', place)) => cursor::read(place).map(Place::Untagged),
            _ => None,
        };
        place.ok_or_else(cursor::invalid)
    }
}
