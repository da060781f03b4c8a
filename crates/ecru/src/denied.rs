//! Explains how to resolve a denied file access: who owns the file, and as which user this process runs.

use rustix::process::geteuid;
use std::fmt;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// The user id of root.
const ROOT: u32 = 0;

/// The owner of a file or directory that this process may not access. Display is the cure, as a clause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owned {
    /// The refused path, or its nearest parent whose metadata can be read.
    path: PathBuf,
    owner: u32,
    caller: u32,
    /// An alternative, such as `name another directory with --data DIR`.
    otherwise: &'static str,
}

impl Owned {
    /// Finds the owner of the path, or of its nearest visible parent.
    pub fn find(path: &Path, otherwise: &'static str) -> Owned {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let seen = path.ancestors().find_map(|above| Some((above.to_owned(), std::fs::metadata(above).ok()?.uid())));
        let (path, owner) = seen.unwrap_or_else(|| (PathBuf::from("/"), ROOT));
        Owned { path, owner, caller: geteuid().as_raw(), otherwise }
    }

    /// The same owner, with another alternative.
    pub fn or(self, otherwise: &'static str) -> Owned {
        Owned { otherwise, ..self }
    }
}

impl fmt::Display for Owned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, owner, caller) = (self.path.display(), user(self.owner), user(self.caller));
        if self.owner == self.caller || self.owner == ROOT {
            return write!(f, "{}, or let {caller} use {path}", self.otherwise);
        }
        write!(f, "{path} belongs to {owner}: run this as {owner} (sudo -u {owner} …), or {}", self.otherwise)
    }
}

/// Returns a user's name, or the number in sudo's form if there is none.
fn user(id: u32) -> String {
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    named(&users, id).map_or_else(|| format!("#{id}"), str::to_owned)
}

/// Finds a user's name in the text of `/etc/passwd`.
fn named(users: &str, id: u32) -> Option<&str> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(id)).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cure_says_whose_the_nearest_path_is() {
        let directory = tempfile::tempdir().unwrap();
        let found = Owned::find(&directory.path().join("not/there"), "name another");
        assert_eq!((found.path.as_path(), found.owner), (directory.path(), found.caller));
        let said = |owner, caller| Owned { owner, caller, ..found.clone() }.to_string();
        let path = directory.path().display();
        let (ours, foreign) = (4_000_000_001, 4_000_000_002);
        assert_eq!(said(ours, ours), format!("name another, or let #{ours} use {path}"));
        assert_eq!(said(ROOT, ours), format!("name another, or let #{ours} use {path}"));
        let expected = format!("{path} belongs to #{foreign}: run this as #{foreign} (sudo -u #{foreign} …)");
        assert!(said(foreign, ours).starts_with(&expected), "{}", said(foreign, ours));
    }

    #[test]
    fn a_user_has_the_name_that_the_system_knows() {
        let users = "root:x:0:0:root:/root:/bin/sh\n#comment\necru:x:998:998::/var/lib/ecru:/usr/sbin/nologin\n";
        assert_eq!((named(users, 998), named(users, 0), named(users, 7)), (Some("ecru"), Some("root"), None));
    }
}
