//! `ecru user`, `ecru role`, `ecru key` and `ecru policy`: the identities of an account, through the operations of IAM.

use super::client::{Client, ClientError, ServerArgs};
use super::shell;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// Manages the users of the caller's account.
#[derive(Debug, clap::Subcommand)]
pub enum User {
    /// Creates a user without keys: `ecru key create NAME` makes one.
    Create {
        /// The user's name.
        name: String,
        /// A policy to attach: the name of a policy of AWS, such as AmazonEC2ContainerRegistryPowerUser, or an ARN.
        #[arg(long, value_name = "POLICY")]
        policy: Vec<String>,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Lists the users.
    List {
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Deletes a user. It must have no keys, groups and policies any more.
    Delete {
        /// The user's name.
        name: String,
        /// Delete its keys, take it out of its groups, and remove its policies before.
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        server: ServerArgs,
    },
}

/// Manages the roles of the caller's account.
#[derive(Debug, clap::Subcommand)]
pub enum Role {
    /// Creates a role.
    Create {
        /// The role's name.
        name: String,
        /// Who may assume the role: an account's id, or the ARN of a user or role.
        #[arg(
            long,
            value_name = "PRINCIPAL",
            required_unless_present = "trust_policy",
            conflicts_with = "trust_policy"
        )]
        trust: Vec<String>,
        /// The file with the trust policy.
        #[arg(long, value_name = "FILE")]
        trust_policy: Option<PathBuf>,
        /// A policy to attach: the name of a policy of AWS or an ARN.
        #[arg(long, value_name = "POLICY")]
        policy: Vec<String>,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Lists the roles.
    List {
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Deletes a role. It must have no policies and no instance profile any more.
    Delete {
        /// The role's name.
        name: String,
        #[command(flatten)]
        server: ServerArgs,
    },
}

/// Manages the access keys of users.
#[derive(Debug, clap::Subcommand)]
pub enum Key {
    /// Creates a key, and prints it as a profile of the AWS credentials file. The secret is never shown again.
    Create {
        /// The user's name.
        user: String,
        /// Print exports for a shell instead: eval "$(ecru key create NAME --export)".
        #[arg(long)]
        export: bool,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Lists the keys of a user.
    List {
        /// The user's name.
        user: String,
        #[command(flatten)]
        server: ServerArgs,
    },
    /// Makes a key invalid until it is activated again.
    Deactivate(OneKey),
    /// Makes an inactive key valid again.
    Activate(OneKey),
    /// Deletes a key.
    Delete(OneKey),
}

#[derive(Debug, clap::Args)]
pub struct OneKey {
    /// The user's name.
    pub user: String,
    /// The key's id.
    pub access_key_id: String,
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Attaches policies to users, groups and roles.
#[derive(Debug, clap::Subcommand)]
pub enum Policy {
    /// Attaches a policy.
    Attach(OnePolicy),
    /// Detaches a policy.
    Detach(OnePolicy),
    /// Lists the attached policies.
    List {
        #[command(flatten)]
        to: Holder,
        #[command(flatten)]
        server: ServerArgs,
    },
}

#[derive(Debug, clap::Args)]
pub struct OnePolicy {
    /// The name of a policy of AWS, or an ARN.
    pub policy: String,
    #[command(flatten)]
    pub to: Holder,
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Who has a policy.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub struct Holder {
    /// A user.
    #[arg(long, value_name = "NAME")]
    pub user: Option<String>,
    /// A group.
    #[arg(long, value_name = "NAME")]
    pub group: Option<String>,
    /// A role.
    #[arg(long, value_name = "NAME")]
    pub role: Option<String>,
}

impl Holder {
    /// The kind in the names of operations and members, and the name.
    fn kind_and_name(&self) -> (&'static str, &str) {
        let of = [("User", &self.user), ("Group", &self.group), ("Role", &self.role)];
        let named = of.into_iter().find_map(|(kind, name)| name.as_deref().map(|name| (kind, name)));
        named.unwrap_or(("User", ""))
    }
}

fn client(server: &ServerArgs) -> Result<Client, ClientError> {
    server.client(&|name| std::env::var(name).ok())
}

/// The ARN of a policy. A name alone is that of a policy of AWS.
fn policy_arn(policy: &str) -> String {
    if policy.starts_with("arn:") { policy.to_owned() } else { format!("arn:aws:iam::aws:policy/{policy}") }
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value[member].as_str().unwrap_or_default()
}

/// All items of a paged listing.
async fn all(client: &Client, operation: &str, list: &str, input: &[(&str, &str)]) -> Result<Vec<Value>, ClientError> {
    let (mut items, mut marker) = (Vec::new(), None::<String>);
    loop {
        let page: Vec<_> = input.iter().copied().chain(marker.as_deref().map(|marker| ("Marker", marker))).collect();
        let mut answer = client.call_iam(operation, &page).await?;
        if let Value::Array(found) = answer[list].take() {
            items.extend(found);
        }
        marker = answer["Marker"].as_str().map(str::to_owned);
        if marker.is_none() {
            return Ok(items);
        }
    }
}

/// A line for each item: its name, its creation and its ARN.
fn table(kind: &str, items: &[Value]) -> String {
    let name = |item: &Value| text(item, &format!("{kind}Name")).to_owned();
    let width = items.iter().map(|item| name(item).len()).chain([kind.len()]).max().unwrap_or_default();
    let mut table = format!("{:width$}  ARN\n", kind.to_uppercase());
    for item in items {
        table.push_str(&format!("{:width$}  {}\n", name(item), text(item, "Arn")));
    }
    table
}

async fn attach(client: &Client, kind: &str, name: &str, policies: &[String]) -> Result<(), ClientError> {
    for policy in policies {
        let input = [(format!("{kind}Name"), name.to_owned()), ("PolicyArn".to_owned(), policy_arn(policy))];
        let input: Vec<_> = input.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        client.call_iam(&format!("Attach{kind}Policy"), &input).await?;
    }
    Ok(())
}

impl User {
    /// Calls the server, and returns the text for a person or a script.
    pub async fn run(self) -> Result<String, ClientError> {
        match self {
            User::Create { name, policy, server } => {
                let client = client(&server)?;
                let created = client.call_iam("CreateUser", &[("UserName", &name)]).await?;
                attach(&client, "User", &name, &policy).await?;
                Ok(format!("{}\n", text(&created["User"], "Arn")))
            }
            User::List { server } => Ok(table("User", &all(&client(&server)?, "ListUsers", "Users", &[]).await?)),
            User::Delete { name, force, server } => {
                let client = client(&server)?;
                if force {
                    strip_user(&client, &name).await?;
                }
                client.call_iam("DeleteUser", &[("UserName", &name)]).await?;
                Ok(String::new())
            }
        }
    }
}

/// Removes from a user what keeps it from being deleted.
async fn strip_user(client: &Client, name: &str) -> Result<(), ClientError> {
    let user = ("UserName", name);
    for (list, items, member, remove, parameter) in [
        ("ListAccessKeys", "AccessKeyMetadata", "AccessKeyId", "DeleteAccessKey", "AccessKeyId"),
        ("ListGroupsForUser", "Groups", "GroupName", "RemoveUserFromGroup", "GroupName"),
        ("ListAttachedUserPolicies", "AttachedPolicies", "PolicyArn", "DetachUserPolicy", "PolicyArn"),
        ("ListUserPolicies", "PolicyNames", "", "DeleteUserPolicy", "PolicyName"),
    ] {
        for item in all(client, list, items, &[user]).await? {
            // The names of inline policies are listed alone.
            let value = item.as_str().unwrap_or_else(|| text(&item, member));
            client.call_iam(remove, &[user, (parameter, value)]).await?;
        }
    }
    Ok(())
}

impl Role {
    /// Calls the server, and returns the text for a person or a script.
    pub async fn run(self) -> Result<String, ClientError> {
        match self {
            Role::Create { name, trust, trust_policy, policy, server } => {
                let client = client(&server)?;
                let document = match trust_policy {
                    Some(file) => read(&file)?,
                    None => trust_document(&trust),
                };
                let input = [("RoleName", name.as_str()), ("AssumeRolePolicyDocument", &document)];
                let created = client.call_iam("CreateRole", &input).await?;
                attach(&client, "Role", &name, &policy).await?;
                Ok(format!("{}\n", text(&created["Role"], "Arn")))
            }
            Role::List { server } => Ok(table("Role", &all(&client(&server)?, "ListRoles", "Roles", &[]).await?)),
            Role::Delete { name, server } => {
                client(&server)?.call_iam("DeleteRole", &[("RoleName", &name)]).await?;
                Ok(String::new())
            }
        }
    }
}

fn read(path: &Path) -> Result<String, ClientError> {
    std::fs::read_to_string(path).map_err(|source| ClientError::Document { path: path.to_owned(), source })
}

/// The trust policy for these principals.
fn trust_document(principals: &[String]) -> String {
    let statement = json!({ "Effect": "Allow", "Principal": { "AWS": principals }, "Action": "sts:AssumeRole" });
    json!({ "Version": "2012-10-17", "Statement": [statement] }).to_string()
}

impl Key {
    /// Calls the server, and returns the text for a person or a script.
    pub async fn run(self) -> Result<String, ClientError> {
        match self {
            Key::Create { user, export, server } => {
                let created = client(&server)?.call_iam("CreateAccessKey", &[("UserName", &user)]).await?;
                let key = &created["AccessKey"];
                let (id, secret) = (text(key, "AccessKeyId"), text(key, "SecretAccessKey"));
                Ok(if export { exports(id, secret) } else { profile(&user, id, secret) })
            }
            Key::List { user, server } => {
                let keys =
                    all(&client(&server)?, "ListAccessKeys", "AccessKeyMetadata", &[("UserName", &user)]).await?;
                let lines = keys.iter().map(|key| format!("{}  {}\n", text(key, "AccessKeyId"), text(key, "Status")));
                Ok(["KEY                   STATUS\n".to_owned()].into_iter().chain(lines).collect())
            }
            Key::Deactivate(key) => key.call("UpdateAccessKey", Some("Inactive")).await,
            Key::Activate(key) => key.call("UpdateAccessKey", Some("Active")).await,
            Key::Delete(key) => key.call("DeleteAccessKey", None).await,
        }
    }
}

impl OneKey {
    async fn call(self, operation: &str, status: Option<&str>) -> Result<String, ClientError> {
        let named = [("UserName", self.user.as_str()), ("AccessKeyId", &self.access_key_id)];
        let input: Vec<_> = named.into_iter().chain(status.map(|status| ("Status", status))).collect();
        client(&self.server)?.call_iam(operation, &input).await?;
        Ok(String::new())
    }
}

/// A key as a profile of the AWS credentials file.
fn profile(user: &str, id: &str, secret: &str) -> String {
    format!("[{user}]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n")
}

/// A key for a shell to evaluate.
fn exports(id: &str, secret: &str) -> String {
    let (id, secret) = (shell::word(id), shell::word(secret));
    format!(
        "export AWS_ACCESS_KEY_ID={id}\nexport AWS_SECRET_ACCESS_KEY={secret}\nunset AWS_SESSION_TOKEN AWS_PROFILE\n"
    )
}

impl Policy {
    /// Calls the server, and returns the text for a person or a script.
    pub async fn run(self) -> Result<String, ClientError> {
        match self {
            Policy::Attach(one) => one.call("Attach").await,
            Policy::Detach(one) => one.call("Detach").await,
            Policy::List { to, server } => {
                let (kind, name) = to.kind_and_name();
                let operation = format!("ListAttached{kind}Policies");
                let member = format!("{kind}Name");
                let client = client(&server)?;
                let attached = all(&client, &operation, "AttachedPolicies", &[(member.as_str(), name)]).await?;
                Ok(attached.iter().map(|policy| format!("{}\n", text(policy, "PolicyArn"))).collect())
            }
        }
    }
}

impl OnePolicy {
    async fn call(self, verb: &str) -> Result<String, ClientError> {
        let (kind, name) = self.to.kind_and_name();
        let (member, arn) = (format!("{kind}Name"), policy_arn(&self.policy));
        let input = [(member.as_str(), name), ("PolicyArn", &arn)];
        client(&self.server)?.call_iam(&format!("{verb}{kind}Policy"), &input).await?;
        Ok(String::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_without_an_arn_is_of_aws() {
        assert_eq!(policy_arn("AdministratorAccess"), "arn:aws:iam::aws:policy/AdministratorAccess");
        let own = "arn:aws:iam::000000000000:policy/push";
        assert_eq!(policy_arn(own), own);
    }

    #[test]
    fn a_key_is_a_profile_or_exports() {
        assert_eq!(profile("ann", "AKIA2", "s/+"), "[ann]\naws_access_key_id = AKIA2\naws_secret_access_key = s/+\n");
        assert!(
            exports("AKIA2", "s/+").starts_with("export AWS_ACCESS_KEY_ID=AKIA2\nexport AWS_SECRET_ACCESS_KEY=s/+\n")
        );
    }
}
