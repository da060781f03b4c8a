//! Boundaries, session policies and service control policies.

use super::*;

#[test]
fn the_strength_of_a_resource_policys_grant_depends_on_how_it_names_the_caller() {
    let everyone = json!("*");
    let account = aws(OWNER);
    let as_root = aws("arn:aws:iam::111111111111:root");
    let the_user = aws("arn:aws:iam::111111111111:user/dev/ann");
    let the_role = aws("arn:aws:iam::111111111111:role/ci/builder");
    let the_session = aws("arn:aws:sts::111111111111:assumed-role/builder/run");
    let the_federated = aws("arn:aws:sts::111111111111:federated-user/fred");
    let by_resource = Ok(GrantBasis::ResourcePolicy);
    let identity = no_allow(PolicyKind::Identity);
    let boundary = no_allow(PolicyKind::Boundary);
    let by_session = no_allow(PolicyKind::Session);
    // The caller, whom the policy names, the outcome without limits, with a silent boundary, with a silent session policy.
    let data = [
        (user(OWNER), &account, identity, identity, identity),
        (user(OWNER), &as_root, identity, identity, identity),
        (session(OWNER), &account, identity, identity, identity),
        (user(OWNER), &the_user, by_resource, by_resource, by_resource),
        (session(OWNER), &the_user, identity, identity, identity),
        (session(OWNER), &the_role, by_resource, boundary, by_session),
        (session(OWNER), &the_session, by_resource, by_resource, by_resource),
        (federated(OWNER), &the_user, by_session, boundary, by_session),
        (federated(OWNER), &the_federated, by_resource, by_resource, by_resource),
        (federated_of_root(OWNER), &account, by_session, boundary, by_session),
        (user(OWNER), &everyone, by_resource, boundary, by_session),
        (session(OWNER), &everyone, by_resource, boundary, by_session),
        (
            user(STRANGER),
            &the_user,
            no_allow(PolicyKind::Resource),
            no_allow(PolicyKind::Resource),
            no_allow(PolicyKind::Resource),
        ),
    ];
    for (principal, named, free, in_boundary, in_session) in data {
        let mut all = policies(Vec::new(), shared("Allow", named));
        assert_eq!(outcome(&principal, &all), free, "{} {named}", principal.arn);
        all.boundary = silent();
        assert_eq!(outcome(&principal, &all), in_boundary, "boundary: {} {named}", principal.arn);
        all.boundary.clear();
        all.session = silent();
        assert_eq!(outcome(&principal, &all), in_session, "session: {} {named}", principal.arn);
    }
}

#[test]
fn a_session_policy_can_only_reduce_permissions() {
    let mut all = policies(silent(), Vec::new());
    all.session = own("Allow");
    assert_eq!(outcome(&session(OWNER), &all), no_allow(PolicyKind::Identity));
    assert_eq!(outcome(&federated(OWNER), &all), no_allow(PolicyKind::Identity));
    assert_eq!(outcome(&federated_of_root(OWNER), &all), Ok(GrantBasis::IdentityPolicy));
    all.identity = own("Allow");
    assert_eq!(outcome(&session(OWNER), &all), Ok(GrantBasis::IdentityPolicy));
    assert_eq!(outcome(&federated(OWNER), &all), Ok(GrantBasis::IdentityPolicy));
    all.session.clear();
    assert_eq!(outcome(&session(OWNER), &all), Ok(GrantBasis::IdentityPolicy));
    assert_eq!(outcome(&federated(OWNER), &all), no_allow(PolicyKind::Session));
}

/// IAM user guide, "Policy evaluation logic"; AWS Organizations user guide, "SCP effects on permissions".
#[test]
fn the_service_control_policies_of_the_callers_account_bind_everyone_in_it() {
    let no_control = no_allow(PolicyKind::Control);
    let everyone = [root, user, session, federated, federated_of_root];
    for (principal, account) in everyone.iter().flat_map(|of| [(of(OWNER), OWNER), (of(STRANGER), STRANGER)]) {
        // Everything else allows.
        let mut all = policies(own("Allow"), shared("Allow", &aws(account)));
        all.session = own("Allow");
        let granted = outcome(&principal, &all);
        assert!(granted.is_ok(), "{}", principal.arn);
        for (control, expected) in [
            (own("Allow"), granted),
            (silent(), no_control),
            (own("Deny"), Err(Cause::ExplicitDeny(PolicyKind::Control))),
            ([own("Allow"), silent()].concat(), granted),
            ([own("Allow"), own("Deny")].concat(), Err(Cause::ExplicitDeny(PolicyKind::Control))),
        ] {
            all.control = control;
            assert_eq!(outcome(&principal, &all), expected, "{} {:?}", principal.arn, all.control);
        }
        // A service control policy grants nothing.
        let none = Policies { control: own("Allow"), ..Policies::default() };
        let without = outcome(&principal, &Policies::default());
        assert_eq!(outcome(&principal, &none), without, "{}", principal.arn);
    }
}

#[test]
fn a_silent_service_control_policy_limits_even_what_a_resource_policy_allows_alone() {
    for named in ["user/dev/ann", "role/ci/builder"] {
        let mut all = policies(Vec::new(), shared("Allow", &aws(&format!("arn:aws:iam::{OWNER}:{named}"))));
        let principal = if named.starts_with("user") { user(OWNER) } else { session(OWNER) };
        assert_eq!(outcome(&principal, &all), Ok(GrantBasis::ResourcePolicy));
        all.control = silent();
        assert_eq!(outcome(&principal, &all), no_allow(PolicyKind::Control));
    }
}

#[test]
fn the_first_lacking_limit_is_told() {
    let mut all = policies(own("Allow"), Vec::new());
    (all.control, all.boundary, all.session) = (silent(), silent(), silent());
    assert_eq!(outcome(&session(OWNER), &all), no_allow(PolicyKind::Control));
    all.control.clear();
    assert_eq!(outcome(&session(OWNER), &all), no_allow(PolicyKind::Boundary));
    all.boundary.clear();
    assert_eq!(outcome(&session(OWNER), &all), no_allow(PolicyKind::Session));
}
