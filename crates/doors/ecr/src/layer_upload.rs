//! InitiateLayerUpload, UploadLayerPart, CompleteLayerUpload: a layer in parts (`ECR.md` A.3).
//!
//! Sessions are shared with the docker door: an upload begun at one door can be continued at the other.

use super::failure::Ecr;
use super::types::{self, Bounded};
use aws::AccountId;
use aws::Blob;
use call::Operation;
use call::check;
use kernel::access::Need;
use kernel::limits::Limits;
use kernel::{Constraint, Cx, RegistryId};
use listen::app::App;
use oci::{Algorithm, ChunkRange, Digest, RepositoryName};
use registry::Error;
use registry::push_log::PushAttempt;
use registry::upload::{self, CompletionRules, UploadId, WholeBody};
use serde::{Deserialize, Serialize};

/// Maximum bytes of a part.
const PART_BYTES: u64 = Limits::LAYER_PART_BYTES;
/// Bytes of a body besides its part: the other members and whitespace.
const MEMBERS_BYTES: u64 = 1024 * 1024;
/// Maximum bytes of a request: the largest part in base64, and the rest of the body.
const PART_BODY_BYTES: usize = (PART_BYTES.div_ceil(3) * 4 + MEMBERS_BYTES) as usize;
/// Maximum digests of one call (`ECR.md` M.1 "batch sizes").
const MAX_DIGESTS: usize = 100;

/// An upload id from the wire. It is well-formed, but may belong to no session.
#[derive(Debug)]
pub struct Session(String);

impl Session {
    fn check(id: Option<String>) -> Result<Session, Error> {
        let id = check::required("uploadId", id)?;
        check::pattern("uploadId", check::is_upload_id(&id), check::UPLOAD_ID_PATTERN)?;
        Ok(Session(id))
    }

    /// Parses the session's id. A UUID that Ecru can't have issued is reported as an unknown upload.
    fn id(&self, name: &RepositoryName, cx: &Cx) -> Result<UploadId, Error> {
        let missing = || Error::UploadNotFound {
            id: self.0.clone(),
            name: name.to_string(),
            account: cx.registry.account.to_string(),
        };
        self.0.parse().map_err(|_| missing())
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InitiateLayerUpload {
    registry_id: Option<String>,
    repository_name: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Initiated {
    upload_id: String,
    part_size: u64,
}

impl Operation for InitiateLayerUpload {
    const NAME: &'static str = "InitiateLayerUpload";
    type Api = Ecr;
    type Checked = RepositoryName;
    type Output = Initiated;

    fn registry_id(&self) -> Option<&str> {
        self.registry_id.as_deref()
    }

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![types::need_on("ecr:InitiateLayerUpload", registry, self.repository_name.as_deref())]
    }

    fn attempt(&self) -> Option<PushAttempt> {
        types::attempt(Self::NAME, self.repository_name.as_deref())
    }

    fn check(self) -> Result<RepositoryName, Error> {
        Ok(check::repository_name(self.repository_name.as_deref())?)
    }

    async fn handle(name: RepositoryName, cx: &Cx, _app: &App) -> Result<Initiated, Error> {
        let id = upload::start(cx, &name, Algorithm::Sha256).await?;
        Ok(Initiated { upload_id: id.to_string(), part_size: PART_BYTES })
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UploadLayerPart {
    registry_id: Option<String>,
    repository_name: Option<String>,
    upload_id: Option<String>,
    part_first_byte: Option<i64>,
    part_last_byte: Option<i64>,
    layer_part_blob: Option<Blob>,
}

/// A part and its position in the layer. `first` may be greater than `last`: the session refuses that.
#[derive(Debug)]
pub struct Part {
    name: RepositoryName,
    session: Session,
    first: u64,
    last: u64,
    blob: Blob,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PartReceived {
    registry_id: AccountId,
    repository_name: String,
    upload_id: String,
    last_byte_received: u64,
}

impl Operation for UploadLayerPart {
    const NAME: &'static str = "UploadLayerPart";
    const BODY_LIMIT: usize = PART_BODY_BYTES;
    type Api = Ecr;
    type Checked = Part;
    type Output = PartReceived;

    fn registry_id(&self) -> Option<&str> {
        self.registry_id.as_deref()
    }

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![types::need_on("ecr:UploadLayerPart", registry, self.repository_name.as_deref())]
    }

    fn attempt(&self) -> Option<PushAttempt> {
        types::attempt(Self::NAME, self.repository_name.as_deref())
    }

    fn check(self) -> Result<Part, Error> {
        let name = check::repository_name(self.repository_name.as_deref())?;
        let session = Session::check(self.upload_id)?;
        let first = position("partFirstByte", self.part_first_byte)?;
        let last = position("partLastByte", self.part_last_byte)?;
        let blob = check::required("layerPartBlob", self.layer_part_blob)?;
        check::size("layerPartBlob", blob.0.len(), 0, PART_BYTES)?;
        Ok(Part { name, session, first, last, blob })
    }

    async fn handle(part: Part, cx: &Cx, _app: &App) -> Result<PartReceived, Error> {
        let Part { name, session, first, last, blob } = part;
        let id = session.id(&name, cx)?;
        if last < first {
            let received = upload::status(cx, &name, id).await?.received;
            return Err(Error::InvalidLayerPart {
                reason: format!("The part's last byte {last} lies before its first byte {first}"),
                account: cx.registry.account.to_string(),
                name: name.to_string(),
                id: id.to_string(),
                last_valid_byte: received.checked_sub(1),
            });
        }
        let progress = upload::put_part(cx, &name, id, ChunkRange { first, last }, blob.0).await?;
        Ok(PartReceived {
            registry_id: cx.registry.account,
            repository_name: name.to_string(),
            upload_id: id.to_string(),
            last_byte_received: progress.received.saturating_sub(1),
        })
    }
}

/// Checks a byte's position in the layer.
fn position(member: &'static str, value: Option<i64>) -> Result<u64, Error> {
    let value = check::required(member, value)?;
    check::range(member, value, 0, i64::MAX)?;
    Ok(value.unsigned_abs())
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CompleteLayerUpload {
    registry_id: Option<String>,
    repository_name: Option<String>,
    upload_id: Option<String>,
    layer_digests: Option<Bounded<String, MAX_DIGESTS>>,
}

/// A session, and the digest that its bytes must have.
#[derive(Debug)]
pub struct Completing {
    name: RepositoryName,
    session: Session,
    digest: Digest,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Completed {
    registry_id: AccountId,
    repository_name: String,
    upload_id: String,
    layer_digest: String,
}

impl Operation for CompleteLayerUpload {
    const NAME: &'static str = "CompleteLayerUpload";
    type Api = Ecr;
    type Checked = Completing;
    type Output = Completed;

    fn registry_id(&self) -> Option<&str> {
        self.registry_id.as_deref()
    }

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![types::need_on("ecr:CompleteLayerUpload", registry, self.repository_name.as_deref())]
    }

    fn attempt(&self) -> Option<PushAttempt> {
        let digest = self.layer_digests.as_ref().and_then(|digests| digests.kept().first()?.parse().ok());
        Some(PushAttempt { digest, ..types::attempt(Self::NAME, self.repository_name.as_deref())? })
    }

    fn check(self) -> Result<Completing, Error> {
        let name = check::repository_name(self.repository_name.as_deref())?;
        let session = Session::check(self.upload_id)?;
        let digest = one_digest(check::required("layerDigests", self.layer_digests)?)?;
        Ok(Completing { name, session, digest })
    }

    async fn handle(Completing { name, session, digest }: Completing, cx: &Cx, _app: &App) -> Result<Completed, Error> {
        let id = session.id(&name, cx)?;
        upload::complete(cx, &name, id, &digest, None, &mut WholeBody(None), CompletionRules::Api).await?;
        Ok(Completed {
            registry_id: cx.registry.account,
            repository_name: name.to_string(),
            upload_id: id.to_string(),
            layer_digest: digest.to_string(),
        })
    }
}

/// Returns the digest that `layerDigests` asks for. The model allows up to 100, but a layer is stored under one digest. Several
/// different digests are refused, and so is a digest of an algorithm that can't be stored.
fn one_digest(given: Bounded<String, MAX_DIGESTS>) -> Result<Digest, Error> {
    const LIST: &str = "layerDigests";
    let mut found = None;
    for (index, text) in given.check(LIST, 1)?.iter().enumerate() {
        let member = check::element(LIST, index, "");
        let unsupported =
            Error::invalid(member.clone(), Constraint::Text("Member must be a sha256 or sha512 digest".into()));
        let digest = check::digest(member, text)?.ok_or(unsupported)?;
        if *found.get_or_insert(digest) != digest {
            return Err(Error::invalid(LIST, Constraint::Text("Members must be one digest".into())));
        }
    }
    Ok(check::required(LIST, found)?)
}
