//! What no user of Ecru has, because it is for AWS's sign-in page and for other services: passwords, second factors, certificates, SSH keys.
//! ListSigningCertificates, ListMFADevices, ListVirtualMFADevices, ListSSHPublicKeys, ListServiceSpecificCredentials, GetLoginProfile,
//! DeleteLoginProfile. Terraform and scripts that delete a user with all that it has call them.

use crate::Iam;
use crate::types::{self, Nothing, PageIn};
use call::{Operation, check};
use identity::{EntityKind, Error, entity};
use kernel::access::{CallerIdentity, Need, Resource};
use kernel::{Cx, RegistryId};
use listen::app::App;
use serde::{Deserialize, Serialize};

const KIND: EntityKind = EntityKind::User;

/// Checks that the user exists. Without a name it is the caller, which exists.
async fn user_exists(cx: &Cx, name: Option<String>) -> Result<(), Error> {
    match (name, &cx.caller.identity) {
        (None, CallerIdentity::Administrator { .. }) => Ok(()),
        (name, _) => entity::get(cx, KIND, &types::named_or_own(cx, name)?).await.map(drop),
    }
}

/// Defines the listing of something that a user never has: the operation, its action, the list's name, and the longest name of a user.
macro_rules! never {
    ($operation:ident, $output:ident, $action:literal, $list:literal, $max_name:literal) => {
        #[derive(Debug, Deserialize)]
        #[serde(rename_all = "PascalCase")]
        pub struct $operation {
            user_name: Option<String>,
            marker: Option<String>,
            max_items: Option<i64>,
        }

        #[derive(Debug, Serialize)]
        #[serde(rename_all = "PascalCase")]
        pub struct $output {
            #[serde(rename = $list)]
            list: Vec<String>,
            is_truncated: bool,
        }

        impl Operation for $operation {
            const NAME: &'static str = stringify!($operation);
            type Api = Iam;
            type Checked = (Option<String>, PageIn);
            type Output = $output;

            fn needs(&self, registry: &RegistryId) -> Vec<Need> {
                vec![types::need_on($action, registry, KIND, self.user_name.as_deref())]
            }

            fn check(self) -> Result<Self::Checked, Error> {
                let name = self.user_name.map(|name| types::name("userName", Some(name), $max_name)).transpose()?;
                Ok((name, PageIn::check(self.marker, self.max_items)?))
            }

            async fn handle((name, _page): Self::Checked, cx: &Cx, _app: &App) -> Result<$output, Error> {
                user_exists(cx, name).await?;
                Ok($output { list: Vec::new(), is_truncated: false })
            }
        }
    };
}

never!(ListSigningCertificates, Certificates, "iam:ListSigningCertificates", "Certificates", 128);
never!(ListMFADevices, MfaDevices, "iam:ListMFADevices", "MFADevices", 128);
never!(ListSSHPublicKeys, SshPublicKeys, "iam:ListSSHPublicKeys", "SSHPublicKeys", 64);

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListServiceSpecificCredentials {
    user_name: Option<String>,
    #[expect(dead_code, reason = "no service has credentials, but a value of another type is refused")]
    service_name: Option<String>,
    all_users: Option<bool>,
    marker: Option<String>,
    max_items: Option<i64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct ServiceCredentials {
    service_specific_credentials: Vec<String>,
    is_truncated: bool,
}

impl Operation for ListServiceSpecificCredentials {
    const NAME: &'static str = "ListServiceSpecificCredentials";
    type Api = Iam;
    /// The user's name. `None` for all users.
    type Checked = (Option<String>, bool);
    type Output = ServiceCredentials;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        let name = if self.all_users == Some(true) { Some("*") } else { self.user_name.as_deref() };
        vec![types::need_on("iam:ListServiceSpecificCredentials", registry, KIND, name)]
    }

    fn check(self) -> Result<Self::Checked, Error> {
        let name = self.user_name.map(|name| types::name("userName", Some(name), 64)).transpose()?;
        PageIn::check(self.marker, self.max_items)?;
        Ok((name, self.all_users == Some(true)))
    }

    async fn handle((name, all): Self::Checked, cx: &Cx, _app: &App) -> Result<ServiceCredentials, Error> {
        if !all {
            user_exists(cx, name).await?;
        }
        Ok(ServiceCredentials { service_specific_credentials: Vec::new(), is_truncated: false })
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ListVirtualMFADevices {
    assignment_status: Option<String>,
    marker: Option<String>,
    max_items: Option<i64>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct VirtualMfaDevices {
    #[serde(rename = "VirtualMFADevices")]
    list: Vec<String>,
    is_truncated: bool,
}

impl Operation for ListVirtualMFADevices {
    const NAME: &'static str = "ListVirtualMFADevices";
    type Api = Iam;
    type Checked = PageIn;
    type Output = VirtualMfaDevices;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![Need::new("iam:ListVirtualMFADevices", Resource::any(registry.account))]
    }

    fn check(self) -> Result<PageIn, Error> {
        if let Some(status) = &self.assignment_status {
            check::name_of("assignmentStatus", status, &["Assigned", "Unassigned", "Any"])?;
        }
        PageIn::check(self.marker, self.max_items)
    }

    async fn handle(_page: PageIn, _cx: &Cx, _app: &App) -> Result<VirtualMfaDevices, Error> {
        Ok(VirtualMfaDevices { list: Vec::new(), is_truncated: false })
    }
}

/// Refuses with AWS's words: no user has a password.
async fn no_login_profile(cx: &Cx, name: Option<String>) -> Result<Nothing, Error> {
    let name = types::named_or_own(cx, name)?;
    let user = entity::get(cx, KIND, &name).await?;
    Err(Error::NoSuchEntity(format!("Login Profile for User {} cannot be found.", user.name)))
}

/// Defines an operation about the password of a user.
macro_rules! no_password {
    ($operation:ident, $action:literal) => {
        #[derive(Debug, Deserialize)]
        #[serde(rename_all = "PascalCase")]
        pub struct $operation {
            user_name: Option<String>,
        }

        impl Operation for $operation {
            const NAME: &'static str = stringify!($operation);
            type Api = Iam;
            type Checked = Option<String>;
            type Output = Nothing;

            fn needs(&self, registry: &RegistryId) -> Vec<Need> {
                vec![types::need_on($action, registry, KIND, self.user_name.as_deref())]
            }

            fn check(self) -> Result<Option<String>, Error> {
                self.user_name.map(|name| types::name("userName", Some(name), 64)).transpose()
            }

            async fn handle(name: Option<String>, cx: &Cx, _app: &App) -> Result<Nothing, Error> {
                no_login_profile(cx, name).await
            }
        }
    };
}

no_password!(GetLoginProfile, "iam:GetLoginProfile");
no_password!(DeleteLoginProfile, "iam:DeleteLoginProfile");
