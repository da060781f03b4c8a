//! Calls of background jobs. A job may make any call, without a request.

use super::support::*;
use kernel::Cx;
use kernel::access::{CallerIdentity, Need, authorize};
use registry::image::{self, ImageRef, NewImage, PushClient};
use registry::permission;
use registry::push_log::{self, PushAttempt, PushRefusal};
use serde_json::json;

const SERVICE: &str = "ecr.amazonaws.com";

#[tokio::test]
async fn the_events_of_a_jobs_deletions_name_the_service() {
    let world = World::new(Store::Memory).await;
    let config = world.put(b"{}").await;
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": config.to_string(), "size": 2},
        "layers": [],
    });
    let client = PushClient::Docker { containerd: false };
    let (bytes, tags) = (manifest.to_string().into_bytes(), vec!["v1".parse().unwrap()]);
    image::put(&world.cx, &app(), NewImage { bytes, media_type: None, tags, digest: None, client }).await.unwrap();

    let job = Cx::for_job(world.cx.system.clone(), SERVICE, world.cx.registry.clone(), "lifecycle");
    let id = ImageRef { tag: Some("v1".to_owned()), digest: None };
    let (deleted, failed) = image::delete_batch(&job, &app(), vec![id]).await.unwrap();
    assert_eq!((deleted.len(), failed.len()), (1, 0));

    let events = world.events(&app()).await;
    let event = events.iter().rfind(|event| event.kind.starts_with("image.")).unwrap();
    assert_eq!((event.kind.as_str(), event.actor.as_str()), ("image.delete", SERVICE));
    assert_eq!((event.source.as_deref(), event.user_agent.as_deref()), (Some(SERVICE), Some(SERVICE)));
    assert_eq!(event.request_id, None);
}

#[tokio::test]
async fn a_job_is_denied_without_a_policy_and_the_denial_is_logged() {
    let world = World::new(Store::Memory).await;
    let job = Cx::for_job(world.cx.system.clone(), SERVICE, world.cx.registry.clone(), "replication");
    assert_eq!(job.caller.identity, CallerIdentity::Service { name: SERVICE });
    let need = Need::new("ecr:PutImage", permission::repository(&job.registry, &app()));
    let denied = authorize(&job, &[need]).await.unwrap_err();
    let attempt = PushAttempt { action: "PutImage", repository: app(), tag: None, digest: None };
    let (message, denied) = (denied.to_string(), true);
    push_log::refused(&job, attempt, PushRefusal { status: 403, code: "DENIED", message, denied });
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let running = tokio::spawn(world.cx.system.clone().run(stopped));
    let page = push_log::list(&world.cx, &app(), true, None, 10).await.unwrap();
    assert_eq!(page.items.len(), 1);
    assert_eq!((page.items[0].principal.as_str(), page.items[0].source.as_deref()), (SERVICE, Some(SERVICE)));
    drop(stop);
    running.await.unwrap();
}

#[tokio::test]
async fn the_transfers_of_a_job_have_a_share_of_the_buffers() {
    let world = World::new(Store::Memory).await;
    let job = Cx::for_job(world.cx.system.clone(), SERVICE, world.cx.registry.clone(), "replication");
    let digest = put_to(&job, &app(), &layer_bytes(1, 3 * MIB)).await;
    assert_eq!(read(&job, &app(), &digest).await.unwrap(), layer_bytes(1, 3 * MIB));
}
