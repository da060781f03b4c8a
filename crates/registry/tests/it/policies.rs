//! Policies on the way of every request: what a look-up costs, and how soon a change holds on this node and on another.

use crate::support::{Store, World, app, name};
use kernel::access::{self, Caller, Need};
use kernel::{CommonError, Cx};
use registry::{account_setting, permission, registry_policy, repository, repository_policy, resource_tags};
use std::time::Duration;

/// The other account's administrator, who asks for something of the first account's registry.
fn stranger(cx: &Cx) -> Cx {
    let caller = Caller::administrator("111122223333".parse().unwrap(), "AKIAEXAMPLE");
    Cx { caller: caller.into(), ..cx.clone() }
}

fn need(cx: &Cx, name: &oci::RepositoryName) -> Need {
    permission::need_on("ecr:BatchGetImage", &cx.registry, Some(name.as_str()))
}

async fn may_pull(cx: &Cx) -> bool {
    match access::authorize(cx, &[need(cx, &app())]).await {
        Ok(_) => true,
        Err(CommonError::AccessDenied(_)) => false,
        Err(error) => panic!("{error}"),
    }
}

const OPEN: &str = r#"{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": {"AWS": "111122223333"},
    "Action": "ecr:BatchGetImage"}}"#;

fn open_to_all_here() -> String {
    OPEN.replace("\"Action\"", "\"Resource\": \"*\", \"Action\"")
}

fn open_to_tagged() -> String {
    OPEN.replace("\"Action\"", r#""Condition": {"StringEquals": {"ecr:ResourceTag/shared": "yes"}}, "Action""#)
}

async fn statements(cx: &Cx, what: impl Future) -> u64 {
    let before = cx.db.stats().statements;
    what.await;
    cx.db.stats().statements - before
}

#[tokio::test]
async fn a_look_up_of_policies_costs_one_statement_in_half_a_second() {
    let world = World::new(Store::Memory).await;
    let (cx, stranger) = (&world.cx, stranger(&world.cx));
    assert_eq!(statements(cx, may_pull(cx)).await, 1);
    assert_eq!(statements(cx, may_pull(cx)).await, 0);
    // It does not depend on who asks, nor on whether the repository exists. The control policies of a caller's account are looked up
    // once as well.
    assert_eq!(statements(cx, may_pull(&stranger)).await, 1);
    assert_eq!(statements(cx, may_pull(&stranger)).await, 0);
    let missing = [need(cx, &name("team/gone"))];
    assert_eq!(statements(cx, access::authorize(&stranger, &missing)).await, 1);
    assert_eq!(statements(cx, access::authorize(&stranger, &missing)).await, 0);
    world.clock.advance(Duration::from_millis(500));
    assert_eq!(statements(cx, may_pull(cx)).await, 1);
    // Another registry's change costs this one nothing.
    let elsewhere =
        Cx { registry: kernel::RegistryId::private(cx.registry.account, "eu-west-1".parse().unwrap()), ..cx.clone() };
    world.repository(&elsewhere, &app()).await;
    assert_eq!(statements(cx, may_pull(cx)).await, 0);
    // The repository's policy and tags are found by the same statement; the other is about the control policies.
    repository_policy::set(cx, &app(), OPEN, false).await.unwrap();
    assert_eq!(statements(cx, may_pull(&stranger)).await, 2);
    assert_eq!(statements(cx, may_pull(&stranger)).await, 0);
}

#[tokio::test]
async fn every_change_holds_at_once_here_and_within_half_a_second_on_another_node() {
    let world = World::new(Store::Memory).await;
    let cx = &world.cx;
    let there = world.second_node().await;
    let (here, there) = (stranger(cx), stranger(&there));
    let mut allowed = false;
    for step in 0.. {
        // The other node remembers what was.
        assert_eq!(may_pull(&there).await, allowed, "step {step}");
        match step {
            0 => drop(repository_policy::set(cx, &app(), OPEN, false).await.unwrap()),
            1 => drop(repository_policy::delete(cx, &app()).await.unwrap()),
            2 => drop(registry_policy::put(cx, &open_to_all_here()).await.unwrap()),
            3 => account_setting::put(cx, "REGISTRY_POLICY_SCOPE", "V1").await.unwrap(),
            4 => account_setting::put(cx, "REGISTRY_POLICY_SCOPE", "V2").await.unwrap(),
            5 => drop(registry_policy::delete(cx).await.unwrap()),
            6 => {
                repository_policy::set(cx, &app(), &open_to_tagged(), false).await.unwrap();
                let tag = ("shared".to_owned(), "yes".to_owned());
                resource_tags::tag(cx, &app(), vec![tag]).await.unwrap();
            }
            7 => resource_tags::untag(cx, &app(), vec!["shared".to_owned()]).await.unwrap(),
            8 => drop(repository_policy::set(cx, &app(), OPEN, false).await.unwrap()),
            // A repository that is made anew has no policy.
            9 => {
                repository::delete(cx, &app(), false).await.unwrap();
                world.repository(cx, &app()).await;
            }
            _ => break,
        }
        allowed = !allowed;
        assert_eq!(may_pull(&here).await, allowed, "step {step}");
        world.clock.advance(Duration::from_millis(500));
        assert_eq!(may_pull(&there).await, allowed, "step {step}");
    }
    there.db.close().await;
}

#[tokio::test]
async fn nothing_of_a_stored_policy_that_can_not_be_read_is_allowed() {
    let world = World::new(Store::Memory).await;
    let cx = &world.cx;
    let registry = cx.registry.key();
    let broken = cx.db.write(move |tx| tx.registry_policy_put(&registry, "{\"Statement\": 1}", 0));
    broken.await.map_err(|error: meta::Error| error).unwrap();
    let outcome = access::authorize(cx, &[Need::new("ecr:DescribeRegistry", permission::registry(&cx.registry))]).await;
    assert!(matches!(outcome, Err(CommonError::Server(_))), "{outcome:?}");
}
