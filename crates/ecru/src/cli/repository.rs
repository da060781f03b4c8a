//! `ecru repository`: a deleted repository comes back, or a repository is protected from deletion.

use super::client::ClientError;
use super::image::Whose;
use admin::{Nothing, RestoreRepositoryOutput};
use serde_json::json;

/// Restores deleted repositories, and protects repositories from deletion.
#[derive(Debug, clap::Subcommand)]
pub enum Repository {
    Restore(RestoreWhole),
    /// Protects a repository from deletion, by force too.
    Protect(Named),
    /// Ends the protection of a repository.
    Unprotect(Named),
}

/// Restores a deleted repository with all its images.
#[derive(Debug, clap::Args)]
pub struct RestoreWhole {
    /// The repository's name.
    pub repository: String,
    /// Another name to restore it under, such as one that is free.
    #[arg(long = "as", value_name = "NEW")]
    pub new_name: Option<String>,
    #[command(flatten)]
    pub of: Whose,
}

/// Which repository.
#[derive(Debug, clap::Args)]
pub struct Named {
    /// The repository's name.
    pub repository: String,
    #[command(flatten)]
    pub of: Whose,
}

impl Repository {
    /// Calls the server, and returns what a person reads.
    pub async fn run(self) -> Result<String, ClientError> {
        match self {
            Repository::Restore(restore) => restore.run().await,
            Repository::Protect(named) => named.protect(true).await,
            Repository::Unprotect(named) => named.protect(false).await,
        }
    }
}

impl RestoreWhole {
    async fn run(self) -> Result<String, ClientError> {
        let client = self.of.server.client(&|name| std::env::var(name).ok())?;
        let input = json!({
            "registryId": self.of.registry_id, "repositoryName": self.repository, "restoredName": self.new_name,
        });
        let restored: RestoreRepositoryOutput = client.call("RestoreRepository", &input).await?;
        Ok(format!("Restored {}.\n", restored.repository_name))
    }
}

impl Named {
    async fn protect(self, protected: bool) -> Result<String, ClientError> {
        let client = self.of.server.client(&|name| std::env::var(name).ok())?;
        let input = json!({
            "registryId": self.of.registry_id, "repositoryName": self.repository, "protected": protected,
        });
        let Nothing {} = client.call("PutRepositoryProtection", &input).await?;
        let state = if protected { "protected from deletion" } else { "no longer protected from deletion" };
        Ok(format!("{} is {state}.\n", self.repository))
    }
}
