//! GetAuthorizationToken: a password for `docker login` (`ECR.md` A.1, G.6).

use super::failure::Ecr;
use super::types::Bounded;
use aws::{AccountId, Timestamp};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use call::Operation;
use call::check;
use identity::token;
use kernel::access::Need;
use kernel::{Cx, RegistryId};
use listen::app::App;
use registry::{Error, permission};
use serde::{Deserialize, Serialize};

/// Maximum registries of one call (`ECR.md` M.1 "batch sizes").
const MAX_REGISTRY_IDS: usize = 10;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GetAuthorizationToken {
    registry_ids: Option<Bounded<String, MAX_REGISTRY_IDS>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    authorization_data: Vec<AuthorizationData>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AuthorizationData {
    authorization_token: String,
    expires_at: Timestamp,
    proxy_endpoint: String,
}

impl std::fmt::Debug for AuthorizationData {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AuthorizationData").field("proxy_endpoint", &self.proxy_endpoint).finish_non_exhaustive()
    }
}

impl Operation for GetAuthorizationToken {
    const NAME: &'static str = "GetAuthorizationToken";
    type Api = Ecr;
    type Checked = Option<Vec<AccountId>>;
    type Output = Output;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![Need::new("ecr:GetAuthorizationToken", permission::registry(registry))]
    }

    fn check(self) -> Result<Self::Checked, Error> {
        let Some(ids) = self.registry_ids else { return Ok(None) };
        let ids = ids.check("registryIds", 1)?;
        let account = |(index, id): (usize, &String)| check::account(check::element("registryIds", index, ""), id);
        Ok(Some(ids.iter().enumerate().map(account).collect::<Result<_, _>>()?))
    }

    /// Returns the same token for each registry. It authenticates the caller at every endpoint.
    async fn handle(accounts: Self::Checked, cx: &Cx, app: &App) -> Result<Output, Error> {
        let (password, expires) = token::mint(cx);
        let authorization_token = STANDARD.encode(format!("AWS:{password}"));
        let data = |account| AuthorizationData {
            authorization_token: authorization_token.clone(),
            expires_at: Timestamp(expires.0),
            proxy_endpoint: app.addresses.proxy_endpoint(&RegistryId { account, ..cx.registry.clone() }),
        };
        let accounts = accounts.unwrap_or_else(|| vec![cx.registry.account]);
        Ok(Output { authorization_data: accounts.into_iter().map(data).collect() })
    }
}
