//! Says who can lift a denial, and how. What an account's policies say is told only to callers of that account.

use super::{About, Words};
use kernel::access::CallerIdentity;
use policy::{Cause, DecidingStatement, Denial, PolicyKind};

/// Maximum characters of a policy's name (IAM: policyNameType).
const POLICY_NAME_CHARACTERS: usize = 128;

/// A caller that has policies of its own.
struct Principal<'a> {
    /// `user` or `role`.
    kind: &'static str,
    name: &'a str,
}

impl<'a> Principal<'a> {
    fn of(identity: &'a CallerIdentity) -> Option<Principal<'a>> {
        match identity {
            CallerIdentity::User { path_and_name, .. } => {
                let name = path_and_name.rsplit('/').next().unwrap_or(path_and_name);
                Some(Principal { kind: "user", name })
            }
            CallerIdentity::RoleSession { role, .. } => Some(Principal { kind: "role", name: role }),
            CallerIdentity::Administrator { .. }
            | CallerIdentity::FederatedUser { .. }
            | CallerIdentity::Service { .. }
            | CallerIdentity::Nobody => None,
        }
    }
}

impl About {
    /// Says who can allow the denied action, and how. Callers of other accounts learn nothing about the owner's policies.
    pub(super) fn permission(&self, denial: &Denial) -> Words {
        if !self.is_of_owner() {
            return self.permission_of_foreign(denial);
        }
        match denial.cause {
            Cause::NoAllow(kind) => self.not_allowed(kind, denial),
            Cause::ExplicitDeny(kind) => self.denied_by(kind, denial),
        }
    }

    /// Which of the two accounts must allow the action: the caller's own, or the owner's.
    fn permission_of_foreign(&self, denial: &Denial) -> Words {
        let own = self.caller.as_ref().and_then(CallerIdentity::account);
        let (Cause::NoAllow(kind) | Cause::ExplicitDeny(kind)) = denial.cause;
        match (kind, own) {
            (PolicyKind::Identity | PolicyKind::Boundary | PolicyKind::Session | PolicyKind::Control, Some(own)) => {
                Words::new(format!("an administrator of your account {own} can allow it"))
            }
            _ => {
                let owner = self.registry.account;
                Words::new(format!("log in with credentials of the account {owner}, or have it allow yours"))
            }
        }
    }

    /// Says which policy must allow the action, and with which command or statement.
    fn not_allowed(&self, kind: PolicyKind, denial: &Denial) -> Words {
        let account = self.registry.account;
        let Denial { action, resource, .. } = denial;
        let principal = self.caller.as_ref().and_then(Principal::of);
        let administrator = format!("an administrator of the account {account} can allow it");
        let whole = match (kind, principal) {
            (PolicyKind::Identity, Some(principal)) => {
                format!("{administrator} with: {}", put_policy(&principal, action, resource))
            }
            (PolicyKind::Boundary, Some(Principal { kind, name })) => format!(
                "{administrator}, in the permissions boundary of the {kind} {name}; \
                 see which that is with: aws iam get-{kind} --{kind}-name {name}"
            ),
            (PolicyKind::Session, _) => {
                let short = format!("use a session whose policy allows {action}");
                return Words::new(short);
            }
            (PolicyKind::Control, _) => {
                let short = "an administrator of the server can allow it, in a control policy".to_owned();
                let whole = format!("{short}: ecru account control-policy list {account}");
                return Words { whole, short: Some(short) };
            }
            (PolicyKind::Identity | PolicyKind::Resource | PolicyKind::Registry, _) => {
                format!("{administrator}, by a statement in a policy of yours: {}", statement(action, resource))
            }
            (PolicyKind::Trust | PolicyKind::Boundary, _) => return Words::new(administrator),
        };
        Words { whole, short: Some(administrator) }
    }

    /// Names the statement that denies and its policy, with a command that shows the policy if it is the repository's or the registry's.
    fn denied_by(&self, kind: PolicyKind, denial: &Denial) -> Words {
        let Some(DecidingStatement { policy, index, sid, .. }) = &denial.statement else {
            return Words::new(format!("an administrator of the account {} can allow it", self.registry.account));
        };
        let statement = match sid {
            Some(sid) => format!("the statement '{sid}'"),
            None => format!("statement {}", index + 1),
        };
        let (whose, command) = match (kind, denial.resource.rsplit_once(":repository/")) {
            (PolicyKind::Resource, Some((_, name))) => {
                let arguments = format!("--repository-name {name}");
                ("the repository's policy".to_owned(), Some(self.command("get-repository-policy", &arguments)))
            }
            (PolicyKind::Resource | PolicyKind::Registry, _) => {
                ("the registry's policy".to_owned(), Some(self.command("get-registry-policy", "")))
            }
            _ if policy.starts_with("arn:") => (format!("the policy {policy}"), None),
            _ => (format!("the {policy}"), None),
        };
        let short = format!("{statement} of {whose} denies it");
        match command {
            Some(command) => Words { whole: format!("{short}; see it with: {command}"), short: Some(short) },
            None => Words::new(short),
        }
    }
}

/// Returns a policy's statement that allows one action on one resource. Neither has characters that JSON escapes.
fn statement(action: &str, resource: &str) -> String {
    format!(r#"{{"Effect": "Allow", "Action": "{action}", "Resource": "{resource}"}}"#)
}

/// Returns the command that allows one action on one resource by an inline policy. The policy's name tells what it allows, so that the
/// next command of this kind does not replace it.
fn put_policy(principal: &Principal<'_>, action: &str, resource: &str) -> String {
    let Principal { kind, name } = principal;
    let what = resource.rsplit_once(":repository/").map_or("", |(_, name)| name);
    let words = [action, what].into_iter().flat_map(|text| text.split([':', '/', '*']));
    let policy = words.filter(|word| !word.is_empty()).collect::<Vec<_>>().join("-");
    let policy: String = policy.chars().take(POLICY_NAME_CHARACTERS).collect();
    let document = format!(r#"{{"Version": "2012-10-17", "Statement": [{}]}}"#, statement(action, resource));
    format!("aws iam put-{kind}-policy --{kind}-name {name} --policy-name {policy} --policy-document '{document}'")
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws::AccountId;
    use kernel::RegistryId;
    use std::time::Duration;

    const REPOSITORY: &str = "arn:aws:ecr:us-east-1:000000000000:repository/team/app";

    fn about(caller: CallerIdentity) -> About {
        About {
            host: "localhost:5050".to_owned(),
            registry: RegistryId::private(AccountId::DEFAULT, "us-east-1".parse().unwrap()),
            named: false,
            caller: Some(caller),
            pushes: true,
            image: None,
            upload_life: Duration::from_hours(24),
        }
    }

    fn user(account: AccountId) -> CallerIdentity {
        CallerIdentity::User { account, id: "AIDAEXAMPLE".to_owned(), path_and_name: "team/ann".to_owned() }
    }

    fn role() -> CallerIdentity {
        CallerIdentity::RoleSession {
            account: AccountId::DEFAULT,
            id: "AROAEXAMPLE".to_owned(),
            path: "/".to_owned(),
            role: "deployer".to_owned(),
            session: "ci".to_owned(),
        }
    }

    fn denial(cause: Cause, statement: Option<DecidingStatement>) -> Denial {
        let (action, resource) = ("ecr:PutImage".to_owned(), REPOSITORY.to_owned());
        Denial { principal: String::new(), action, resource, cause, statement }
    }

    #[test]
    fn a_user_or_role_without_an_allow_reads_the_command_that_allows_the_action() {
        for (caller, command) in [
            (user(AccountId::DEFAULT), "put-user-policy --user-name ann"),
            (role(), "put-role-policy --role-name deployer"),
        ] {
            let words = about(caller).permission(&denial(Cause::NoAllow(PolicyKind::Identity), None));
            let document =
                format!(r#"{{"Version": "2012-10-17", "Statement": [{}]}}"#, statement("ecr:PutImage", REPOSITORY));
            let administrator = "an administrator of the account 000000000000 can allow it";
            let expected = format!(
                "{administrator} with: aws iam {command} --policy-name ecr-PutImage-team-app --policy-document '{document}'"
            );
            assert_eq!((words.whole, words.short.as_deref()), (expected, Some(administrator)));
            assert!(policy::Document::parse(&document, policy::Grammar::Identity).is_ok());
        }
    }

    #[test]
    fn what_limits_a_caller_is_named() {
        let role = about(role());
        for (kind, whole) in [
            (
                PolicyKind::Boundary,
                "an administrator of the account 000000000000 can allow it, in the permissions boundary of the role deployer; \
                 see which that is with: aws iam get-role --role-name deployer",
            ),
            (PolicyKind::Session, "use a session whose policy allows ecr:PutImage"),
            (
                PolicyKind::Control,
                "an administrator of the server can allow it, in a control policy: \
                 ecru account control-policy list 000000000000",
            ),
        ] {
            assert_eq!(role.permission(&denial(Cause::NoAllow(kind), None)).whole, whole);
        }
        for (kind, policy, sid, whole) in [
            (
                PolicyKind::Identity,
                "inline policy push",
                Some("no push"),
                "the statement 'no push' of the inline policy push",
            ),
            (
                PolicyKind::Identity,
                "arn:aws:iam::aws:policy/x",
                None,
                "statement 2 of the policy arn:aws:iam::aws:policy/x",
            ),
            (PolicyKind::Session, "session policy", None, "statement 2 of the session policy"),
            (PolicyKind::Control, "service control policy x", None, "statement 2 of the service control policy x"),
        ] {
            let statement = DecidingStatement { kind, policy: policy.into(), index: 1, sid: sid.map(Into::into) };
            let words = role.permission(&denial(Cause::ExplicitDeny(kind), Some(statement)));
            assert_eq!(words.whole, format!("{whole} denies it"));
        }
    }

    #[test]
    fn a_caller_of_another_account_reads_no_statement_of_any_policy() {
        let foreign = about(user("111122223333".parse().unwrap()));
        let own = "an administrator of your account 111122223333 can allow it";
        let owners = "log in with credentials of the account 000000000000, or have it allow yours";
        for (kind, whole) in [
            (PolicyKind::Identity, own),
            (PolicyKind::Boundary, own),
            (PolicyKind::Session, own),
            (PolicyKind::Control, own),
            (PolicyKind::Resource, owners),
            (PolicyKind::Registry, owners),
        ] {
            let statement = DecidingStatement { kind, policy: "secret".into(), index: 0, sid: Some("secret".into()) };
            for denial in [denial(Cause::NoAllow(kind), None), denial(Cause::ExplicitDeny(kind), Some(statement))] {
                assert_eq!(foreign.permission(&denial).whole, whole);
            }
        }
    }

    #[test]
    fn a_policy_name_has_the_characters_and_the_length_that_iam_allows() {
        let long = format!("arn:aws:ecr:us-east-1:000000000000:repository/{}app", "a/".repeat(100));
        let ann = Principal { kind: "user", name: "ann" };
        for (resource, expected) in [("*", 30), ("arn:aws:ecr:us-east-1:000000000000:repository/*", 30), (&long, 128)] {
            let command = put_policy(&ann, "ecr:GetAuthorizationToken", resource);
            let name = command.split("--policy-name ").nth(1).unwrap().split(' ').next().unwrap();
            assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+=,.@_-".contains(&byte)), "{name}");
            assert!(name.len() <= expected, "{name}");
        }
    }
}
