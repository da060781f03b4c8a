//! Actions that the resource's own policy must allow.

use super::*;

const KEY: &str = "arn:aws:kms:us-east-1:111111111111:key/1234abcd-12ab-34cd-56ef-1234567890ab";
const ROLE: &str = "arn:aws:iam::111111111111:role/ci/builder";

/// An action for which the resource's own policy is required: the rule, the action and the resource.
type What = (ResourceRule, &'static str, &'static str);

const DECRYPT: What = (ResourceRule::Required, "kms:Decrypt", KEY);
const ASSUME: What = (ResourceRule::Trust, "sts:AssumeRole", ROLE);

fn required(
    principal: &Principal,
    (resource_rule, action, resource): What,
    policies: &Policies,
) -> Result<GrantBasis, Cause> {
    let request = Request {
        principal,
        action,
        resource,
        resource_account: OWNER.parse().unwrap(),
        resource_rule,
        context: &BTreeMap::new,
    };
    match evaluate(&request, policies) {
        Decision::Allowed { by } => Ok(by.basis),
        Decision::Denied { reason } => Err(reason.cause),
    }
}

/// A statement about all actions.
fn everything(effect: &str) -> Vec<AttachedPolicy> {
    documents(Grammar::Identity, &[json!({"Effect": effect, "Action": "*", "Resource": "*"})])
}

/// The policy of a key. Its statement has a `Resource`; that of a role's trust policy has none.
fn key_policy(principal: &Value) -> Vec<AttachedPolicy> {
    let statement = json!({"Effect": "Allow", "Principal": principal, "Action": "kms:*", "Resource": "*"});
    documents(Grammar::Resource, &[statement])
}

fn trust_policy(principal: &Value) -> Vec<AttachedPolicy> {
    documents(Grammar::Resource, &[json!({"Effect": "Allow", "Principal": principal, "Action": "sts:AssumeRole"})])
}

/// KMS developer guide, "Key policies in AWS KMS": no principal, including the account root user, has any permission to a key
/// unless its policy allows it; IAM policies have no effect unless the key policy enables them by naming the account.
/// IAM user guide, "Policy evaluation for requests within a single account": role trust policies must allow as well.
#[test]
fn identity_policies_alone_do_not_allow_what_a_required_resource_policy_does_not() {
    let account = aws("arn:aws:iam::111111111111:root");
    let the_user = aws("arn:aws:iam::111111111111:user/dev/ann");
    let other_user = aws("arn:aws:iam::111111111111:user/dev/bob");
    let (by_resource, by_identity) = (Ok(GrantBasis::ResourcePolicy), Ok(GrantBasis::IdentityPolicy));
    // `no_resource` stands for the kind of the resource's own policy.
    let (no_resource, no_identity) = (no_allow(PolicyKind::Resource), no_allow(PolicyKind::Identity));
    // The caller, whom the resource's policy names, the outcome without and with an identity policy that allows everything.
    let data = [
        (root(OWNER), None, no_resource, no_resource),
        (root(OWNER), Some(&the_user), no_resource, no_resource),
        (root(OWNER), Some(&account), by_resource, by_resource),
        (user(OWNER), None, no_resource, no_resource),
        (user(OWNER), Some(&other_user), no_resource, no_resource),
        (user(OWNER), Some(&account), no_identity, by_identity),
        (user(OWNER), Some(&the_user), by_resource, by_resource),
        (session(OWNER), Some(&account), no_identity, by_identity),
        (federated_of_root(OWNER), None, no_allow(PolicyKind::Resource), no_resource),
        (user(STRANGER), None, no_resource, no_resource),
        (user(STRANGER), Some(&aws(STRANGER)), no_identity, by_resource),
        (root(STRANGER), Some(&aws(STRANGER)), by_resource, by_resource),
        (service(), None, no_resource, no_resource),
        (service(), Some(&json!({"Service": "codebuild.amazonaws.com"})), by_resource, by_resource),
        (nobody(), None, no_resource, no_resource),
    ];
    for (what, policy) in [(DECRYPT, key_policy as fn(&Value) -> Vec<AttachedPolicy>), (ASSUME, trust_policy)] {
        let of_kind = |outcome| if outcome == no_resource { no_allow(what.0.kind()) } else { outcome };
        for (principal, named, alone, with_identity) in &data {
            let resource = named.map(policy).unwrap_or_default();
            let mut all = policies(Vec::new(), resource);
            assert_eq!(required(principal, what, &all), of_kind(*alone), "{what:?}: {} {named:?}", principal.arn);
            all.identity = everything("Allow");
            assert_eq!(
                required(principal, what, &all),
                of_kind(*with_identity),
                "{what:?}: {} {named:?}",
                principal.arn
            );
            all.identity = everything("Deny");
            assert_eq!(required(principal, what, &all), Err(Cause::ExplicitDeny(PolicyKind::Identity)));
        }
    }
}

#[test]
fn boundaries_and_session_policies_limit_what_a_required_policy_delegates() {
    let account = aws("arn:aws:iam::111111111111:root");
    let what = DECRYPT;
    let mut all = policies(everything("Allow"), key_policy(&account));
    all.boundary = silent();
    assert_eq!(required(&user(OWNER), what, &all), no_allow(PolicyKind::Boundary));
    all.boundary.clear();
    all.session = silent();
    assert_eq!(required(&session(OWNER), what, &all), no_allow(PolicyKind::Session));
}
