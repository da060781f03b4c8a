//! What a push may do to a tag that exists: mutability (`ECR.md` C) and the push window (`ECR.md` R).
use super::PutBy;
use crate::clock::Time;
use crate::quirks::Behaviour;
use crate::repository::TagMutability;
use meta::records::tag::TagWindow;
use std::time::Duration;

/// What the rules look at.
pub(super) struct Push<'a> {
    pub by: PutBy,
    pub principal: &'a str,
    pub now: Time,
    pub window: Duration,
    pub repush: Behaviour,
    /// True for an index.
    pub is_index: bool,
    pub platform: Option<&'a str>,
}

/// What the tag holds.
pub(super) struct Held<'a> {
    pub same_digest: bool,
    pub is_index: bool,
    pub platform: Option<&'a str>,
    pub window: Option<&'a TagWindow>,
    /// The held index lists what is pushed.
    pub lists_pushed: bool,
    /// The pushed index lists what is held.
    pub listed_by_pushed: bool,
}

/// What becomes of a tag that may be pushed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It comes to hold what is pushed; the window, if any, is open from now on.
    Take(Option<TagWindow>),
    /// It holds just that already; a new window, if any, opens.
    Same(Option<TagWindow>),
    /// It keeps what it holds, and the push succeeds; a new window, if any, opens.
    Keep(Option<TagWindow>),
}

/// The window that opens when a tag comes to exist: its first part may wait for its index.
pub(super) fn first(mutability: &TagMutability, tag: &str, push: &Push<'_>) -> Option<TagWindow> {
    push.opened().filter(|_| !mutability.allows_move(tag) && !push.is_index)
}

/// What becomes of a tag that exists; `None` when the push is refused.
pub(super) fn judge(mutability: &TagMutability, tag: &str, push: &Push<'_>, held: &Held<'_>) -> Option<Verdict> {
    if mutability.allows_move(tag) {
        return Some(if held.same_digest { Verdict::Same(None) } else { Verdict::Take(None) });
    }
    let docker = matches!(push.by, PutBy::Docker { .. });
    if held.same_digest {
        return match push.repush {
            Behaviour::Faithful if docker => None,
            // The retry of a push that was cut: the part is there and no index has closed the tag.
            _ => Some(Verdict::Same(
                push.opened().filter(|_| held.window.is_some_and(|window| window.principal == push.principal)),
            )),
        };
    }
    if !docker || push.repush == Behaviour::Faithful {
        return None;
    }
    if held.is_index && held.lists_pushed {
        return Some(Verdict::Keep(None));
    }
    if !push.is_inside(held.window) {
        return None;
    }
    match push.is_index {
        true if held.listed_by_pushed => Some(Verdict::Take(None)),
        false if push.platform != held.platform => Some(Verdict::Keep(push.opened())),
        _ => None,
    }
}

impl Push<'_> {
    /// A window that this push opens, if its client is one that needs it.
    fn opened(&self) -> Option<TagWindow> {
        match self.by {
            PutBy::Docker { containerd: true } => {
                Some(TagWindow { principal: self.principal.to_owned(), until: self.now.plus(self.window).0 })
            }
            PutBy::Docker { containerd: false } | PutBy::Api => None,
        }
    }

    fn is_inside(&self, window: Option<&TagWindow>) -> bool {
        self.by == PutBy::Docker { containerd: true }
            && window.is_some_and(|window| window.principal == self.principal && self.now.0 <= window.until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Time = Time(1_000_000_000);

    fn push(by: PutBy) -> Push<'static> {
        Push {
            by,
            principal: "root",
            now: NOW,
            window: Duration::from_secs(5),
            repush: Behaviour::Fixed,
            is_index: false,
            platform: Some("linux/amd64"),
        }
    }

    fn held() -> Held<'static> {
        Held {
            same_digest: false,
            is_index: false,
            platform: Some("linux/amd64"),
            window: None,
            lists_pushed: false,
            listed_by_pushed: false,
        }
    }

    const CONTAINERD: PutBy = PutBy::Docker { containerd: true };
    const PODMAN: PutBy = PutBy::Docker { containerd: false };

    fn window(until: i64) -> TagWindow {
        TagWindow { principal: "root".to_owned(), until }
    }

    #[test]
    fn a_mutable_tag_moves_for_everyone() {
        for by in [CONTAINERD, PODMAN, PutBy::Api] {
            assert_eq!(judge(&TagMutability::Mutable, "v1", &push(by), &held()), Some(Verdict::Take(None)));
        }
    }

    #[test]
    fn an_immutable_tag_that_does_not_exist_is_taken_and_only_containerd_opens_a_window() {
        let opened = |by| first(&TagMutability::Immutable, "v1", &push(by));
        assert_eq!(opened(CONTAINERD), Some(window(NOW.0 + 5_000_000)));
        assert_eq!(opened(PODMAN), None);
        assert_eq!(opened(PutBy::Api), None);
        assert_eq!(first(&TagMutability::Mutable, "v1", &push(CONTAINERD)), None);
        let index = Push { is_index: true, ..push(CONTAINERD) };
        assert_eq!(first(&TagMutability::Immutable, "v1", &index), None);
    }

    #[test]
    fn the_same_digest_is_a_success_unless_the_faithful_quirk_is_on() {
        let same = Held { same_digest: true, ..held() };
        for by in [CONTAINERD, PODMAN, PutBy::Api] {
            assert_eq!(judge(&TagMutability::Immutable, "v1", &push(by), &same), Some(Verdict::Same(None)));
        }
        let faithful = Push { repush: Behaviour::Faithful, ..push(PODMAN) };
        assert_eq!(judge(&TagMutability::Immutable, "v1", &faithful, &same), None);
    }

    #[test]
    fn a_real_move_is_refused() {
        for by in [CONTAINERD, PODMAN, PutBy::Api] {
            assert_eq!(judge(&TagMutability::Immutable, "v1", &push(by), &held()), None);
        }
    }

    #[test]
    fn inside_the_window_an_index_that_lists_the_part_takes_the_tag_and_closes_it() {
        let open = window(NOW.0 + 1);
        let part = Held { window: Some(&open), listed_by_pushed: true, ..held() };
        let index = Push { is_index: true, platform: None, ..push(CONTAINERD) };
        assert_eq!(judge(&TagMutability::Immutable, "v1", &index, &part), Some(Verdict::Take(None)));
        let other = Held { window: Some(&open), ..held() };
        assert_eq!(judge(&TagMutability::Immutable, "v1", &index, &other), None);
        let late = window(NOW.0 - 1);
        let late = Held { window: Some(&late), listed_by_pushed: true, ..held() };
        assert_eq!(judge(&TagMutability::Immutable, "v1", &index, &late), None);
        let stranger = Push { principal: "stranger", ..index };
        assert_eq!(judge(&TagMutability::Immutable, "v1", &stranger, &part), None);
    }

    #[test]
    fn inside_the_window_another_platform_is_parked_and_the_same_is_a_move() {
        let open = window(NOW.0 + 1);
        let part = Held { window: Some(&open), ..held() };
        let attestation = Push { platform: Some("unknown/unknown"), ..push(CONTAINERD) };
        let parked = judge(&TagMutability::Immutable, "v1", &attestation, &part);
        assert_eq!(parked, Some(Verdict::Keep(Some(window(NOW.0 + 5_000_000)))));
        assert_eq!(judge(&TagMutability::Immutable, "v1", &push(CONTAINERD), &part), None);
    }

    #[test]
    fn a_part_of_the_index_that_the_tag_holds_changes_nothing() {
        let index = Held { is_index: true, lists_pushed: true, platform: None, ..held() };
        for by in [CONTAINERD, PODMAN] {
            assert_eq!(judge(&TagMutability::Immutable, "v1", &push(by), &index), Some(Verdict::Keep(None)));
        }
        assert_eq!(judge(&TagMutability::Immutable, "v1", &push(PutBy::Api), &index), None);
    }
}
