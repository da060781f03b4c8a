//! A public registry: one per account, in no region. All that happens in a private one happens in it, and nothing crosses over.

use super::support::*;
use identity::token;
use kernel::Cx;
use oci::{Algorithm, Reference, Tag};
use registry::image::{self, ImageChange, NewImage, PushClient, StatusFilter, TagStatus};
use registry::upload;
use registry::{Error, layer, repository};
use serde_json::json;
use std::collections::BTreeSet;

/// The event's kind, and the account and region that its row holds.
const EVENTS: &str = "SELECT kind, account, region FROM event WHERE repository_id = $1 ORDER BY id";

/// Pushes an image of an empty config and one layer with the tag `v1`.
async fn push(cx: &Cx, layer: &[u8]) -> image::PushedImage {
    let (config, size) = (put_to(cx, &app(), b"{}").await, layer.len());
    let layer = put_to(cx, &app(), layer).await;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config.to_string(), "size": 2},
        "layers": [{
            "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer.to_string(), "size": size
        }],
    });
    let (bytes, tags) = (manifest.to_string().into_bytes(), vec!["v1".parse().unwrap()]);
    let client = PushClient::Docker { containerd: false };
    image::put(cx, &app(), NewImage { bytes, media_type: None, tags, digest: None, client }).await.unwrap()
}

#[tokio::test]
async fn a_public_registry_takes_pushes_and_gives_pulls_lists_and_events() {
    let world = World::new(Store::Fs).await;
    let public = world.public_registry();
    // Descriptions wait for the pulls that are on their way to their records.
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let running = tokio::spawn(world.cx.system.clone().run(stopped));
    world.repository(&public, &app()).await;
    let pushed = push(&public, b"a public layer").await;
    assert_eq!(pushed.change, ImageChange::Stored);

    let tag: Tag = "v1".parse().unwrap();
    let pulled = image::pull(&public, &app(), &Reference::Tag(tag)).await.unwrap().unwrap();
    assert_eq!(pulled.digest, pushed.digest);
    assert_eq!(read(&public, &app(), &sha256(b"a public layer")).await.unwrap(), b"a public layer");
    let listed = repository::list(&public, None, 10).await.unwrap().items;
    assert_eq!(listed.iter().map(|found| found.name.clone()).collect::<Vec<_>>(), [app()]);
    let described = image::describe(&public, &app(), TagStatus::Any, StatusFilter::Any, None, 10).await.unwrap().items;
    assert_eq!(described.iter().map(|found| found.digest).collect::<Vec<_>>(), [pushed.digest]);

    let id = repository::get(&public, &app()).await.unwrap().id;
    let rows = public.db.read(move |tx| tx.query(EVENTS, &[id.into()])).await;
    let rows = rows.map_err(|error: meta::Error| error).unwrap();
    let events: Vec<(String, String, String)> =
        rows.iter().map(|row| (row.get(0).unwrap(), row.get(1).unwrap(), row.get(2).unwrap())).collect();
    let kinds: BTreeSet<&str> = events.iter().map(|(kind, ..)| kind.as_str()).collect();
    assert_eq!(kinds, BTreeSet::from(["repository.create", "layer.push", "image.push"]));
    assert!(
        events.iter().all(|(_, account, region)| (account.as_str(), region.as_str()) == ("000000000000", "@public"))
    );
    repository::delete(&public, &app(), true).await.unwrap();
    assert!(matches!(repository::get(&public, &app()).await, Err(Error::RepositoryNotFound { .. })));
    repository::get(&world.cx, &app()).await.unwrap();
    drop(stop);
    running.await.unwrap();
}

#[tokio::test]
async fn nothing_crosses_between_an_accounts_private_and_public_registry() {
    let world = World::new(Store::Memory).await;
    let public = world.public_registry();
    assert!(matches!(repository::get(&public, &app()).await, Err(Error::RepositoryNotFound { .. })));
    world.repository(&public, &app()).await;
    push(&public, b"a public layer").await;

    let digest = sha256(b"a public layer");
    assert_eq!(layer::check(&world.cx, &app(), vec![digest]).await.unwrap().len(), 0);
    assert_eq!(layer::check(&public, &app(), vec![digest]).await.unwrap().len(), 1);
    let tag = Reference::Tag("v1".parse().unwrap());
    assert!(image::head(&world.cx, &app(), &tag).await.unwrap().is_none());
    // An upload belongs to the registry in which it began.
    let upload = upload::start(&public, &app(), Algorithm::Sha256).await.unwrap();
    upload::status(&public, &app(), upload).await.unwrap();
    assert!(matches!(upload::status(&world.cx, &app(), upload).await, Err(Error::UploadNotFound { .. })));
}

#[tokio::test]
async fn a_token_says_which_registry_it_is_good_for() {
    let world = World::new(Store::Memory).await;
    for cx in [world.cx.clone(), world.public_registry()] {
        let (password, _) = token::mint(&cx);
        assert_eq!(token::verify(&cx, &password).unwrap().registry, cx.registry);
    }
}
