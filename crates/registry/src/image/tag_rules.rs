//! The rules for pushes to existing tags: mutability (`ECR.md` C) and the push window (`ECR.md` R).

use super::PushClient;
use crate::clock::Time;
use crate::quirks::Behaviour;
use crate::repository::TagMutability;
use meta::records::tag::TagWindow;
use std::time::Duration;

/// A push, as the rules look at it.
pub(super) struct Push<'a> {
    pub client: PushClient,
    pub principal: &'a str,
    pub now: Time,
    pub window: Duration,
    pub repush: Behaviour,
    /// True for an index.
    pub is_index: bool,
    pub platform: Option<&'a str>,
}

/// The tag as it is, and how the image that it holds and the pushed one are related.
pub(super) struct CurrentTag<'a> {
    pub same_digest: bool,
    pub is_index: bool,
    pub platform: Option<&'a str>,
    pub window: Option<&'a TagWindow>,
    /// The held index lists what is pushed.
    pub lists_pushed: bool,
    /// The pushed index lists what is held.
    pub listed_by_pushed: bool,
}

/// What a push does to a tag that it may push to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TagOutcome {
    /// It moves to the pushed image; the window, if any, is open from now on.
    Move(Option<TagWindow>),
    /// It holds the pushed image already; a new window, if any, opens.
    Unchanged(Option<TagWindow>),
    /// It keeps the image that it holds, and the push succeeds all the same; a new window, if any, opens.
    LeaveInPlace(Option<TagWindow>),
}

/// Returns the window that opens when an immutable tag is created with an image that may be the first part of an index.
pub(super) fn opening_window(mutability: &TagMutability, tag: &str, push: &Push<'_>) -> Option<TagWindow> {
    push.opened().filter(|_| !mutability.allows_move(tag) && !push.is_index)
}

/// What a push does to a tag that exists; `None` when the push is refused.
pub(super) fn judge(
    mutability: &TagMutability,
    tag: &str,
    push: &Push<'_>,
    held: &CurrentTag<'_>,
) -> Option<TagOutcome> {
    if mutability.allows_move(tag) {
        return Some(if held.same_digest { TagOutcome::Unchanged(None) } else { TagOutcome::Move(None) });
    }
    let docker = matches!(push.client, PushClient::Docker { .. });
    if held.same_digest {
        return match push.repush {
            Behaviour::Faithful if docker => None,
            // A client retries an interrupted push: the part exists, and no index has closed the window.
            _ => Some(TagOutcome::Unchanged(
                push.opened().filter(|_| held.window.is_some_and(|window| window.principal == push.principal)),
            )),
        };
    }
    if !docker || push.repush == Behaviour::Faithful {
        return None;
    }
    if held.is_index && held.lists_pushed {
        return Some(TagOutcome::LeaveInPlace(None));
    }
    if !push.is_inside(held.window) {
        return None;
    }
    match push.is_index {
        true if held.listed_by_pushed => Some(TagOutcome::Move(None)),
        false if push.platform != held.platform => Some(TagOutcome::LeaveInPlace(push.opened())),
        _ => None,
    }
}

impl Push<'_> {
    /// Returns the window that this push opens, if its client needs one.
    fn opened(&self) -> Option<TagWindow> {
        match self.client {
            PushClient::Docker { containerd: true } => {
                Some(TagWindow { principal: self.principal.to_owned(), until: self.now.plus(self.window).0 })
            }
            PushClient::Docker { containerd: false } | PushClient::Api => None,
        }
    }

    fn is_inside(&self, window: Option<&TagWindow>) -> bool {
        self.client == PushClient::Docker { containerd: true }
            && window.is_some_and(|window| window.principal == self.principal && self.now.0 <= window.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time(1_000_000_000);

    fn push(by: PushClient) -> Push<'static> {
        Push {
            client: by,
            principal: "root",
            now: NOW,
            window: Duration::from_secs(5),
            repush: Behaviour::Fixed,
            is_index: false,
            platform: Some("linux/amd64"),
        }
    }

    fn held() -> CurrentTag<'static> {
        CurrentTag {
            same_digest: false,
            is_index: false,
            platform: Some("linux/amd64"),
            window: None,
            lists_pushed: false,
            listed_by_pushed: false,
        }
    }

    const CONTAINERD: PushClient = PushClient::Docker { containerd: true };
    const PODMAN: PushClient = PushClient::Docker { containerd: false };

    fn window(until: i64) -> TagWindow {
        TagWindow { principal: "root".to_owned(), until }
    }

    #[test]
    fn every_client_can_move_a_mutable_tag() {
        for by in [CONTAINERD, PODMAN, PushClient::Api] {
            assert_eq!(judge(&TagMutability::Mutable, "v1", &push(by), &held()), Some(TagOutcome::Move(None)));
        }
    }

    #[test]
    fn only_containerd_opens_a_window_when_it_creates_an_immutable_tag() {
        let opened = |by| opening_window(&TagMutability::Immutable, "v1", &push(by));
        assert_eq!(opened(CONTAINERD), Some(window(NOW.0 + 5_000_000)));
        assert_eq!(opened(PODMAN), None);
        assert_eq!(opened(PushClient::Api), None);
        assert_eq!(opening_window(&TagMutability::Mutable, "v1", &push(CONTAINERD)), None);
        let index = Push { is_index: true, ..push(CONTAINERD) };
        assert_eq!(opening_window(&TagMutability::Immutable, "v1", &index), None);
    }

    #[test]
    fn the_same_digest_is_a_success_unless_the_faithful_quirk_is_on() {
        let same = CurrentTag { same_digest: true, ..held() };
        for by in [CONTAINERD, PODMAN, PushClient::Api] {
            assert_eq!(judge(&TagMutability::Immutable, "v1", &push(by), &same), Some(TagOutcome::Unchanged(None)));
        }
        let faithful = Push { repush: Behaviour::Faithful, ..push(PODMAN) };
        assert_eq!(judge(&TagMutability::Immutable, "v1", &faithful, &same), None);
    }

    #[test]
    fn a_real_move_is_refused() {
        for by in [CONTAINERD, PODMAN, PushClient::Api] {
            assert_eq!(judge(&TagMutability::Immutable, "v1", &push(by), &held()), None);
        }
    }

    #[test]
    fn inside_the_window_an_index_that_lists_the_part_moves_the_tag_and_closes_the_window() {
        let open = window(NOW.0 + 1);
        let part = CurrentTag { window: Some(&open), listed_by_pushed: true, ..held() };
        let index = Push { is_index: true, platform: None, ..push(CONTAINERD) };
        assert_eq!(judge(&TagMutability::Immutable, "v1", &index, &part), Some(TagOutcome::Move(None)));
        let other = CurrentTag { window: Some(&open), ..held() };
        assert_eq!(judge(&TagMutability::Immutable, "v1", &index, &other), None);
        let late = window(NOW.0 - 1);
        let late = CurrentTag { window: Some(&late), listed_by_pushed: true, ..held() };
        assert_eq!(judge(&TagMutability::Immutable, "v1", &index, &late), None);
        let stranger = Push { principal: "stranger", ..index };
        assert_eq!(judge(&TagMutability::Immutable, "v1", &stranger, &part), None);
    }

    #[test]
    fn inside_the_window_another_platform_leaves_the_tag_and_the_same_platform_is_refused() {
        let open = window(NOW.0 + 1);
        let part = CurrentTag { window: Some(&open), ..held() };
        let attestation = Push { platform: Some("unknown/unknown"), ..push(CONTAINERD) };
        let parked = judge(&TagMutability::Immutable, "v1", &attestation, &part);
        assert_eq!(parked, Some(TagOutcome::LeaveInPlace(Some(window(NOW.0 + 5_000_000)))));
        assert_eq!(judge(&TagMutability::Immutable, "v1", &push(CONTAINERD), &part), None);
    }

    #[test]
    fn a_part_of_the_tags_index_leaves_the_tag_in_place() {
        let index = CurrentTag { is_index: true, lists_pushed: true, platform: None, ..held() };
        for by in [CONTAINERD, PODMAN] {
            assert_eq!(judge(&TagMutability::Immutable, "v1", &push(by), &index), Some(TagOutcome::LeaveInPlace(None)));
        }
        assert_eq!(judge(&TagMutability::Immutable, "v1", &push(PushClient::Api), &index), None);
    }
}
