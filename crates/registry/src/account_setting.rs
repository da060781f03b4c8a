//! Account settings (`ECR.md` A.1 GetAccountSetting, PutAccountSetting).

use crate::event::{self, Event};
use crate::{Constraint, Cx, Error, policies};
use meta::records::{RegistryKey, account};

/// A setting with its valid values (legacy ones last) and its default.
pub(crate) struct AccountSetting {
    pub(crate) name: &'static str,
    values: &'static [&'static str],
    default: &'static str,
}

pub(crate) const ENABLED: &str = "ENABLED";

/// Controls whether layers are mounted across repositories. The default is on, while AWS's is off (`ECR.md` B.10).
pub(crate) const BLOB_MOUNTING: AccountSetting =
    AccountSetting { name: "BLOB_MOUNTING", values: &[ENABLED, "DISABLED"], default: ENABLED };

/// The first version of registry policies, which are about three actions (`ECR.md` G.1).
pub(crate) const V1: &str = "V1";

/// How far a registry policy goes.
pub(crate) const REGISTRY_POLICY_SCOPE: AccountSetting =
    AccountSetting { name: "REGISTRY_POLICY_SCOPE", values: &["V2", V1], default: "V2" };

const SETTINGS: &[AccountSetting] = &[
    AccountSetting { name: "BASIC_SCAN_TYPE_VERSION", values: &["AWS_NATIVE", "CLAIR"], default: "AWS_NATIVE" },
    REGISTRY_POLICY_SCOPE,
    BLOB_MOUNTING,
];

fn setting(name: &str) -> Result<&'static AccountSetting, Error> {
    SETTINGS.iter().find(|setting| setting.name == name).ok_or_else(|| {
        let names: Vec<&str> = SETTINGS.iter().map(|setting| setting.name).collect();
        Error::Validation(format!(
            "1 validation error detected: Value '{name}' at 'name' failed to satisfy constraint: Member must satisfy enum value set: [{}]",
            names.join(", ")
        ))
    })
}

/// Returns the value of a setting, or its default, in a transaction.
pub(crate) fn value(
    tx: &mut meta::Tx<'_>,
    registry: &RegistryKey,
    setting: &AccountSetting,
) -> Result<String, meta::Error> {
    let stored = tx.look_up(account::setting(registry, setting.name))?;
    Ok(stored.unwrap_or_else(|| setting.default.to_owned()))
}

/// Returns the value of a setting, or its default. Fails with [`Error::Validation`] for an unknown name.
pub async fn get(cx: &Cx, name: &str) -> Result<String, Error> {
    let setting = setting(name)?;
    let stored = cx.db.look_up(account::setting(&cx.registry.key(), setting.name)).await?;
    Ok(stored.unwrap_or_else(|| setting.default.to_owned()))
}

/// Sets a value. Fails with [`CommonError::InvalidParameter`](crate::CommonError::InvalidParameter) for an invalid one.
pub async fn put(cx: &Cx, name: &str, value: &str) -> Result<(), Error> {
    let setting = setting(name)?;
    if !setting.values.contains(&value) {
        return Err(Error::invalid("value", Constraint::Enum(setting.values)));
    }
    let registry = cx.registry.key();
    let now = cx.now().0;
    let value = value.to_owned();
    let event = Event::new(cx, "account-setting.put", None);
    let put = cx
        .db
        .write(move |tx| {
            let before = tx.look_up(account::setting(&registry, setting.name))?;
            tx.account_setting_put(&registry, setting.name, &value, now)?;
            let detail = serde_json::json!({ "name": setting.name, "before": before, "after": value });
            event::record(tx, Event { detail, ..event.clone() })?;
            Ok(())
        })
        .await;
    policies::forget(cx);
    put
}
