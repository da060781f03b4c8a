//! GetSessionToken and GetFederationToken: sessions of the caller itself, and of a user that the caller vouches for (`ECR.md` P).

use crate::Sts;
use crate::types::{self, Credentials, Mfa, PolicyDescriptor, Tag};
use call::{Operation, check};
use identity::session::{self, Error, NewFederation};
use kernel::access::{Need, Resource};
use kernel::{Cx, RegistryId};
use listen::app::App;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// The longest session, in seconds: 36 hours.
const MAX_SECONDS: i64 = 129_600;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetSessionToken {
    duration_seconds: Option<i64>,
    serial_number: Option<String>,
    token_code: Option<String>,
    minimum_session_token_size: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct SessionTokenOutput {
    credentials: Credentials,
    session_token_utilization: usize,
    session_token_size: usize,
}

/// A checked call of GetSessionToken.
#[derive(Debug)]
pub struct Checked {
    duration: Option<Duration>,
    mfa: Mfa,
    token_characters: usize,
}

impl Operation for GetSessionToken {
    const NAME: &'static str = "GetSessionToken";
    type Api = Sts;
    type Checked = Checked;
    type Output = SessionTokenOutput;

    /// Needs no permission, as on AWS: the session has the rights of its caller.
    fn needs(&self, _registry: &RegistryId) -> Vec<Need> {
        Vec::new()
    }

    fn check(self) -> Result<Checked, Error> {
        Ok(Checked {
            duration: types::duration(self.duration_seconds, MAX_SECONDS)?,
            mfa: types::mfa(self.serial_number, self.token_code)?,
            token_characters: types::token_characters(self.minimum_session_token_size)?,
        })
    }

    async fn handle(checked: Checked, cx: &Cx, _app: &App) -> Result<SessionTokenOutput, Error> {
        types::refuse_mfa(&checked.mfa)?;
        let issued = session::get_session_token(cx, checked.duration, checked.token_characters).await?;
        let (session_token_size, session_token_utilization) = types::token_size(&issued);
        let credentials = Credentials::of(&issued);
        Ok(SessionTokenOutput { credentials, session_token_utilization, session_token_size })
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetFederationToken {
    name: Option<String>,
    policy: Option<String>,
    #[serde(default)]
    policy_arns: Vec<PolicyDescriptor>,
    duration_seconds: Option<i64>,
    #[serde(default)]
    tags: Vec<Tag>,
    minimum_session_token_size: Option<i64>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct FederationTokenOutput {
    credentials: Credentials,
    federated_user: FederatedUser,
    packed_policy_size: Option<u32>,
    session_token_utilization: usize,
    session_token_size: usize,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct FederatedUser {
    federated_user_id: String,
    arn: String,
}

impl Operation for GetFederationToken {
    const NAME: &'static str = "GetFederationToken";
    type Api = Sts;
    type Checked = NewFederation;
    type Output = FederationTokenOutput;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        let name = kernel::excerpt(self.name.as_deref().unwrap_or_default(), 32);
        let arn = format!("arn:{}:sts::{}:federated-user/{name}", registry.partition(), registry.account);
        let need = |action| {
            let mut need = Need::new(action, Resource::new(arn.clone(), registry.account));
            let tags = self.tags.iter().filter_map(|tag| Some((tag.key.clone()?, tag.value.clone()?)));
            need.request_tags.extend(tags);
            need
        };
        let tag_session = (!self.tags.is_empty()).then(|| need("sts:TagSession"));
        [need("sts:GetFederationToken")].into_iter().chain(tag_session).collect()
    }

    fn check(self) -> Result<NewFederation, Error> {
        let name = types::text("name", check::required("name", self.name)?, (2, 32), types::NAME)?;
        Ok(NewFederation {
            name,
            duration: types::duration(self.duration_seconds, MAX_SECONDS)?,
            limits: types::limits(self.policy, self.policy_arns, self.tags)?,
            token_characters: types::token_characters(self.minimum_session_token_size)?,
        })
    }

    async fn handle(new: NewFederation, cx: &Cx, _app: &App) -> Result<FederationTokenOutput, Error> {
        let issued = session::get_federation_token(cx, new).await?;
        let (arn, federated_user_id) = types::arn_and_id(cx, &issued);
        let (session_token_size, session_token_utilization) = types::token_size(&issued);
        Ok(FederationTokenOutput {
            credentials: Credentials::of(&issued),
            federated_user: FederatedUser { federated_user_id, arn },
            packed_policy_size: issued.packed_percent,
            session_token_utilization,
            session_token_size,
        })
    }
}
