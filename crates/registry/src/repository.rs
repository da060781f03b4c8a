//! Repositories (`ECR.md` A.2, C).
use crate::clock::Time;
use crate::{Cx, Error};
use oci::RepositoryName;

#[derive(Clone, Debug)]
pub struct Repository {
    pub id: [u8; 16],
    pub registry: crate::RegistryId,
    pub name: RepositoryName,
    pub created_at: Time,
    pub mutability: TagMutability,
    pub scan_on_push: bool,
    pub encryption: Encryption,
    pub protected: bool,
}

/// The four modes of `ECR.md` C with their wildcards (1 to 5 in the two exclusion modes).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagMutability {
    Mutable,
    Immutable,
    ImmutableWithExclusion(Vec<String>),
    MutableWithExclusion(Vec<String>),
}

impl TagMutability {
    pub const NAMES: &'static [&'static str] = &["IMMUTABLE", "MUTABLE", "IMMUTABLE_WITH_EXCLUSION", "MUTABLE_WITH_EXCLUSION"];
    /// From the wire's two members, with the errors of `ECR.md` C (names and patterns, two `*` at most, filters present exactly where they belong).
    pub fn new(_name: &str, _filters: Option<Vec<String>>) -> Result<TagMutability, Error> { todo!() }
    pub fn name(&self) -> &'static str { todo!() }
    /// The wildcards, empty in the plain modes.
    pub fn filters(&self) -> &[String] { todo!() }
    /// Whether `tag` may be moved once it exists.
    pub fn allows_move(&self, _tag: &str) -> bool { todo!() }
}

/// The encryption identity of a repository's layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Encryption {
    Aes256,
}

impl Encryption {
    /// From the wire's members; KMS is [`Error::Kms`] until it is available, never stored in the clear.
    pub fn new(_encryption_type: &str, _kms_key: Option<&str>) -> Result<Encryption, Error> { todo!() }
    pub fn name(&self) -> &'static str { "AES256" }
}

pub struct NewRepository {
    pub name: RepositoryName,
    pub mutability: TagMutability,
    pub scan_on_push: bool,
    pub encryption: Encryption,
    /// Checked by [`crate::resource_tags::check`] here.
    pub tags: Vec<(String, String)>,
}

/// A page of a listing: the items, and the cursor of the last one if more follow.
#[derive(Clone, Debug)]
pub struct Page<T> {
    pub items: Vec<T>,
    pub next: Option<Vec<u8>>,
}

pub async fn create(_cx: &Cx, _new: NewRepository) -> Result<Repository, Error> { todo!() }
/// [`Error::RepositoryNotFound`] when there is none of that name.
pub async fn get(_cx: &Cx, _name: &RepositoryName) -> Result<Repository, Error> { todo!() }
/// All or nothing; the first missing name is the error.
pub async fn get_all(_cx: &Cx, _names: Vec<RepositoryName>) -> Result<Vec<Repository>, Error> { todo!() }
/// By name, from behind `after` (a cursor that an earlier page gave; for the docker door's `last`, a repository's name in bytes).
pub async fn list(_cx: &Cx, _after: Option<Vec<u8>>, _limit: u32) -> Result<Page<Repository>, Error> { todo!() }
/// Marks it deleted; with images inside only under `force`.
pub async fn delete(_cx: &Cx, _name: &RepositoryName, _force: bool) -> Result<Repository, Error> { todo!() }
pub async fn put_tag_mutability(_cx: &Cx, _name: &RepositoryName, _mutability: TagMutability) -> Result<Repository, Error> { todo!() }
pub async fn put_scan_on_push(_cx: &Cx, _name: &RepositoryName, _scan_on_push: bool) -> Result<Repository, Error> { todo!() }
