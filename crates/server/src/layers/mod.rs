//! Signed layer URLs: `GET /layers/…`. They ignore Authorization.
use crate::app::App;
use crate::body::{Request, Response};
use std::sync::Arc;

pub async fn handle(_app: &Arc<App>, _request: Request) -> Response { todo!() }
