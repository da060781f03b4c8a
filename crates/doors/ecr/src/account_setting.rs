//! GetAccountSetting, PutAccountSetting (`ECR.md` A.1).

use super::failure::Ecr;
use call::Operation;
use call::check;
use kernel::access::Need;
use kernel::{Cx, RegistryId};
use listen::app::App;
use registry::{Error, account_setting, permission};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize)]
pub struct Setting {
    name: String,
    value: String,
}

/// A need with the setting's name as its condition (`ECR.md` G.2 "Condition keys").
fn need(action: &'static str, registry: &RegistryId, name: Option<&str>) -> Need {
    let mut need = Need::new(action, permission::registry(registry));
    if let Some(name) = name {
        need.conditions.insert("ecr:AccountSetting", vec![name.to_owned()]);
    }
    need
}

fn check_name(name: Option<String>) -> Result<String, Error> {
    let name = check::required("name", name)?;
    check::length("name", &name, 1, 64)?;
    Ok(name)
}

#[derive(Debug, Deserialize)]
pub struct GetAccountSetting {
    name: Option<String>,
}

impl Operation for GetAccountSetting {
    const NAME: &'static str = "GetAccountSetting";
    type Api = Ecr;
    type Checked = String;
    type Output = Setting;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![need("ecr:GetAccountSetting", registry, self.name.as_deref())]
    }

    fn check(self) -> Result<String, Error> {
        check_name(self.name)
    }

    async fn handle(name: String, cx: &Cx, _app: &App) -> Result<Setting, Error> {
        let value = account_setting::get(cx, &name).await?;
        Ok(Setting { name, value })
    }
}

#[derive(Debug, Deserialize)]
pub struct PutAccountSetting {
    name: Option<String>,
    value: Option<String>,
}

impl Operation for PutAccountSetting {
    const NAME: &'static str = "PutAccountSetting";
    type Api = Ecr;
    type Checked = Setting;
    type Output = Setting;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![need("ecr:PutAccountSetting", registry, self.name.as_deref())]
    }

    fn check(self) -> Result<Setting, Error> {
        Ok(Setting { name: check_name(self.name)?, value: check::required("value", self.value)? })
    }

    async fn handle(setting: Setting, cx: &Cx, _app: &App) -> Result<Setting, Error> {
        account_setting::put(cx, &setting.name, &setting.value).await?;
        Ok(setting)
    }
}
