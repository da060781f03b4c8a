//! Limits and checks of client input.

use super::support::*;
use identity::bootstrap::{self, BootstrapError};
use kernel::keys::Keys;
use kernel::{Cx, Parts, System};
use oci::{Digest, Manifest, MediaType};
use registry::image::{self, ImageChange, NewImage, PushClient, PushedImage};
use registry::repository::{self, TagMutability};
use registry::{Error, referrers, resource_tags};
use serde_json::{Value, json};
use zeroize::Zeroizing;

/// The details of the events of one kind in `team/app`.
async fn events(world: &World, kind: &'static str) -> Vec<String> {
    let events = world.events(&app()).await;
    events.into_iter().filter(|event| event.kind == kind).map(|event| event.detail).collect()
}

#[tokio::test]
async fn a_resource_tag_must_not_contain_control_characters() {
    let world = World::new(Store::Memory).await;
    for (key, value) in [("a\0b", "v"), ("k", "\0"), ("a\nb", "v"), ("k", "\u{85}")] {
        let tags = vec![(key.to_owned(), value.to_owned())];
        let refused = resource_tags::tag(&world.cx, &app(), tags).await.unwrap_err();
        assert!(matches!(refused, Error::InvalidTagParameter { .. }), "{key:?} {value:?}: {refused:?}");
    }
    assert_eq!(resource_tags::list(&world.cx, &app()).await.unwrap(), []);
}

#[tokio::test]
async fn untagging_ignores_unknown_keys() {
    let world = World::new(Store::Memory).await;
    let tag = |key: &str| (key.to_owned(), "v".to_owned());
    resource_tags::tag(&world.cx, &app(), vec![tag("a"), tag("b")]).await.unwrap();
    let absent = || vec!["never".to_owned(), "a\0".to_owned()];
    resource_tags::untag(&world.cx, &app(), absent()).await.unwrap();
    assert_eq!(events(&world, "repository.untag").await, Vec::<String>::new());
    resource_tags::untag(&world.cx, &app(), [absent(), vec!["a".to_owned()]].concat()).await.unwrap();
    assert_eq!(resource_tags::list(&world.cx, &app()).await.unwrap(), [tag("b")]);
    assert_eq!(events(&world, "repository.untag").await, [json!({"removed": [["a", "v"]]}).to_string()]);
}

const CONTAINERD: PushClient = PushClient::Docker { containerd: true };

/// Puts the manifest of an image with this config.
async fn put(
    world: &World,
    client: PushClient,
    config: &[u8],
    more: Value,
    tag: Option<&str>,
) -> Result<PushedImage, Error> {
    let digest = world.put(config).await;
    let mut manifest = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_MANIFEST,
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": digest.to_string(), "size": config.len()},
        "layers": [],
    });
    manifest.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let new = NewImage {
        bytes: manifest.to_string().into_bytes(),
        media_type: None,
        tags: tag.map(|tag| tag.parse().unwrap()).into_iter().collect(),
        digest: None,
        client,
    };
    image::put(&world.cx, &app(), new).await
}

#[tokio::test]
async fn an_image_of_another_platform_is_parked_for_every_client() {
    let image = json!({"os": "linux", "architecture": "amd64"}).to_string();
    for first in [PushClient::Api, PushClient::Docker { containerd: false }, CONTAINERD] {
        let world = World::new(Store::Memory).await;
        put(&world, first, image.as_bytes(), json!({}), None).await.unwrap();
        repository::put_tag_mutability(&world.cx, &app(), TagMutability::Immutable).await.unwrap();
        let put = async |config: &[u8], more: Value| put(&world, CONTAINERD, config, more, Some("v1")).await;
        assert_eq!(put(image.as_bytes(), json!({})).await.unwrap().change, ImageChange::Tagged);
        let parked = put(b"{}", json!({})).await.unwrap();
        assert_eq!((parked.change, parked.unmoved), (ImageChange::Stored, vec!["v1".parse().unwrap()]), "{first:?}");
        let other = put(image.as_bytes(), json!({"annotations": {"another": "build"}})).await;
        assert!(matches!(other, Err(Error::ImageTagAlreadyExists { .. })), "{first:?}");
    }
}

#[tokio::test]
async fn an_invalid_platform_is_stored_as_unknown() {
    let world = World::new(Store::Memory).await;
    let platform = async |digest: Digest| {
        let registry = world.cx.registry.key();
        let row = world.cx.db.read(move |tx| {
            let repository = tx.repository_by_name(&registry, app().as_str())?.unwrap();
            tx.image_by_digest(repository.id, &digest.to_bytes())
        });
        let row: Result<_, meta::Error> = row.await;
        row.unwrap().unwrap().platform
    };
    for (number, (os, expected)) in
        [("linux", Some("linux/amd64//")), ("lin\0ux", None), (&"x".repeat(300), None)].into_iter().enumerate()
    {
        let config = json!({"os": os, "architecture": "amd64"}).to_string();
        let digest =
            put(&world, CONTAINERD, config.as_bytes(), json!({}), Some(&format!("v{number}"))).await.unwrap().digest;
        assert_eq!(platform(digest).await.as_deref(), expected, "{os:?}");
    }
}

#[tokio::test]
async fn a_page_of_referrers_reads_at_most_the_size_of_a_manifest() {
    let world = World::new(Store::Memory).await;
    let subject = sha256(b"subject");
    let mut pushed = Vec::new();
    for (number, bytes) in
        [1, Manifest::MAX_BYTES / 3, Manifest::MAX_BYTES / 2, Manifest::MAX_BYTES / 2, 1].into_iter().enumerate()
    {
        let more = json!({
            "subject": {"mediaType": MediaType::OCI_MANIFEST, "digest": subject.to_string(), "size": 7},
            "annotations": {"number": number.to_string(), "text": "x".repeat(bytes)},
        });
        pushed.push(put(&world, PushClient::Api, b"{}", more, None).await.unwrap().digest);
        world.clock.advance(HOUR);
    }
    let (mut found, mut sizes, mut after) = (Vec::new(), Vec::new(), None);
    loop {
        let page = referrers::list(&world.cx, &app(), &subject, Vec::new(), after, 1000).await.unwrap();
        sizes.push(page.items.len());
        found.extend(page.items.into_iter().map(|item| item.digest));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!(found, pushed);
    assert_eq!(sizes, [3, 2]);
}

#[tokio::test]
async fn new_root_keys_without_an_old_one_are_refused() {
    let world = World::new(Store::Memory).await;
    let system = |roots: &[(u32, u8)]| {
        let cx: &Cx = &world.cx;
        let keys = roots.iter().map(|(number, byte)| (*number, Zeroizing::new([*byte; 32]))).collect();
        let parts = Parts {
            db: cx.db.clone(),
            blobs: cx.blobs.clone(),
            buffers: cx.buffers.clone(),
            clock: cx.clock.clone(),
            random: cx.random.clone(),
            keys: Keys::new(keys).unwrap(),
            limits: cx.limits.clone(),
            quirks: cx.quirks.clone(),
        };
        System::new(parts, &[&registry::DOMAIN])
    };
    for (roots, wrong) in [
        (&[(1, 1)][..], None),
        (&[(1, 2)], Some(1)),
        (&[(2, 2)], Some(2)),
        (&[(2, 2), (3, 3)], Some(2)),
        (&[(1, 1), (2, 2)], None),
        (&[(2, 2)], None),
        (&[(2, 3)], Some(2)),
    ] {
        let proved = bootstrap::prove_root_keys(&system(roots)).await;
        let refused = proved.err().map(|error| match error {
            BootstrapError::WrongRootKey(number) => number,
            other => panic!("{other}"),
        });
        assert_eq!(refused, wrong, "{roots:?}");
    }
}
