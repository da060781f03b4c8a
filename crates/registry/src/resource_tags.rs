//! Resource tags of repositories (`ECR.md` A.2 TagResource and on).
use crate::{Cx, Error};
use oci::RepositoryName;

/// Checks keys and values: 1..128 and 0..256 characters, no `aws:` prefix, no key twice; at most 50.
pub fn check(_cx: &Cx, _tags: &[(String, String)]) -> Result<(), Error> { todo!() }
pub async fn tag(_cx: &Cx, _name: &RepositoryName, _tags: Vec<(String, String)>) -> Result<(), Error> { todo!() }
pub async fn untag(_cx: &Cx, _name: &RepositoryName, _keys: Vec<String>) -> Result<(), Error> { todo!() }
/// By key.
pub async fn list(_cx: &Cx, _name: &RepositoryName) -> Result<Vec<(String, String)>, Error> { todo!() }
