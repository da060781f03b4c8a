//! The push log, which is a ring of refused pushes, and its queue.

use super::support::*;
use kernel::{CommonError, Cx};
use registry::push_log::{self, PushAttempt, PushLogLine, PushOutcome, PushRefusal, QUEUE, RING};
use registry::{Error, repository};
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Refuses a push to a tag with this message.
fn refuse(cx: &Cx, repository: &str, tag: &str, message: &str) {
    let attempt =
        PushAttempt { action: "PUT manifest", repository: name(repository), tag: Some(tag.to_owned()), digest: None };
    let refusal = PushRefusal { status: 400, code: "TAG_INVALID", message: message.to_owned(), denied: false };
    push_log::refused(cx, attempt, refusal);
}

/// Starts the writer of a process. Dropping the sender ends it.
fn writer(cx: &Cx) -> (watch::Sender<bool>, JoinHandle<()>) {
    let (stop, stopped) = watch::channel(false);
    (stop, tokio::spawn(push_log::run(cx.system.clone(), stopped)))
}

/// Reads the whole log in pages of `limit`.
async fn log(cx: &Cx, repository: &str, limit: u32) -> Vec<PushLogLine> {
    let (mut lines, mut after) = (Vec::new(), None);
    loop {
        let page = push_log::list(cx, &name(repository), false, after, limit).await.unwrap();
        assert!(page.items.len() <= limit as usize);
        lines.extend(page.items);
        after = page.next;
        if after.is_none() {
            return lines;
        }
    }
}

fn tags(lines: &[PushLogLine]) -> Vec<&str> {
    lines.iter().map(|line| line.tag.as_deref().unwrap()).collect()
}

fn times(line: &PushLogLine) -> u64 {
    match &line.outcome {
        PushOutcome::Refused(refused) => refused.times,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_log_keeps_the_last_hundred_refusals_and_lists_the_newest_first() {
    let world = World::new(Store::Memory).await;
    let (_stop, _writer) = writer(&world.cx);
    world.repository(&world.cx, &name("other")).await;
    refuse(&world.cx, "other", "v0", "once");
    for number in 0..RING + 30 {
        world.clock.advance(Duration::from_millis(1));
        refuse(&world.cx, "team/app", &format!("v{number}"), "refused");
        // Write a batch from time to time.
        if number % 7 == 0 {
            log(&world.cx, "team/app", 1000).await;
        }
    }
    let expected: Vec<String> = (30..RING + 30).rev().map(|number| format!("v{number}")).collect();
    for limit in [1, 7, 100, 1000] {
        assert_eq!(tags(&log(&world.cx, "team/app", limit).await), expected, "in pages of {limit}");
    }
    assert_eq!(tags(&log(&world.cx, "other", 10).await), ["v0"]);
}

#[tokio::test]
async fn a_repeated_refusal_is_counted_and_becomes_the_newest() {
    let world = World::new(Store::Memory).await;
    let (_stop, _writer) = writer(&world.cx);
    let first = world.cx.now();
    for (tag, message) in [("v1", "held"), ("v2", "held"), ("v1", "held"), ("v1", "another cause"), ("v1", "held")] {
        refuse(&world.cx, "team/app", tag, message);
        log(&world.cx, "team/app", 10).await;
        world.clock.advance(Duration::from_secs(1));
    }
    let lines = log(&world.cx, "team/app", 10).await;
    assert_eq!(tags(&lines), ["v1", "v1", "v2"]);
    assert_eq!(lines.iter().map(times).collect::<Vec<_>>(), [3, 1, 1]);
    let PushOutcome::Refused(refused) = &lines[0].outcome else { panic!("{:?}", lines[0]) };
    assert_eq!((refused.first_at, lines[0].at), (first, first.plus(Duration::from_secs(4))));
    assert_eq!((refused.message.as_str(), refused.status, refused.code.as_str()), ("held", 400, "TAG_INVALID"));
    assert_eq!(
        (lines[0].principal.as_str(), lines[0].source.as_deref()),
        ("arn:aws:iam::000000000000:root", Some("127.0.0.1"))
    );
}

#[tokio::test]
async fn many_refusals_delay_no_call_and_fill_at_most_the_queue() {
    let world = World::new(Store::Memory).await;
    // There is no writer yet, as if the store did not answer.
    for number in 0..10 * QUEUE {
        refuse(&world.cx, "team/app", &format!("v{number}"), &"x".repeat(100_000));
    }
    assert_eq!((push_log::waiting(&world.cx), push_log::dropped(&world.cx)), (QUEUE, 9 * QUEUE as u64));
    let (_stop, _writer) = writer(&world.cx);
    let lines = log(&world.cx, "team/app", 1000).await;
    assert_eq!(lines.len(), RING as usize);
    for line in &lines {
        let PushOutcome::Refused(refused) = &line.outcome else { panic!("{line:?}") };
        assert_eq!(refused.message.len(), 1000);
    }
    assert_eq!(push_log::waiting(&world.cx), 0);
}

#[tokio::test]
async fn a_missing_repository_has_no_log_and_a_new_one_does_not_inherit_it() {
    let world = World::new(Store::Memory).await;
    let (_stop, _writer) = writer(&world.cx);
    refuse(&world.cx, "absent", "v1", "there is no repository");
    let missing = push_log::list(&world.cx, &name("absent"), false, None, 10).await.unwrap_err();
    assert!(matches!(missing, Error::RepositoryNotFound { .. }), "{missing}");
    world.repository(&world.cx, &name("absent")).await;
    assert_eq!(log(&world.cx, "absent", 10).await, []);

    refuse(&world.cx, "team/app", "v1", "held");
    assert_eq!(log(&world.cx, "team/app", 10).await.len(), 1);
    repository::delete(&world.cx, &app(), false).await.unwrap();
    world.repository(&world.cx, &app()).await;
    assert_eq!(log(&world.cx, "team/app", 10).await, []);

    let elsewhere = world.registry("000000000000", "eu-west-1");
    world.repository(&elsewhere, &app()).await;
    refuse(&elsewhere, "team/app", "v2", "held");
    assert_eq!(log(&world.cx, "team/app", 10).await, []);
    assert_eq!(tags(&log(&elsewhere, "team/app", 10).await), ["v2"]);
}

#[tokio::test]
async fn the_queue_is_written_before_the_writer_ends_and_losses_are_counted() {
    let world = World::new(Store::Memory).await;
    let (stop, ended) = writer(&world.cx);
    refuse(&world.cx, "team/app", "v1", "held");
    drop(stop);
    ended.await.unwrap();
    let (_stop, _writer) = writer(&world.cx);
    assert_eq!(tags(&log(&world.cx, "team/app", 10).await), ["v1"]);

    world.cx.db.close().await;
    refuse(&world.cx, "team/app", "v2", "held");
    let gone = push_log::list(&world.cx, &app(), false, None, 10).await.unwrap_err();
    assert!(matches!(gone, Error::Common(CommonError::Unavailable { .. })), "{gone}");
    assert_eq!(push_log::dropped(&world.cx), 1);
}
