//! CreateServiceLinkedRole, DeleteServiceLinkedRole, GetServiceLinkedRoleDeletionStatus.

use crate::Iam;
use crate::role::{self, Role, RoleOut, role_name};
use crate::types;
use call::page::Listing;
use call::{Operation, check};
use identity::{EntityKind, Error, service_role};
use kernel::access::Need;
use kernel::{Cx, RegistryId};
use listen::app::App;
use serde::{Deserialize, Serialize};

const KIND: EntityKind = EntityKind::Role;
const MAX_SERVICE: u64 = 128;
const MAX_SUFFIX: u64 = 64;
const MAX_TASK: u64 = 1_000;
/// What the id of a deletion begins with. The role's name and a proof that Ecru made the id follow.
const TASK: &str = "task/aws-service-role/";

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct CreateServiceLinkedRole {
    #[serde(rename = "AWSServiceName")]
    service: Option<String>,
    description: Option<String>,
    custom_suffix: Option<String>,
}

impl Operation for CreateServiceLinkedRole {
    const NAME: &'static str = "CreateServiceLinkedRole";
    type Api = Iam;
    /// The service, the description, and the suffix.
    type Checked = (String, Option<String>, Option<String>);
    type Output = Role;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        let service = self.service.as_deref().unwrap_or_default();
        let (path, name) = service_role::path_and_name(service).unwrap_or_else(|| ("/".to_owned(), "*"));
        let mut need = types::on_path("iam:CreateServiceLinkedRole", registry, KIND, &path, Some(name));
        need.conditions.insert("iam:AWSServiceName", vec![kernel::excerpt(service, MAX_SERVICE as usize)]);
        vec![need]
    }

    fn check(self) -> Result<Self::Checked, Error> {
        let service = types::name("awsServiceName", self.service, MAX_SERVICE)?;
        let description = role::description(self.description)?;
        let suffix = self.custom_suffix.map(|suffix| types::name("customSuffix", Some(suffix), MAX_SUFFIX));
        Ok((service, description, suffix.transpose()?))
    }

    async fn handle((service, description, suffix): Self::Checked, cx: &Cx, _app: &App) -> Result<Role, Error> {
        let (role, detail) = service_role::create(cx, &service, description, suffix.as_deref()).await?;
        Ok(Role { role: RoleOut::of(cx, role, detail) })
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeleteServiceLinkedRole {
    role_name: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct Deletion {
    deletion_task_id: String,
}

/// The deletions of a role. Their ids are sealed as page tokens are.
fn deletions(cx: &Cx, role: &str) -> Listing {
    Listing::new(cx, "DeleteServiceLinkedRole", &[role])
}

impl Operation for DeleteServiceLinkedRole {
    const NAME: &'static str = "DeleteServiceLinkedRole";
    type Api = Iam;
    type Checked = String;
    type Output = Deletion;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        vec![types::need_on("iam:DeleteServiceLinkedRole", registry, KIND, self.role_name.as_deref())]
    }

    fn check(self) -> Result<String, Error> {
        role_name(self.role_name)
    }

    async fn handle(name: String, cx: &Cx, _app: &App) -> Result<Deletion, Error> {
        let id = service_role::delete(cx, &name).await?;
        let proof = deletions(cx, &name).encode_cursor(Some(id.into_bytes())).unwrap_or_default();
        Ok(Deletion { deletion_task_id: format!("{TASK}{name}/{proof}") })
    }
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct GetServiceLinkedRoleDeletionStatus {
    deletion_task_id: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct DeletionStatus {
    status: &'static str,
}

/// The role's name and the proof in the id of a deletion.
fn task(id: &str) -> Option<(&str, &str)> {
    id.strip_prefix(TASK)?.split_once('/')
}

impl Operation for GetServiceLinkedRoleDeletionStatus {
    const NAME: &'static str = "GetServiceLinkedRoleDeletionStatus";
    type Api = Iam;
    type Checked = String;
    type Output = DeletionStatus;

    fn needs(&self, registry: &RegistryId) -> Vec<Need> {
        let role = self.deletion_task_id.as_deref().and_then(task).map_or("*", |(role, _)| role);
        vec![types::need_on("iam:GetServiceLinkedRoleDeletionStatus", registry, KIND, Some(role))]
    }

    fn check(self) -> Result<String, Error> {
        let id = check::required("deletionTaskId", self.deletion_task_id)?;
        check::length("deletionTaskId", &id, 1, MAX_TASK)?;
        Ok(id)
    }

    async fn handle(id: String, cx: &Cx, _app: &App) -> Result<DeletionStatus, Error> {
        let known = task(&id).and_then(|(role, proof)| deletions(cx, role).decode_cursor(Some(proof)).ok().flatten());
        let role = known.and_then(|role| String::from_utf8(role).ok());
        let role = role.ok_or_else(|| Error::NoSuchEntity(format!("Deletion task {id} cannot be found.")))?;
        let status = if service_role::is_deleted(cx, &role).await? { "SUCCEEDED" } else { "IN_PROGRESS" };
        Ok(DeletionStatus { status })
    }
}
