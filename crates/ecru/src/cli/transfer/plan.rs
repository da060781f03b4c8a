//! Which images are taken, and in which order.

use super::copy::counted;
use super::error::listed;
use super::files::FileImage;
use super::registry::Registry;
use super::{TransferError, progress::Progress};
use aws::Timestamp;
use jiff::Timestamp as Moment;
use oci::{Digest, Reference, Tag};
use serde::Deserialize;
use std::collections::{HashMap, HashSet};

/// Images of one page of DescribeImages.
const DESCRIBE_PAGE: u32 = 1000;
/// Pages of DescribeImages at most: more images than a repository of Amazon ECR may hold.
const MAX_DESCRIBE_PAGES: usize = 1000;

/// One image to copy.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The index of its source.
    pub source: usize,
    pub digest: Digest,
    /// The tag it gets; `None` for the digest alone.
    pub tag: Option<Tag>,
    /// When it was pushed to its source or made, where that is known.
    pub at: Option<Moment>,
}

impl Wanted {
    /// For messages.
    pub fn display(&self) -> String {
        self.tag.as_ref().map_or_else(|| self.digest.to_string(), ToString::to_string)
    }
}

/// Patterns of tags: `*` stands for any characters, `?` for one. Without patterns every tag is taken.
#[derive(Clone, Debug, Default)]
pub struct TagPatterns(Vec<String>);

impl TagPatterns {
    pub fn new(patterns: Vec<String>) -> TagPatterns {
        TagPatterns(patterns)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn take(&self, tag: &str) -> bool {
        self.0.is_empty() || self.0.iter().any(|pattern| is_match(pattern.as_bytes(), tag.as_bytes()))
    }
}

impl std::fmt::Display for TagPatterns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join(" or "))
    }
}

/// Linear but for the last `*`, to which it goes back.
fn is_match(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p + 1, t));
                p += 1;
            }
            Some(c) if *c == b'?' || *c == text[t] => (p, t) = (p + 1, t + 1),
            _ => match &mut star {
                Some((after, from)) => {
                    *from += 1;
                    (p, t) = (*after, *from);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

/// The images that a registry's repository holds under a reference, or under all tags that are taken.
pub async fn of_registry(
    registry: &Registry,
    source: usize,
    reference: Option<&Reference>,
    patterns: &TagPatterns,
) -> Result<Vec<Wanted>, TransferError> {
    let missing = |what: String| TransferError::Missing { from: registry.display(), what };
    match reference {
        Some(Reference::Digest(digest)) => Ok(vec![Wanted { source, digest: *digest, tag: None, at: None }]),
        Some(Reference::Tag(tag)) => match tagged(registry, tag).await? {
            Some(digest) => Ok(vec![Wanted { source, digest, tag: Some(tag.clone()), at: None }]),
            None => {
                // Not every registry lets everybody list tags.
                let there = match registry.tags().await {
                    Err(error @ TransferError::NoRepository(_)) => return Err(error),
                    listed => listed.unwrap_or_default(),
                };
                Err(missing(format!("tag {tag}{}", listed(there.iter().map(String::as_str)))))
            }
        },
        None => {
            let mut wanted = Vec::new();
            let tags = registry.tags().await?;
            for tag in tags.iter().filter(|tag| patterns.take(tag)) {
                // A registry with names that no client could pull is not believed the rest.
                let parsed: Tag = tag.parse().map_err(|_| TransferError::Protocol {
                    host: registry.host().to_owned(),
                    reason: format!("it lists the tag '{}', which no client can pull", super::error::shown(tag)),
                })?;
                // One that was removed since it was listed is no failure.
                if let Some(digest) = tagged(registry, &parsed).await? {
                    wanted.push(Wanted { source, digest, tag: Some(parsed), at: None });
                }
            }
            if wanted.is_empty() {
                return Err(missing(match patterns.is_empty() {
                    true => "tags".to_owned(),
                    false => format!("tag like {patterns}{}", listed(tags.iter().map(String::as_str))),
                }));
            }
            Ok(wanted)
        }
    }
}

/// The digest that a tag holds: by HEAD, which Docker Hub does not count as a pull, else by the manifest itself.
async fn tagged(registry: &Registry, tag: &Tag) -> Result<Option<Digest>, TransferError> {
    match registry.digest_of(tag.as_str()).await? {
        Some(digest) => Ok(Some(digest)),
        None => Ok(registry.manifest(tag.as_str()).await?.map(|stored| stored.digest)),
    }
}

/// The images of a file, without tags that are not taken.
pub fn of_file(images: Vec<FileImage>, source: usize, patterns: &TagPatterns, progress: &Progress) -> Vec<Wanted> {
    let taken = |image: &FileImage| match &image.tag {
        Some(tag) => patterns.take(tag.as_str()),
        None => patterns.is_empty(),
    };
    let mut wanted = Vec::new();
    for image in images.into_iter().filter(taken) {
        if let Some(note) = &image.note {
            progress.line(note);
        }
        wanted.push(Wanted { source, digest: image.digest, tag: image.tag, at: None });
    }
    wanted
}

/// `3 images`, or `3 tags of 2 images` where several tags hold one.
pub fn summary(wanted: &[Wanted]) -> String {
    let images = wanted.iter().map(|image| image.digest).collect::<HashSet<_>>().len();
    match images == wanted.len() {
        true => counted(images, "image"),
        false => format!("{} of {}", counted(wanted.len(), "tag"), counted(images, "image")),
    }
}

/// Refuses two images for one tag.
pub fn without_conflicts(wanted: &[Wanted]) -> Result<(), TransferError> {
    let mut held: HashMap<&Tag, &Digest> = HashMap::new();
    for image in wanted {
        let Some(tag) = &image.tag else { continue };
        let before = held.insert(tag, &image.digest);
        if before.is_some_and(|before| *before != image.digest) {
            let text = format!(
                "two images would get the tag {tag}: import them into different repositories, or choose one, as in docker-archive:FILE:NAME:TAG"
            );
            return Err(TransferError::Usage(text));
        }
    }
    Ok(())
}

/// Oldest first, as lifecycle policies count them; what has no time comes before all. The order of equals stays.
pub fn oldest_first(wanted: &mut [Wanted]) {
    wanted.sort_by_key(|image| image.at);
}

/// When each image was pushed to a repository of Amazon ECR.
pub async fn pushed_times(registry: &Registry) -> Result<HashMap<Digest, Moment>, TransferError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Page {
        image_details: Vec<Detail>,
        next_token: Option<String>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Detail {
        image_digest: String,
        /// Seconds since 1970.
        image_pushed_at: f64,
    }
    let mut times = HashMap::new();
    // Only a login by an account's keys can ask for the times.
    let Some(client) = registry.login().client() else { return Ok(times) };
    let account = super::ecr_host::EcrHost::parse(registry.host()).map(|host| host.account);
    // Read all pages, up to a limit.
    let mut token: Option<String> = None;
    for _ in 0..MAX_DESCRIBE_PAGES {
        let mut input = serde_json::json!({ "repositoryName": registry.repository(), "maxResults": DESCRIBE_PAGE });
        if let Some(account) = &account {
            input["registryId"] = serde_json::json!(account);
        }
        if let Some(token) = token {
            input["nextToken"] = serde_json::json!(token);
        }
        let page: Page = client.call_ecr("DescribeImages", &input).await?;
        for detail in page.image_details {
            if let (Ok(digest), Some(at)) = (detail.image_digest.parse(), moment(detail.image_pushed_at)) {
                times.insert(digest, at);
            }
        }
        token = page.next_token;
        if token.is_none() {
            break;
        }
    }
    Ok(times)
}

fn moment(seconds: f64) -> Option<Moment> {
    let micros = (seconds.is_finite() && seconds.abs() < 1e11).then_some(Timestamp((seconds * 1e6) as i64))?;
    Moment::from_microsecond(micros.0).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn wanted(tag: &str, content: &str, at: Option<&str>) -> Wanted {
        let digest = Digest::of(oci::Algorithm::Sha256, content.as_bytes());
        Wanted { source: 0, digest, tag: tag.parse().ok(), at: at.map(|at| at.parse().unwrap()) }
    }

    #[test]
    fn tags_are_taken_by_patterns() {
        let patterns = |texts: &[&str]| TagPatterns::new(texts.iter().map(|text| (*text).to_owned()).collect());
        for (texts, tag, taken) in [
            (&[][..], "v1", true),
            (&["v*"], "v1.2", true),
            (&["v*"], "latest", false),
            (&["v*", "latest"], "latest", true),
            (&["v?.?"], "v1.2", true),
            (&["v?.?"], "v10.2", false),
            (&["*-rc*"], "v1-rc2", true),
            (&["*a*b"], "aab-b", true),
            (&["*a*b"], "aab-c", false),
        ] {
            assert_eq!(patterns(texts).take(tag), taken, "{texts:?} {tag}");
        }
    }

    proptest! {
        #[test]
        fn the_matcher_agrees_with_the_meaning_of_wildcards(pattern in "[ab*?]{0,8}", text in "[ab]{0,10}") {
            fn slow(pattern: &[u8], text: &[u8]) -> bool {
                match pattern.split_first() {
                    None => text.is_empty(),
                    Some((b'*', rest)) => (0..=text.len()).any(|skip| slow(rest, &text[skip..])),
                    Some((c, rest)) => text.split_first().is_some_and(|(t, more)| (*c == b'?' || c == t) && slow(rest, more)),
                }
            }
            prop_assert_eq!(is_match(pattern.as_bytes(), text.as_bytes()), slow(pattern.as_bytes(), text.as_bytes()));
        }
    }

    #[test]
    fn the_oldest_comes_first_and_what_has_no_time_before_it() {
        let mut all = [
            wanted("new", "a", Some("2026-02-01T00:00:00Z")),
            wanted("b", "b", Some("2025-01-01T00:00:00+01:00")),
            wanted("none", "c", None),
            wanted("a", "d", Some("2024-12-31T23:00:00Z")),
        ];
        oldest_first(&mut all);
        assert_eq!(all.iter().map(Wanted::display).collect::<Vec<_>>(), ["none", "b", "a", "new"]);
    }

    #[test]
    fn one_tag_holds_one_image() {
        assert!(
            without_conflicts(&[wanted("v1", "a", None), wanted("v1", "a", None), wanted("v2", "b", None)]).is_ok()
        );
        let error = without_conflicts(&[wanted("v1", "a", None), wanted("v1", "b", None)]).unwrap_err().to_string();
        assert!(error.contains("docker-archive:FILE:NAME:TAG"), "{error}");
    }

    #[test]
    fn times_of_ecr_are_seconds() {
        assert_eq!(moment(1_795_258_800.5).unwrap().to_string(), "2026-11-21T11:00:00.5Z");
        assert!(moment(f64::NAN).is_none() && moment(1e300).is_none());
    }
}
