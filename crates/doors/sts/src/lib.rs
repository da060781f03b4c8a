//! The STS door (query protocol, `ECR.md` P).

mod get_caller_identity;

use call::{Api, Entry, Protocol, Service};
use kernel::CommonError;

pub const SERVICE: Service = Service {
    signing_name: "sts",
    namesake: None,
    global_region: Some("us-east-1"),
    account: None,
    protocol: Protocol::Query { namespace: "https://sts.amazonaws.com/doc/2011-06-15/", version: "2011-06-15" },
    stated_life: false,
    operations: &[Entry::query::<get_caller_identity::GetCallerIdentity>()],
    not_yet: &[
        "AssumeRole",
        "AssumeRoleWithSAML",
        "AssumeRoleWithWebIdentity",
        "AssumeRoot",
        "DecodeAuthorizationMessage",
        "GetAccessKeyInfo",
        "GetDelegatedAccessToken",
        "GetFederationToken",
        "GetScopedCredentials",
        "GetSessionToken",
        "GetWebIdentityToken",
    ],
};

/// The API that STS's operations belong to.
pub struct Sts;

impl Api for Sts {
    type Error = CommonError;
    type Attempt = ();
}
