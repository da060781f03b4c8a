//! The lists of this program's doors, and of the services behind the AWS door.

use crate::front_page;
use call::{Entry, Foreign, Service, Services};
use http::request::Parts;
use kernel::{Domain, RequestOrigin};
use listen::app::App;
use listen::body::{Request, RequestBody, Response};
use listen::door::{Door, Doors};
use listen::local_only::NotLocal;
use std::sync::Arc;
use tokio::time::Instant;

/// The services of this server.
pub const SERVICES: Services = &[&ecr::SERVICE, &ecr_public::SERVICE, &iam::SERVICE, &sts::SERVICE, &admin::SERVICE];

/// The domains of this program.
pub const DOMAINS: &[&Domain] = &[&identity::DOMAIN, &registry::DOMAIN];

/// Returns every operation of every service, for tests that walk them all.
pub fn operations() -> impl Iterator<Item = (&'static Service, &'static Entry)> {
    SERVICES.iter().flat_map(|service| service.operations.iter().map(move |entry| (*service, entry)))
}

/// The doors of this program, with `services` behind the AWS door.
#[derive(Clone, Copy)]
pub struct EveryDoor {
    pub services: Services,
}

impl Default for EveryDoor {
    fn default() -> EveryDoor {
        EveryDoor { services: SERVICES }
    }
}

/// A door, or a part of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Aws,
    Docker,
    Layers,
    /// `/v1/`, the obsolete registry API.
    Retired,
}

impl Doors for EveryDoor {
    type Place = Place;

    fn find(self, path: &str) -> Option<Place> {
        match path {
            "/" => Some(Place::Aws),
            "/v2" => Some(Place::Docker),
            _ if path.starts_with("/v2/") => Some(Place::Docker),
            _ if path.starts_with("/v1/") => Some(Place::Retired),
            _ if path.starts_with(layers::PREFIX) => Some(Place::Layers),
            _ => None,
        }
    }

    fn door(self, place: Place) -> Door {
        match place {
            Place::Aws => Door("aws"),
            Place::Docker | Place::Retired => Door("docker"),
            Place::Layers => Door("layers"),
        }
    }

    /// Answers calls to REST APIs of AWS services that this server does not have. The AWS door answers those at `/` itself.
    fn misdirected(self, place: Option<Place>, head: &Parts, request_id: &str) -> Option<Response> {
        let foreign = match place {
            None => Foreign::read(self.services, head),
            Some(Place::Docker | Place::Retired | Place::Layers) => Foreign::read_header(self.services, head),
            Some(Place::Aws) => None,
        };
        foreign.map(|foreign| foreign.answer(request_id))
    }

    fn refuse_not_local(self, place: Place, head: &Parts, not_local: &NotLocal, request_id: &str) -> Response {
        match place {
            Place::Aws => call::refuse_not_local(self.services, head, not_local, request_id),
            Place::Docker | Place::Retired => docker::refuse_not_local(not_local),
            Place::Layers => layers::refuse_not_local(not_local),
        }
    }

    async fn handle(self, place: Place, app: &Arc<App>, request: Request, origin: RequestOrigin) -> Response {
        match place {
            Place::Aws => root(self.services, app, request, origin).await,
            Place::Docker => docker::handle(app, request, origin).await,
            Place::Layers => layers::handle(app, request, origin.address).await,
            Place::Retired => {
                let (head, body) = request.into_parts();
                RequestBody::new(body, &head.headers, Instant::now()).discard();
                docker::retired()
            }
        }
    }
}

/// Answers `/`: the AWS API, or the front page for a browser.
async fn root(services: Services, app: &Arc<App>, request: Request, origin: RequestOrigin) -> Response {
    let (head, body) = request.into_parts();
    if front_page::is_asked(&head) {
        return front_page::respond(app, &head, origin.tls);
    }
    call::handle(services, app, Request::from_parts(head, body), origin).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_leads_to_one_door() {
        for (path, place) in [
            ("/", Some(Place::Aws)),
            ("/v2", Some(Place::Docker)),
            ("/v2/", Some(Place::Docker)),
            ("/v2/livez", Some(Place::Docker)),
            ("/v1/_ping", Some(Place::Retired)),
            ("/v2x", None),
            ("/layers/1", Some(Place::Layers)),
            ("/layers", None),
            ("//", None),
            ("", None),
        ] {
            assert_eq!(EveryDoor::default().find(path), place, "{path}");
        }
    }
}
