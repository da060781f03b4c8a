//! The interface between a listener and the doors behind it. The listener knows no door; the program supplies them as [`Doors`].

use crate::app::App;
use crate::body::{Request, Response};
use crate::local_only::NotLocal;
use http::request::Parts;
use kernel::RequestOrigin;
use std::fmt::Debug;
use std::sync::Arc;

/// The name of a door, as the access log and the metrics show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Door(pub &'static str);

impl Door {
    /// Health and metrics.
    pub const PROCESS: Door = Door("process");
    /// Paths that no door serves.
    pub const NOWHERE: Door = Door("nowhere");
}

/// All doors of a server: finds the door of a path, and answers requests.
pub trait Doors: Copy + Send + Sync + 'static {
    /// A door, or a part of one.
    type Place: Copy + Debug + PartialEq + Send + Sync + 'static;

    /// Returns where a path leads; `None` if no door serves it.
    fn find(self, path: &str) -> Option<Self::Place>;

    /// Returns the door of a place.
    fn door(self, place: Self::Place) -> Door;

    /// Answers a request that its head alone shows to be meant for another server; returns `None` for all others. `place` is
    /// `None` for a path that no door serves. Called before [`Doors::handle`].
    fn misdirected(self, place: Option<Self::Place>, head: &Parts, request_id: &str) -> Option<Response>;

    /// Refuses a request that `--dev` does not serve, in the form of its door's errors.
    fn refuse_not_local(self, place: Self::Place, head: &Parts, not_local: &NotLocal, request_id: &str) -> Response;

    /// Answers a request.
    fn handle(
        self,
        place: Self::Place,
        app: &Arc<App>,
        request: Request,
        origin: RequestOrigin,
    ) -> impl Future<Output = Response> + Send;
}
