//! Power failures: 500 seeded runs of the fs engine on a disk that loses data without a sync.

use super::support::*;
use bytes::Bytes;
use kernel::Cx;
use kernel::limits::Limits;
use kernel::quirks::Quirks;
use oci::{Digest, RepositoryName};
use registry::Error;
use registry::image::{self, NewImage, PushClient};
use registry::upload::{self, BodySource, CompletionRules, UploadId};
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

const RUNS: u64 = 500;
/// The number of runs on PostgreSQL. It is smaller because creating a database is slow, and this test is about the layers' disk.
const RUNS_ON_POSTGRES: u64 = 40;
/// The number of tasks that share the runs.
const TASKS: u64 = 4;
const PUSHERS: u64 = 3;
const IMAGES: u64 = 2;

/// The answers that clients received before the power failure.
#[derive(Default)]
struct Told {
    layers: Vec<(Digest, Vec<u8>)>,
    images: Vec<(Digest, Vec<u8>)>,
    /// The sessions that may still be open, with the bytes that clients were sending.
    sessions: Vec<(UploadId, Vec<u8>)>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_loses_nothing_that_was_acknowledged_and_leaves_no_record_without_bytes() {
    let runs = if on_postgres() { RUNS_ON_POSTGRES } else { RUNS };
    let tasks: Vec<_> = (0..TASKS)
        .map(|task| {
            tokio::spawn(async move {
                let mut acknowledged = (0, 0, 0);
                for seed in (task..runs).step_by(TASKS as usize) {
                    let (layers, images, resumed) = run(seed).await;
                    acknowledged = (acknowledged.0 + layers, acknowledged.1 + images, acknowledged.2 + resumed);
                }
                acknowledged
            })
        })
        .collect();
    let mut sum = (0, 0, 0);
    for task in tasks {
        let (layers, images, resumed) = task.await.unwrap();
        sum = (sum.0 + layers, sum.1 + images, sum.2 + resumed);
    }
    // The runs must fail before, between and after acknowledgements, or they test nothing.
    let all = (runs * PUSHERS * IMAGES) as usize;
    assert!(sum.0 > all / 2 && sum.1 > all / 10 && sum.1 < all * 9 / 10 && sum.2 > all / 10, "{sum:?} of {all} images");
}

/// Runs one world until a power failure and checks the data after it. Returns the numbers of acknowledged layers and images, and the
/// number of sessions that continued.
async fn run(seed: u64) -> (usize, usize, usize) {
    let mut world = World::with(Store::Fs, seed, Limits::default(), Quirks::default()).await;
    let chance = Seeded::new(seed);
    world.disk.power_off_at(5 + chance.below(100) as u64);
    let told = Arc::new(Mutex::new(Told::default()));
    let pushers: Vec<_> = (0..PUSHERS)
        .map(|pusher| {
            let (cx, told) = (world.cx.clone(), told.clone());
            tokio::spawn(async move { push_images(&cx, seed * 100 + pusher, &told).await })
        })
        .collect();
    for pusher in pushers {
        // An error is the power failure.
        drop(pusher.await.unwrap());
    }
    world.crash(seed).await;
    let told = std::mem::take(&mut *told.lock().unwrap());
    for (digest, bytes) in &told.layers {
        assert_eq!(&world.read(digest).await.unwrap(), bytes, "seed {seed}");
    }
    for (digest, manifest) in &told.images {
        let pulled = image::pull(&world.cx, &app(), &oci::Reference::Digest(*digest)).await.unwrap();
        assert_eq!(&pulled.unwrap().manifest, manifest, "seed {seed}");
    }
    every_record_has_its_bytes(&world, seed).await;
    let mut resumed = 0;
    for (id, bytes) in &told.sessions {
        resumed += usize::from(go_on(&world.cx, *id, bytes, seed).await);
    }
    (told.layers.len(), told.images.len(), resumed)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_crash_an_upload_continues_from_its_stored_progress() {
    for seed in 0..10 {
        let mut world = World::with(Store::SyncingFs, seed, Limits::default(), Quirks::default()).await;
        let id = world.start().await;
        let (sent, enough) = (Arc::new(Mutex::new(Vec::new())), Arc::new(Notify::new()));
        let mut body = UntilStored { cx: world.cx.clone(), id, sent: sent.clone(), enough: enough.clone() };
        let name = app();
        tokio::select! {
            appended = upload::append(&world.cx, &name, id, None, &mut body) => panic!("{appended:?}"),
            () = enough.notified() => {}
        }
        drop(body);
        world.crash(seed).await;
        // All sent bytes may be stored. The client has more to send.
        let mut sent = sent.lock().unwrap().clone();
        sent.extend(b"the rest");
        assert!(go_on(&world.cx, id, &sent, seed).await, "seed {seed}: nothing to go on from");
    }
}

/// An endless body. It waits forever after the session's row has stored progress.
struct UntilStored {
    cx: Cx,
    id: UploadId,
    sent: Arc<Mutex<Vec<u8>>>,
    enough: Arc<Notify>,
}

#[async_trait::async_trait]
impl BodySource for UntilStored {
    async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        if upload::status(&self.cx, &app(), self.id).await?.received > 0 {
            self.enough.notify_one();
            std::future::pending::<()>().await;
        }
        let mut sent = self.sent.lock().unwrap();
        let piece = layer_bytes(sent.len() as u64, 64 * KIB);
        sent.extend(&piece);
        Ok(Some(piece.into()))
    }
}

/// Pushes images in various ways. Each has a config in its record and a layer at a location.
async fn push_images(cx: &Cx, seed: u64, told: &Mutex<Told>) -> Result<(), Error> {
    let chance = Seeded::new(seed);
    for number in 0..IMAGES {
        let config = layer_bytes(seed * 10 + number, 500);
        let layer = layer_bytes(seed * 10 + number + 5, 17 * KIB + chance.below(4 * KIB));
        for bytes in [&config, &layer] {
            push_layer(cx, &app(), bytes, &chance, told).await?;
            told.lock().unwrap().layers.push((sha256(bytes), bytes.clone()));
        }
        let manifest = manifest(&config, &layer);
        let new = NewImage {
            bytes: manifest.clone(),
            media_type: None,
            tags: vec![format!("v{seed}").parse().unwrap()],
            digest: None,
            client: PushClient::Docker { containerd: false },
        };
        let pushed = image::put(cx, &app(), new).await?;
        told.lock().unwrap().images.push((pushed.digest, manifest));
    }
    Ok(())
}

async fn push_layer(
    cx: &Cx,
    name: &RepositoryName,
    bytes: &[u8],
    chance: &Seeded,
    told: &Mutex<Told>,
) -> Result<(), Error> {
    let digest = sha256(bytes);
    let mut sent = 0;
    let id = upload::start(cx, name, digest.algorithm()).await?;
    told.lock().unwrap().sessions.push((id, bytes.to_vec()));
    for _ in 0..chance.below(3) {
        let next = sent + chance.below(bytes.len() - sent);
        let body = Pieces::new(&bytes[sent..next], 3000);
        let broken = chance.below(2) == 0;
        let mut body = if broken { body.broken() } else { body };
        match upload::append(cx, name, id, None, &mut body).await {
            Err(Error::BodyTruncated(_)) if broken => {}
            result => drop(result?),
        }
        sent = upload::status(cx, name, id).await?.received as usize;
        assert_eq!(sent, next);
    }
    let mut rest = Pieces::new(&bytes[sent..], 5000);
    upload::complete(cx, name, id, &digest, None, &mut rest, CompletionRules::Docker).await
}

fn manifest(config: &[u8], layer: &[u8]) -> Vec<u8> {
    let descriptor = |media_type: &str, bytes: &[u8]| serde_json::json!({ "mediaType": media_type, "digest": sha256(bytes).to_string(), "size": bytes.len() });
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": descriptor("application/vnd.oci.image.config.v1+json", config),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar+gzip", layer)],
    });
    serde_json::to_vec(&manifest).unwrap()
}

async fn every_record_has_its_bytes(world: &World, seed: u64) {
    let rows = world.cx.db.read(|tx| tx.layer_list(meta::LayerId::MIN, 1000)).await.unwrap();
    for row in rows {
        let digest = Digest::from_bytes(&row.digest).unwrap();
        let bytes = match layer_of(world, row.id).await {
            Ok(bytes) => bytes,
            Err(error) => panic!("seed {seed}: {digest}: {error}"),
        };
        assert_eq!(sha256(&bytes), digest, "seed {seed}");
    }
}

async fn layer_of(world: &World, id: meta::LayerId) -> Result<Vec<u8>, Error> {
    match registry::layer::open_by_id(&world.cx.system, id, None).await? {
        Some(registry::layer::LayerOpening::Opened(opened)) => collect(opened.bytes).await,
        _ => panic!("a record vanished"),
    }
}

/// Continues an upload like a client: asks for the session's progress and sends the rest. Returns true if there was progress.
async fn go_on(cx: &Cx, id: UploadId, bytes: &[u8], seed: u64) -> bool {
    let received = match upload::status(cx, &app(), id).await {
        Ok(status) => status.received as usize,
        // The upload is complete. Repeat the PUT.
        Err(Error::UploadNotFound { .. }) => bytes.len(),
        Err(error) => panic!("seed {seed}: {error}"),
    };
    let mut rest = whole(&bytes[received..]);
    let digest = sha256(bytes);
    let completed = upload::complete(cx, &app(), id, &digest, None, &mut rest, CompletionRules::Docker).await;
    assert!(completed.is_ok(), "seed {seed}: {received} of {} bytes: {completed:?}", bytes.len());
    assert_eq!(read(cx, &app(), &digest).await.unwrap(), bytes, "seed {seed}");
    received > 0 && received < bytes.len()
}
