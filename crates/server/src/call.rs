//! The AWS doors' one pipeline: `POST /` and presigned calls of every service, from request to encoded answer (`ECR.md` 0).
use crate::app::App;
use crate::body::{Request, Response};
use registry::Origin;
use std::sync::Arc;

/// Answers any request to `/`.
pub async fn handle(_app: &Arc<App>, _request: Request, _origin: Origin) -> Response { todo!() }
