//! Directories, whose names become durable only with a sync.

use super::Seed;
use super::content::Content;
use crate::lock;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Component, Path};
use std::sync::{Arc, Mutex};

#[derive(Clone)]
pub(super) enum Node {
    File(Arc<Mutex<Content>>),
    Directory(Arc<Mutex<Directory>>),
}

#[derive(Default)]
pub(super) struct Directory {
    /// The names that the running system sees.
    now: BTreeMap<OsString, Node>,
    /// The names that the last sync made durable.
    synced: BTreeMap<OsString, Node>,
}

impl Directory {
    /// Returns the node at a path below this directory.
    pub(super) fn find(&mut self, path: &Path) -> io::Result<Node> {
        let (parent, name) = split(path)?;
        self.with(parent, |directory| directory.now.get(name).cloned())?.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Gives a node a name. Fails if the name is taken.
    pub(super) fn insert(&mut self, path: &Path, node: Node) -> io::Result<()> {
        let (parent, name) = split(path)?;
        self.with(parent, |directory| {
            if directory.now.contains_key(name) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            directory.now.insert(name.to_owned(), node);
            Ok(())
        })?
    }

    /// Removes a file's name.
    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        let (parent, name) = split(path)?;
        self.with(parent, |directory| match directory.now.get(name) {
            None => Err(io::ErrorKind::NotFound.into()),
            Some(Node::Directory(_)) => Err(io::ErrorKind::IsADirectory.into()),
            Some(Node::File(_)) => {
                directory.now.remove(name);
                Ok(())
            }
        })?
    }

    pub(super) fn sync(&mut self) {
        self.synced = self.now.clone();
    }

    pub(super) fn names(&self) -> Vec<OsString> {
        self.now.keys().cloned().collect()
    }

    /// Runs `work` on the directory at a path, which is this directory or one below it.
    pub(super) fn with<T>(&mut self, path: &Path, work: impl FnOnce(&mut Directory) -> T) -> io::Result<T> {
        let mut names = path.components().filter_map(|component| match component {
            Component::Normal(name) => Some(name),
            _ => None,
        });
        let Some(first) = names.next() else { return Ok(work(self)) };
        let mut at = self.directory(first)?;
        for name in names {
            let next = lock(&at).directory(name)?;
            at = next;
        }
        Ok(work(&mut lock(&at)))
    }

    fn directory(&self, name: &OsStr) -> io::Result<Arc<Mutex<Directory>>> {
        match self.now.get(name) {
            Some(Node::Directory(directory)) => Ok(directory.clone()),
            Some(Node::File(_)) => Err(io::ErrorKind::NotADirectory.into()),
            None => Err(io::ErrorKind::NotFound.into()),
        }
    }

    /// Returns the directory after a crash. For each name with an unsynced change, the seed chooses whether the change survives.
    pub(super) fn after_crash(&self, seed: &mut Seed) -> Directory {
        let names: BTreeSet<&OsString> = self.now.keys().chain(self.synced.keys()).collect();
        let mut left = BTreeMap::new();
        for name in names {
            let (now, synced) = (self.now.get(name), self.synced.get(name));
            let survivor = match (now, synced) {
                (Some(now), Some(synced)) if same(now, synced) => Some(now),
                _ if seed.below(2) == 0 => now,
                _ => synced,
            };
            if let Some(node) = survivor {
                left.insert(name.clone(), node_after_crash(node, seed));
            }
        }
        Directory { now: left.clone(), synced: left }
    }
}

fn node_after_crash(node: &Node, seed: &mut Seed) -> Node {
    match node {
        Node::File(content) => Node::File(Arc::new(Mutex::new(lock(content).after_crash(seed)))),
        Node::Directory(directory) => Node::Directory(Arc::new(Mutex::new(lock(directory).after_crash(seed)))),
    }
}

fn same(one: &Node, other: &Node) -> bool {
    match (one, other) {
        (Node::File(one), Node::File(other)) => Arc::ptr_eq(one, other),
        (Node::Directory(one), Node::Directory(other)) => Arc::ptr_eq(one, other),
        _ => false,
    }
}

fn split(path: &Path) -> io::Result<(&Path, &OsStr)> {
    path.parent().zip(path.file_name()).ok_or_else(|| io::ErrorKind::InvalidInput.into())
}
