//! DescribeRepositories (`ECR.md` A.2).

use super::failure::Ecr;
use super::page::{self, Listing, PageRequest};
use super::types::{self, Bounded, Repository};
use call::Operation;
use call::check;
use kernel::access::Need;
use kernel::{Cx, RegistryId};
use listen::app::App;
use oci::RepositoryName;
use registry::{Error, permission, repository};
use serde::{Deserialize, Serialize};

/// Maximum names of one call (`ECR.md` M.1 "batch sizes").
const MAX_NAMES: usize = 100;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DescribeRepositories {
    registry_id: Option<String>,
    repository_names: Option<Bounded<String, MAX_NAMES>>,
    next_token: Option<String>,
    max_results: Option<i64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    repositories: Vec<Repository>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

/// The repositories that the call asks for: named ones, or a page of all.
#[derive(Debug)]
pub enum Which {
    /// Fails if one of them is missing.
    Named(Vec<RepositoryName>),
    Page(PageRequest),
}

impl Operation for DescribeRepositories {
    const NAME: &'static str = "DescribeRepositories";
    type Api = Ecr;
    type Checked = Which;
    type Output = Output;

    fn registry_id(&self) -> Option<&str> {
        self.registry_id.as_deref()
    }

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        const ACTION: &str = "ecr:DescribeRepositories";
        match &self.repository_names {
            // An empty or over-long list is invalid anyway: `check` refuses it. For an empty list, only callers who may list
            // every repository are told so.
            Some(names) if names.count() > 0 => {
                names.kept().iter().map(|name| types::need_on(ACTION, registry, Some(name))).collect()
            }
            _ => vec![Need::new(ACTION, permission::every_repository(registry))],
        }
    }

    fn check(self) -> Result<Which, Error> {
        let limit = check::max_results(self.max_results, 100, 1000)?;
        let Some(names) = self.repository_names else {
            return Ok(Which::Page(PageRequest { token: self.next_token, limit }));
        };
        let names = names.check("repositoryNames", 1)?;
        page::refuse_with("repositoryNames", self.next_token.as_deref(), self.max_results)?;
        let name = |(index, name): (usize, &String)| {
            check::named_repository(check::element("repositoryNames", index, ""), name)
        };
        Ok(Which::Named(names.iter().enumerate().map(name).collect::<Result<_, _>>()?))
    }

    async fn handle(which: Which, cx: &Cx, app: &App) -> Result<Output, Error> {
        let (repositories, next_token) = match which {
            Which::Named(names) => (repository::get_all(cx, names).await?, None),
            Which::Page(asked) => {
                let listing = Listing::new(cx, Self::NAME, &[]);
                let page = repository::list(cx, listing.decode_cursor(asked.token.as_deref())?, asked.limit).await?;
                (page.items, listing.encode_cursor(page.next))
            }
        };
        Ok(Output {
            repositories: repositories.into_iter().map(|found| Repository::new(app, found)).collect(),
            next_token,
        })
    }
}
