//! What a listener asks of the doors behind it. It knows none of them: the program names them ([`Doors`]).
use crate::app::App;
use crate::body::{Request, Response};
use crate::local_only::NotLocal;
use http::request::Parts;
use kernel::RequestOrigin;
use std::fmt::Debug;
use std::sync::Arc;

/// A surface that a request came to, as its line in the log and the metrics name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Door(pub &'static str);

impl Door {
    /// Health and metrics.
    pub const PROCESS: Door = Door("process");
    /// A path that nothing answers.
    pub const NOWHERE: Door = Door("nowhere");
}

/// Every door of a server: which of them a path leads to, and how it answers.
pub trait Doors: Copy + Send + Sync + 'static {
    /// One of the doors, or one place of it.
    type Place: Copy + Debug + PartialEq + Send + Sync + 'static;

    /// Where a path leads; `None` where no door answers.
    fn find(self, path: &str) -> Option<Self::Place>;

    /// The door of a place.
    fn door(self, place: Self::Place) -> Door;

    /// The answer to a request that came to the wrong server and can be told so by its head alone, whatever path it asks for
    /// (`None`: one that no door answers). Asked before [`Doors::handle`].
    fn misdirected(self, place: Option<Self::Place>, head: &Parts, request_id: &str) -> Option<Response>;

    /// The answer to a request that `--dev` refuses, in the form of its door.
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
