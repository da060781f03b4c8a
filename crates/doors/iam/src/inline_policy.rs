//! PutUserPolicy, GetUserPolicy, ListUserPolicies, DeleteUserPolicy, and the same of groups and roles.

use crate::Iam;
use crate::holder::{self, Holder, holder_input};
use crate::types::{self, Nothing, PageIn};
use call::Operation;
use call::page::Listing;
use identity::{EntityKind, Error, inline_policy};
use kernel::access::Need;
use kernel::{Cx, RegistryId};
use listen::app::App;
use serde::Serialize;

/// The most characters of a policy's name.
const MAX_NAME: u64 = 128;

holder_input!(Put { policy_name: Option<String>, policy_document: Option<String> });

impl<K: Holder> Operation for Put<K> {
    const NAME: &'static str = K::OPERATIONS.put;
    type Api = Iam;
    /// The names of the holder and of the policy, and the document.
    type Checked = (String, String, String);
    type Output = Nothing;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![holder::need::<K>(Self::NAME, registry, self.holder())]
    }

    fn check(self) -> Result<Self::Checked, Error> {
        let holder = holder::name::<K>(self.holder(), K::MAX_NAME)?;
        let policy = types::name("policyName", self.policy_name, MAX_NAME)?;
        Ok((holder, policy, types::policy_document("policyDocument", self.policy_document)?))
    }

    async fn handle((holder, policy, document): Self::Checked, cx: &Cx, _app: &App) -> Result<Nothing, Error> {
        inline_policy::put(cx, K::KIND, &holder, policy, document).await
    }
}

holder_input!(Get { policy_name: Option<String> });

/// An inline policy. Only the member of its holder's kind is written.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct InlinePolicy {
    user_name: Option<String>,
    group_name: Option<String>,
    role_name: Option<String>,
    policy_name: String,
    /// URL-encoded.
    policy_document: String,
}

impl<K: Holder> Operation for Get<K> {
    const NAME: &'static str = K::OPERATIONS.get;
    type Api = Iam;
    type Checked = (String, String);
    type Output = InlinePolicy;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![holder::need::<K>(Self::NAME, registry, self.holder())]
    }

    fn check(self) -> Result<Self::Checked, Error> {
        let holder = holder::name::<K>(self.holder(), K::MAX_NAME)?;
        Ok((holder, types::name("policyName", self.policy_name, MAX_NAME)?))
    }

    async fn handle((holder, policy): Self::Checked, cx: &Cx, _app: &App) -> Result<InlinePolicy, Error> {
        let document = inline_policy::get(cx, K::KIND, &holder, &policy).await?;
        let of = |kind| Some(holder.clone()).filter(|_| K::KIND == kind);
        Ok(InlinePolicy {
            user_name: of(EntityKind::User),
            group_name: of(EntityKind::Group),
            role_name: of(EntityKind::Role),
            policy_name: policy,
            policy_document: aws::percent_encode(&document),
        })
    }
}

holder_input!(List { marker: Option<String>, max_items: Option<i64> });

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct PolicyNames {
    policy_names: Vec<String>,
    is_truncated: bool,
    marker: Option<String>,
}

impl<K: Holder> Operation for List<K> {
    const NAME: &'static str = K::OPERATIONS.list;
    type Api = Iam;
    type Checked = (String, PageIn);
    type Output = PolicyNames;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![holder::need::<K>(Self::NAME, registry, self.holder())]
    }

    fn check(self) -> Result<Self::Checked, Error> {
        let holder = holder::name::<K>(self.holder(), K::MAX_NAME)?;
        Ok((holder, PageIn::check(self.marker, self.max_items)?))
    }

    async fn handle((holder, page): Self::Checked, cx: &Cx, _app: &App) -> Result<PolicyNames, Error> {
        let listing = Listing::new(cx, Self::NAME, &[&holder]);
        let names = inline_policy::list(cx, K::KIND, &holder).await?;
        let cut = page.cut(names, &listing, String::clone)?;
        let (is_truncated, marker) = types::marker(&listing, cut.next);
        Ok(PolicyNames { policy_names: cut.items, is_truncated, marker })
    }
}

holder_input!(Delete { policy_name: Option<String> });

impl<K: Holder> Operation for Delete<K> {
    const NAME: &'static str = K::OPERATIONS.delete;
    type Api = Iam;
    type Checked = (String, String);
    type Output = Nothing;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![holder::need::<K>(Self::NAME, registry, self.holder())]
    }

    fn check(self) -> Result<Self::Checked, Error> {
        let holder = holder::name::<K>(self.holder(), K::MAX_NAME)?;
        Ok((holder, types::name("policyName", self.policy_name, MAX_NAME)?))
    }

    async fn handle((holder, policy): Self::Checked, cx: &Cx, _app: &App) -> Result<Nothing, Error> {
        inline_policy::delete(cx, K::KIND, &holder, policy).await
    }
}
