//! The Docker/OCI door: `/v2/` (`ECR.md` B).
use crate::app::App;
use crate::body::{Request, Response};
use registry::Origin;
use std::sync::Arc;

/// Answers any request whose path is `/v2` or below it.
pub async fn handle(_app: &Arc<App>, _request: Request, _origin: Origin) -> Response { todo!() }
