//! Says what would let a refused call succeed, for this caller and this host (`ECR.md` B.2).

mod permission;

use super::{Refusal, with_cure};
use kernel::RegistryId;
use kernel::access::CallerIdentity;
use oci::{Reference, RepositoryName};
use policy::Denial;
use std::time::Duration;

/// The facts about a call that its cure depends on.
pub struct About {
    /// The host that the client used, with its port.
    pub host: String,
    /// The registry that the call is about. Until the caller is known: the host's registry, or the default one.
    pub registry: RegistryId,
    /// Whether the host name selects that registry.
    pub named: bool,
    /// The caller, once it is known.
    pub caller: Option<CallerIdentity>,
    /// Whether the call is a step of a push.
    pub pushes: bool,
    /// The image that the call is about.
    pub image: Option<(RepositoryName, Reference)>,
    /// How long an upload lives.
    pub upload_life: Duration,
}

/// What would let a refused call succeed.
#[derive(Debug)]
pub(super) enum Cure {
    /// A clause that does not depend on the call.
    Said(String),
    /// Log in again.
    Login,
    /// Create the missing repository, or look for it in another registry.
    Repository(String),
    /// Get the permission that was denied.
    Permission(Box<Denial>),
    /// Push another tag, or delete this one first.
    Tag { name: String, tag: String },
    /// Pull an image that exists.
    Image,
    /// Start the upload again.
    Upload,
}

/// A cure as text: a clause for the body, and a shorter one for a reason phrase in which the first does not fit. The first
/// contains the second.
struct Words {
    whole: String,
    short: Option<String>,
}

impl Words {
    fn new(whole: impl Into<String>) -> Words {
        Words { whole: whole.into(), short: None }
    }
}

impl Refusal {
    /// Adds what would let the call succeed to the refusal's body and reason phrase.
    pub fn cured(mut self, about: &About) -> Refusal {
        if let (Some(Cure::Image), Some((name, reference))) = (self.cure.as_deref(), &about.image) {
            let what = match reference {
                Reference::Tag(tag) => format!("tag {tag}"),
                Reference::Digest(digest) => format!("image {digest}"),
            };
            let cause = format!("no {what} in the repository {name}");
            self.message = format!("{}: there is {cause}", self.message);
            self.cause = Some(cause.into());
        }
        if about.pushes && matches!(self.cure.as_deref(), Some(Cure::Repository(_))) {
            // The command already names the repository. A long name said twice would leave no room for the command.
            self.cause = Some("no such repository".into());
        }
        let cause = self.cause.as_deref().unwrap_or(&self.message);
        let words = self.cure.take().and_then(|cure| about.words(*cure));
        let cures = words.iter().flat_map(|words| [Some(words.whole.as_str()), words.short.as_deref()]);
        self.cause = Some(with_cure(self.status, cause, &cures.flatten().collect::<Vec<_>>()).into());
        if let Some(words) = words {
            self.message = followed(&self.message, &words.whole);
        }
        self
    }
}

impl About {
    /// Returns the command that logs in at this host.
    pub fn login(&self) -> String {
        let (service, region, host) = (self.registry.service(), self.registry.api_region(), &self.host);
        format!(
            "log in with: aws {service} get-login-password --region {region} | docker login -u AWS --password-stdin {host}"
        )
    }

    fn words(&self, cure: Cure) -> Option<Words> {
        Some(match cure {
            Cure::Said(clause) => Words::new(clause),
            Cure::Login => Words::new(self.login()),
            Cure::Repository(name) if self.pushes => {
                let command = self.command("create-repository", &format!("--repository-name {name}"));
                Words::new(format!("create it with: {command}"))
            }
            Cure::Repository(_) => self.describe_target(),
            Cure::Permission(denial) => self.permission(&denial),
            Cure::Tag { name, tag } => {
                let which = format!("--repository-name {name} --image-ids imageTag={tag}");
                let short = "push another tag, or delete this one first";
                let whole = format!("{short}: {}", self.command("batch-delete-image", &which));
                Words { whole, short: Some(short.to_owned()) }
            }
            Cure::Image => {
                let (name, reference) = self.image.as_ref()?;
                let command = self.command("list-images", &format!("--repository-name {name}"));
                let short = format!("see what it has with: {command}");
                match reference {
                    Reference::Tag(tag) if tag.as_str() == "latest" => {
                        let whole = format!("docker asks for latest where no tag is named; {short}");
                        Words { whole, short: Some(short) }
                    }
                    Reference::Tag(_) | Reference::Digest(_) => Words::new(short),
                }
            }
            Cure::Upload => {
                let short = "start this layer again";
                let life = span(self.upload_life);
                let whole = format!("{short}: an upload lives {life}, and ends with its layer or when it is cancelled");
                Words { whole, short: Some(short.to_owned()) }
            }
        })
    }

    /// Says in which registry a pull looked for its repository, and how to list that registry.
    fn describe_target(&self) -> Words {
        let account = self.registry.account;
        let place = match self.registry.region() {
            Some(region) => format!("the account {account} in {region}"),
            None => format!("the public registry of the account {account}"),
        };
        let by = if self.named { "host names" } else { "token is of" };
        let short = format!("the {by} {place}");
        let whole = format!("{short}; see what is there with: {}", self.command("describe-repositories", ""));
        Words { whole, short: Some(short) }
    }

    /// Whether the caller belongs to the account that owns the registry.
    fn is_of_owner(&self) -> bool {
        self.caller.as_ref().and_then(CallerIdentity::account) == Some(self.registry.account)
    }

    /// Returns an AWS CLI command that addresses this registry.
    fn command(&self, operation: &str, arguments: &str) -> String {
        let account = self.registry.account;
        let mut line = format!("aws {} {operation}", self.registry.service());
        if !arguments.is_empty() {
            line.push(' ');
            line.push_str(arguments);
        }
        line.push_str(&format!(" --region {}", self.registry.api_region()));
        if !self.is_of_owner() {
            line.push_str(&format!(" --registry-id {account}"));
        }
        line
    }
}

/// Appends a sentence to a message. Has no full stop, because the sentence may end with a command.
fn followed(message: &str, clause: &str) -> String {
    let stop = if message.ends_with(['.', '!', '?']) { "" } else { "." };
    let mut rest = clause.chars();
    let first: String = rest.next().into_iter().flat_map(char::to_uppercase).collect();
    format!("{message}{stop} {first}{}", rest.as_str())
}

/// `24 h`, `90 min`, `45 s`
fn span(time: Duration) -> String {
    match time.as_secs() {
        seconds if seconds % 3600 == 0 => format!("{} h", seconds / 3600),
        seconds if seconds % 60 == 0 => format!("{} min", seconds / 60),
        seconds => format!("{seconds} s"),
    }
}
