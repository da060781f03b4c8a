//! The STS door (query protocol, `ECR.md` P).

mod access_key_info;
mod assume_role;
mod failure;
mod get_caller_identity;
mod session_token;
mod types;

pub use failure::Sts;

use call::{Entry, Protocol, Service};

pub const SERVICE: Service = Service {
    signing_name: "sts",
    namesake: None,
    global_region: Some("us-east-1"),
    account: None,
    protocol: Protocol::Query { namespace: "https://sts.amazonaws.com/doc/2011-06-15/", version: "2011-06-15" },
    stated_life: false,
    operations: &[
        Entry::query::<assume_role::AssumeRole>(),
        Entry::query::<access_key_info::GetAccessKeyInfo>(),
        Entry::query::<get_caller_identity::GetCallerIdentity>(),
        Entry::query::<session_token::GetFederationToken>(),
        Entry::query::<session_token::GetSessionToken>(),
    ],
    not_yet: &[
        "AssumeRoleWithSAML",
        "AssumeRoleWithWebIdentity",
        "AssumeRoot",
        "DecodeAuthorizationMessage",
        "GetDelegatedAccessToken",
        "GetScopedCredentials",
        "GetWebIdentityToken",
    ],
};
