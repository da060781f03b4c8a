//! Opens the stores at start: root keys, metadata, layers, and the first administrator.

use crate::cli::credentials::{self, Credentials};
use crate::cli::stores::{StoreError, Stores};
use crate::config::Settings;
use crate::data_dir::DataDir;
use identity::bootstrap::{self, NewAdministrator};
use kernel::System;
use kernel::clock::{Clock as _, SystemClock};
use kernel::keys::Keys;
use kernel::random::SystemRandom;
use std::sync::Arc;

/// Where the administrator's keys come from.
pub enum Administrator {
    /// Created at this start and written to the credentials file.
    New(NewAdministrator),
    /// In the file `credentials`.
    Kept,
    /// Created at an earlier start; the file `credentials` is missing.
    Elsewhere,
    /// ECRU_ADMIN_ACCESS_KEY_ID and ECRU_ADMIN_SECRET_ACCESS_KEY.
    Environment,
    /// `test`/`test`.
    Dev,
}

/// Opens the stores, and creates the first administrator's keys if needed.
pub async fn open(settings: &Settings, data: &DataDir) -> Result<(Arc<System>, Administrator), StoreError> {
    Stores::expect(data, &settings.metadata)?;
    let root_keys = match &settings.root_keys {
        Some(keys) => keys.clone(),
        None => data.root_keys(&SystemRandom)?,
    };
    let keys = Keys::new(root_keys.into_inner())?;
    let stores = Stores::open(data, &settings.metadata, &SystemRandom, SystemClock.now()).await?;
    let system = Arc::new(stores.system(keys, settings.limits.clone(), settings.quirks.clone()));
    let administrator = administrator(&system, settings, data).await?;
    Ok((system, administrator))
}

async fn administrator(system: &System, settings: &Settings, data: &DataDir) -> Result<Administrator, StoreError> {
    let keys = &settings.process_keys;
    bootstrap::prove_root_keys(system).await?;
    if !keys.dev
        && keys.admin.is_none()
        && let Some(new) = bootstrap::new_administrator(system).await?
    {
        // Write the keys before they become valid: valid keys that nobody knows would lock everybody out. Reuse the keys of an
        // earlier start that ended between the two.
        let left = credentials::from_file(&data.credentials(), credentials::DEFAULT_PROFILE)?;
        let left = left.map(|Credentials { access_key_id, secret, .. }| NewAdministrator { access_key_id, secret });
        let (new, written) = match left {
            Some(left) => (left, false),
            None => (new, true),
        };
        if written {
            data.write_credentials(&new)?;
        }
        if bootstrap::add_administrator(system, &new).await? {
            return Ok(Administrator::New(new));
        }
        if written {
            data.remove_credentials()?;
        }
    }
    Ok(match keys {
        keys if keys.dev => Administrator::Dev,
        keys if keys.admin.is_some() => Administrator::Environment,
        _ if data.credentials().exists() => Administrator::Kept,
        _ => Administrator::Elsewhere,
    })
}
