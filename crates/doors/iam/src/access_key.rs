//! CreateAccessKey, UpdateAccessKey, ListAccessKeys, DeleteAccessKey, GetAccessKeyLastUsed.

use crate::Iam;
use crate::types::{self, Nothing, PageIn};
use aws::Timestamp;
use call::page::Listing;
use call::{Operation, check};
use identity::access_key::{self, KeyOwner, ListedKey};
use identity::{EntityKind, Error};
use kernel::access::{CallerIdentity, Need};
use kernel::{Cx, RegistryId};
use listen::app::App;
use serde::{Deserialize, Serialize};

const KIND: EntityKind = EntityKind::User;
/// The most characters of a user's name.
const MAX_NAME: u64 = 128;
const ID_PATTERN: &str = r"[\w]+";
const STATUSES: &[&str] = &["Active", "Inactive", "Expired"];

/// What the wire calls the root principal.
const ROOT: &str = "root";
/// What stands for the service and the region of a key that was never used.
const NEVER_USED: &str = "N/A";

fn user_name(name: Option<String>) -> Result<Option<String>, Error> {
    name.map(|name| types::name("userName", Some(name), MAX_NAME)).transpose()
}

fn access_key_id(id: Option<String>) -> Result<String, Error> {
    let id = check::required("accessKeyId", id)?;
    check::length("accessKeyId", &id, 16, 128)?;
    check::pattern("accessKeyId", id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_'), ID_PATTERN)?;
    Ok(id)
}

/// The owner of the keys that a call is about, with its name on the wire. Without a user's name it is the caller.
fn owner(cx: &Cx, name: Option<String>) -> Result<(KeyOwner, String), Error> {
    match (name, &cx.caller.identity) {
        (None, CallerIdentity::Administrator { .. }) => Ok((KeyOwner::Root, ROOT.to_owned())),
        (name, _) => {
            let name = types::named_or_own(cx, name)?;
            Ok((KeyOwner::User(name.clone()), name))
        }
    }
}

fn status(active: bool) -> &'static str {
    if active { "Active" } else { "Inactive" }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateAccessKey {
    user_name: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Created {
    access_key: NewKeyOut,
}

/// A new key on the wire. It has no `Debug`, because it contains the secret.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct NewKeyOut {
    user_name: String,
    access_key_id: String,
    status: &'static str,
    secret_access_key: String,
    create_date: Timestamp,
}

impl Operation for CreateAccessKey {
    const NAME: &'static str = "CreateAccessKey";
    type Api = Iam;
    type Checked = Option<String>;
    type Output = Created;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![types::need_on("iam:CreateAccessKey", registry, KIND, self.user_name.as_deref())]
    }

    fn check(self) -> Result<Option<String>, Error> {
        user_name(self.user_name)
    }

    async fn handle(name: Option<String>, cx: &Cx, _app: &App) -> Result<Created, Error> {
        let (owner, user_name) = owner(cx, name)?;
        let new = access_key::create(cx, owner).await?;
        let access_key = NewKeyOut {
            user_name,
            access_key_id: new.listed.id,
            status: status(new.listed.active),
            secret_access_key: new.secret.to_string(),
            create_date: Timestamp(new.listed.created_at),
        };
        Ok(Created { access_key })
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct UpdateAccessKey {
    user_name: Option<String>,
    access_key_id: Option<String>,
    status: Option<String>,
}

impl Operation for UpdateAccessKey {
    const NAME: &'static str = "UpdateAccessKey";
    type Api = Iam;
    /// The user's name, the key's id, and whether the key becomes active.
    type Checked = (Option<String>, String, bool);
    type Output = Nothing;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![types::need_on("iam:UpdateAccessKey", registry, KIND, self.user_name.as_deref())]
    }

    fn check(self) -> Result<Self::Checked, Error> {
        let (name, id) = (user_name(self.user_name)?, access_key_id(self.access_key_id)?);
        let status = check::required("status", self.status)?;
        match check::name_of("status", &status, STATUSES)? {
            "Expired" => Err(Error::InvalidInput("The status of an access key can't be set to Expired".to_owned())),
            status => Ok((name, id, status == "Active")),
        }
    }

    async fn handle((name, id, active): Self::Checked, cx: &Cx, _app: &App) -> Result<Nothing, Error> {
        access_key::update(cx, owner(cx, name)?.0, id, active).await
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListAccessKeys {
    user_name: Option<String>,
    marker: Option<String>,
    max_items: Option<i64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Keys {
    access_key_metadata: Vec<KeyOut>,
    is_truncated: bool,
    marker: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct KeyOut {
    user_name: String,
    access_key_id: String,
    status: &'static str,
    create_date: Timestamp,
}

impl Operation for ListAccessKeys {
    const NAME: &'static str = "ListAccessKeys";
    type Api = Iam;
    type Checked = (Option<String>, PageIn);
    type Output = Keys;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![types::need_on("iam:ListAccessKeys", registry, KIND, self.user_name.as_deref())]
    }

    fn check(self) -> Result<Self::Checked, Error> {
        Ok((user_name(self.user_name)?, PageIn::check(self.marker, self.max_items)?))
    }

    async fn handle((name, page): Self::Checked, cx: &Cx, _app: &App) -> Result<Keys, Error> {
        let (owner, user_name) = owner(cx, name)?;
        let listing = Listing::new(cx, Self::NAME, &[&user_name]);
        let cut = page.cut(access_key::list(cx, owner).await?, &listing, |key| key.id.clone())?;
        let (is_truncated, marker) = types::marker(&listing, cut.next);
        let out = |key: ListedKey| KeyOut {
            user_name: user_name.clone(),
            access_key_id: key.id,
            status: status(key.active),
            create_date: Timestamp(key.created_at),
        };
        Ok(Keys { access_key_metadata: cut.items.into_iter().map(out).collect(), is_truncated, marker })
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteAccessKey {
    user_name: Option<String>,
    access_key_id: Option<String>,
}

impl Operation for DeleteAccessKey {
    const NAME: &'static str = "DeleteAccessKey";
    type Api = Iam;
    type Checked = (Option<String>, String);
    type Output = Nothing;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![types::need_on("iam:DeleteAccessKey", registry, KIND, self.user_name.as_deref())]
    }

    fn check(self) -> Result<Self::Checked, Error> {
        Ok((user_name(self.user_name)?, access_key_id(self.access_key_id)?))
    }

    async fn handle((name, id): Self::Checked, cx: &Cx, _app: &App) -> Result<Nothing, Error> {
        access_key::delete(cx, owner(cx, name)?.0, id).await
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetAccessKeyLastUsed {
    access_key_id: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct KeyUse {
    user_name: Option<String>,
    access_key_last_used: LastUsed,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct LastUsed {
    last_used_date: Option<Timestamp>,
    service_name: String,
    region: String,
}

impl Operation for GetAccessKeyLastUsed {
    const NAME: &'static str = "GetAccessKeyLastUsed";
    type Api = Iam;
    type Checked = String;
    type Output = KeyUse;

    /// The call does not name the key's user, so it needs the permission on all users.
    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![types::need_on("iam:GetAccessKeyLastUsed", registry, KIND, Some("*"))]
    }

    fn check(self) -> Result<String, Error> {
        access_key_id(self.access_key_id)
    }

    async fn handle(id: String, cx: &Cx, _app: &App) -> Result<KeyUse, Error> {
        let used = access_key::last_used(cx, id).await?;
        let access_key_last_used = match used.last {
            Some(last) => LastUsed {
                last_used_date: Some(Timestamp(last.used_at)),
                service_name: last.service,
                region: last.region,
            },
            None => {
                LastUsed { last_used_date: None, service_name: NEVER_USED.to_owned(), region: NEVER_USED.to_owned() }
            }
        };
        Ok(KeyUse { user_name: used.user_name, access_key_last_used })
    }
}
