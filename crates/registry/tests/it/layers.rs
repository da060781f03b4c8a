//! The layers of a repository: reading, checking, mounting and deleting them (`ECR.md` A.3, B.4, B.8).

use super::support::*;
use kernel::access::{Need, authorize};
use kernel::limits::Limits;
use kernel::quirks::{Behaviour, Quirks};
use kernel::{CommonError, Cx};
use meta::ImageId;
use meta::records::image::ImageRow;
use oci::{ByteRange, Digest};
use registry::layer::{self, LayerOpening};
use registry::{Error, permission, repository};

/// Stores the record of an image that references one layer.
async fn reference(cx: &Cx, repository: &str, digest: Digest) -> ImageId {
    let repository = repository::get(cx, &name(repository)).await.unwrap().id;
    let (image, now): (ImageId, _) = (cx.id(), cx.now().0);
    cx.db
        .write(move |tx| {
            let row = ImageRow {
                id: image,
                digest: sha256(&image.0).to_bytes(),
                media_type: "application/vnd.oci.image.manifest.v1+json".to_owned(),
                artifact_type: None,
                subject: None,
                platform: None,
                manifest_size: 2,
                image_size: 2,
                tag_count: 0,
                storage_class: "STANDARD".to_owned(),
                pushed_at: now,
                archived_at: None,
                activated_at: None,
            };
            tx.change(meta::records::image::insert(repository, &row))?;
            let layer = tx.layer_shown(repository, &digest.to_bytes())?.unwrap().layer.id;
            tx.image_layers_insert(image, &[layer])
        })
        .await
        .unwrap();
    image
}

async fn checked(world: &World, repository: &str, digest: Digest) -> bool {
    let found = layer::check(&world.cx, &name(repository), vec![sha256(b"no layer"), digest]).await.unwrap();
    assert!(found.iter().all(|layer| layer.digest == digest));
    !found.is_empty()
}

#[tokio::test]
async fn ranges_of_layers_can_be_read_on_every_store() {
    for store in EVERY_STORE {
        let world = World::new(store).await;
        for size in [1000, 600_000] {
            let bytes = layer_bytes(1, size);
            let digest = world.put(&bytes).await;
            let cases = [
                (ByteRange::FromTo(0, 0), Some(0..1)),
                (ByteRange::FromTo(10, 19), Some(10..20)),
                (ByteRange::FromTo(990, u64::MAX), Some(990..size)),
                (ByteRange::From(999), Some(999..size)),
                (ByteRange::Last(1), Some(size - 1..size)),
                (ByteRange::Last(u64::MAX), Some(0..size)),
                (ByteRange::From(size as u64), None),
                (ByteRange::Last(0), None),
            ];
            for (asked, expected) in cases {
                match (layer::open(&world.cx, &app(), &digest, Some(asked)).await.unwrap(), expected) {
                    (LayerOpening::Opened(opened), Some(range)) => {
                        assert_eq!(opened.range, range.start as u64..range.end as u64);
                        assert_eq!(opened.layer.size, size as u64);
                        assert_eq!(collect(opened.bytes).await.unwrap(), bytes[range], "{store:?}, {asked:?}");
                    }
                    (LayerOpening::Unsatisfiable { size: told }, None) => assert_eq!(told, size as u64),
                    (_, expected) => panic!("{asked:?}: expected {expected:?}"),
                }
            }
        }
    }
}

#[tokio::test]
async fn a_layer_of_another_repository_is_not_found() {
    let world = World::new(Store::Fs).await;
    world.repository(&world.cx, &name("other")).await;
    let digest = put_to(&world.cx, &name("other"), b"layer").await;
    for result in [
        world.read(&digest).await.map(drop),
        layer::find(&world.cx, &app(), &digest, true).await.map(drop),
        layer::delete(&world.cx, &app(), &digest).await,
    ] {
        let error = result.unwrap_err();
        let text = format!(
            "Layers with digests '[{digest}]' do not exist in the repository with name 'team/app' in the registry with id '000000000000'"
        );
        assert!(matches!(error, Error::LayersNotFound { .. }));
        assert_eq!(error.to_string(), text);
    }
    for result in [
        layer::check(&world.cx, &name("none"), vec![digest]).await.map(drop),
        layer::find(&world.cx, &name("none"), &digest, false).await.map(drop),
        layer::delete(&world.cx, &name("none"), &digest).await,
    ] {
        assert!(matches!(result, Err(Error::RepositoryNotFound { .. })));
    }
}

#[tokio::test]
async fn the_api_returns_urls_only_for_layers_that_an_image_of_the_repository_references() {
    let world = World::new(Store::Fs).await;
    world.repository(&world.cx, &name("other")).await;
    let digest = world.put(b"layer").await;
    put_to(&world.cx, &name("other"), b"layer").await;
    reference(&world.cx, "other", digest).await;
    let error = layer::find(&world.cx, &app(), &digest, true).await.unwrap_err();
    assert!(matches!(error, Error::LayerInaccessible { .. }), "{error}");
    assert_eq!(layer::find(&world.cx, &app(), &digest, false).await.unwrap().size, 5);
    let image = reference(&world.cx, "team/app", digest).await;
    layer::find(&world.cx, &app(), &digest, true).await.unwrap();
    world.cx.db.write(move |tx| tx.image_delete(image, 1)).await.unwrap();
    let error = layer::find(&world.cx, &app(), &digest, true).await.unwrap_err();
    assert!(matches!(error, Error::LayerInaccessible { .. }), "{error}");
}

#[tokio::test]
async fn an_unreferenced_layer_is_served_unless_the_quirk_is_on() {
    let mut quirks = Quirks::default();
    assert!(quirks.set("unreferenced_layer_get", Behaviour::Faithful));
    let world = World::with(Store::Fs, 1, Limits::default(), quirks).await;
    let digest = world.put(b"layer").await;
    let error = world.read(&digest).await.unwrap_err();
    assert!(matches!(error, Error::LayerInaccessible { .. }), "{error}");
    reference(&world.cx, "team/app", digest).await;
    assert_eq!(world.read(&digest).await.unwrap(), b"layer");
}

#[tokio::test]
async fn a_layer_counts_as_missing_if_it_could_be_removed_before_a_push_ends() {
    let world = World::new(Store::Fs).await;
    let (kept, going) = (world.put(b"kept").await, world.put(b"going").await);
    reference(&world.cx, "team/app", kept).await;
    // The grace period of 72 hours minus the longest push of 24.
    world.clock.advance(48 * HOUR - std::time::Duration::from_micros(1));
    assert!(checked(&world, "team/app", going).await);
    world.clock.advance(std::time::Duration::from_micros(1));
    assert!(!checked(&world, "team/app", going).await);
    assert!(checked(&world, "team/app", kept).await);
    assert_eq!(world.read(&going).await.unwrap(), b"going", "it can be read as long as it is there");
    // Another push restarts the grace period.
    world.put(b"going").await;
    assert!(checked(&world, "team/app", going).await);
}

#[tokio::test]
async fn a_layer_can_be_deleted_unless_an_image_of_the_repository_references_it() {
    let world = World::new(Store::Fs).await;
    world.repository(&world.cx, &name("other")).await;
    let digest = world.put(b"layer").await;
    put_to(&world.cx, &name("other"), b"layer").await;
    let image = reference(&world.cx, "team/app", digest).await;
    let error = layer::delete(&world.cx, &app(), &digest).await.unwrap_err();
    assert!(matches!(error, Error::LayerInUse { .. }), "{error}");
    layer::delete(&world.cx, &name("other"), &digest).await.unwrap();
    assert!(!checked(&world, "other", digest).await);
    assert!(checked(&world, "team/app", digest).await);
    world.cx.db.write(move |tx| tx.image_delete(image, 1)).await.unwrap();
    layer::delete(&world.cx, &app(), &digest).await.unwrap();
    assert!(!checked(&world, "team/app", digest).await);
    assert!(matches!(layer::delete(&world.cx, &app(), &digest).await, Err(Error::LayersNotFound { .. })));
    world.put(b"layer").await;
    assert_eq!(world.read(&digest).await.unwrap(), b"layer");
}

#[tokio::test]
async fn a_mount_adds_a_layer_without_a_copy_and_restarts_its_grace_period() {
    let world = World::new(Store::Fs).await;
    let (from, to) = (app(), name("other"));
    world.repository(&world.cx, &to).await;
    let digest = world.put(&layer_bytes(1, 50_000)).await;
    world.clock.advance(60 * HOUR);
    assert!(layer::mount(&world.cx, &from, &to, &digest).await.unwrap());
    assert!(layer::mount(&world.cx, &from, &to, &digest).await.unwrap(), "again");
    assert_eq!(read(&world.cx, &to, &digest).await.unwrap(), layer_bytes(1, 50_000));
    assert!(checked(&world, "other", digest).await);
    assert_eq!(world.locations().await, 1);
    let events = world.events(&to).await;
    let mounts: Vec<_> = events.iter().filter(|event| event.kind == "layer.mount").collect();
    assert_eq!((mounts.len(), mounts[0].detail.as_str()), (1, r#"{"from":"team/app"}"#));
}

#[tokio::test]
async fn an_impossible_mount_returns_no_reason() {
    let mut quirks = Quirks::default();
    assert!(quirks.set("mount_referenced_only", Behaviour::Faithful));
    let world = World::with(Store::Fs, 1, Limits::default(), quirks).await;
    let (from, to) = (app(), name("other"));
    world.repository(&world.cx, &to).await;
    let (digest, unreferenced) = (world.put(b"layer").await, world.put(b"unreferenced").await);
    reference(&world.cx, "team/app", digest).await;
    let unknown = sha256(b"unknown");
    for (from, digest) in [(&from, &unknown), (&name("none"), &digest), (&to, &digest), (&from, &unreferenced)] {
        assert!(!layer::mount(&world.cx, from, &to, digest).await.unwrap());
    }
    let registry = world.cx.registry.key();
    world.cx.db.write(move |tx| tx.account_setting_put(&registry, "BLOB_MOUNTING", "DISABLED", 1)).await.unwrap();
    assert!(!layer::mount(&world.cx, &from, &to, &digest).await.unwrap());
    let registry = world.cx.registry.key();
    world.cx.db.write(move |tx| tx.account_setting_put(&registry, "BLOB_MOUNTING", "ENABLED", 1)).await.unwrap();
    assert!(layer::mount(&world.cx, &from, &to, &digest).await.unwrap());
}

#[tokio::test]
async fn a_denied_optional_permission_is_reported_and_does_not_refuse_the_call() {
    let world = World::new(Store::Fs).await;
    let nobody = Cx { caller: kernel::access::Caller::nobody().into(), ..world.cx.clone() };
    let resource = || permission::repository(&world.cx.registry, &app());
    let download = || Need::new("ecr:GetDownloadUrlForLayer", resource());
    let start = || Need::new("ecr:InitiateLayerUpload", resource());
    assert!(authorize(&world.cx, &[start(), download().optional()]).await.unwrap());
    assert!(!authorize(&nobody, &[download().optional()]).await.unwrap());
    for needs in [vec![start(), download().optional()], vec![download().optional(), start()]] {
        assert!(matches!(authorize(&nobody, &needs).await, Err(CommonError::AccessDenied(_))));
    }
}
