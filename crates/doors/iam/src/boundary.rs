//! PutUserPermissionsBoundary, DeleteUserPermissionsBoundary, and the same of roles; the boundary of a new user or role.

use crate::Iam;
use crate::holder::{self, Holder, holder_input};
use crate::types::{self, Nothing};
use call::Operation;
use identity::managed_policy::PolicyArn;
use identity::{Error, attachment};
use kernel::access::{Need, PERMISSIONS_BOUNDARY};
use kernel::{Cx, RegistryId};
use listen::app::App;
use serde::Serialize;

/// The boundary of a user or role on the wire.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct BoundaryOut {
    permissions_boundary_type: &'static str,
    permissions_boundary_arn: String,
}

impl BoundaryOut {
    pub fn of(arn: String) -> BoundaryOut {
        // IAM's model has this value alone.
        BoundaryOut { permissions_boundary_type: "PermissionsBoundaryPolicy", permissions_boundary_arn: arn }
    }
}

/// Adds the boundary that a request sets to a need.
pub fn with_boundary(mut need: Need, boundary: Option<&str>) -> Need {
    need.conditions.extend(boundary.map(|arn| (PERMISSIONS_BOUNDARY, vec![arn.to_owned()])));
    need
}

/// Checks the boundary of a new user or role.
pub fn of_new(boundary: Option<String>) -> Result<Option<PolicyArn>, Error> {
    boundary.map(|arn| types::policy_arn("permissionsBoundary", Some(arn))).transpose()
}

holder_input!(Put { permissions_boundary: Option<String> });

impl<K: Holder> Operation for Put<K> {
    const NAME: &'static str = K::OPERATIONS.put_boundary;
    type Api = Iam;
    type Checked = (String, PolicyArn);
    type Output = Nothing;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        let need = holder::need::<K>(Self::NAME, registry, self.holder());
        vec![with_boundary(need, self.permissions_boundary.as_deref())]
    }

    fn check(self) -> Result<Self::Checked, Error> {
        let holder = holder::name::<K>(self.holder(), K::MAX_ATTACHED_NAME)?;
        Ok((holder, types::policy_arn("permissionsBoundary", self.permissions_boundary)?))
    }

    async fn handle((holder, arn): Self::Checked, cx: &Cx, _app: &App) -> Result<Nothing, Error> {
        attachment::put_boundary(cx, K::KIND, &holder, &arn).await
    }
}

holder_input!(Delete {});

impl<K: Holder> Operation for Delete<K> {
    const NAME: &'static str = K::OPERATIONS.delete_boundary;
    type Api = Iam;
    type Checked = String;
    type Output = Nothing;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![holder::need::<K>(Self::NAME, registry, self.holder())]
    }

    fn check(self) -> Result<String, Error> {
        holder::name::<K>(self.holder(), K::MAX_ATTACHED_NAME)
    }

    async fn handle(holder: String, cx: &Cx, _app: &App) -> Result<Nothing, Error> {
        attachment::delete_boundary(cx, K::KIND, &holder).await
    }
}
