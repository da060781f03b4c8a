//! The files of a tar archive, found by one pass and then read in place.

use super::TransferError;
use super::content::{self, Content};
use flate2::read::MultiGzDecoder;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tar::EntryType;

/// Entries at most of one archive.
const MAX_ENTRIES: usize = 1_000_000;
/// Bytes at most that a gzipped archive may unpack to, beside what the disk of temporary files holds.
const MAX_UNPACKED_BYTES: u64 = 1 << 40;
/// Links at most that lead from a name to its file.
const MAX_LINKS: usize = 16;
/// The longest name of a file, in bytes.
const MAX_NAME_BYTES: usize = 4096;

const GZIP: [u8; 2] = [0x1f, 0x8b];

/// Which files an archive holds, and where. Nothing is ever unpacked by a name that stands in the archive.
#[derive(Debug)]
pub struct TarIndex {
    file: Arc<File>,
    path: PathBuf,
    entries: HashMap<String, TarEntry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum TarEntry {
    File(TarPlace),
    /// Another name in the archive.
    Link(String),
}

/// Where a file's bytes are in the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TarPlace {
    pub offset: u64,
    pub size: u64,
}

impl TarIndex {
    /// Opens an archive, gzipped or not. A gzipped one is unpacked into a temporary file without a name (TMPDIR), since its parts
    /// are read in another order than they lie in. Blocks.
    ///
    /// Refuses names that lead out of the archive, sparse files, and more than [`MAX_ENTRIES`] entries.
    pub fn open(path: &Path) -> Result<TarIndex, TransferError> {
        let file = File::open(path).map_err(TransferError::io(path))?;
        if !file.metadata().map_err(TransferError::io(path))?.is_file() {
            return Err(TransferError::archive(path, "it is not a regular file"));
        }
        let mut magic = [0; 2];
        let gzipped = matches!(file.read_at(&mut magic, 0), Ok(2)) && magic == GZIP;
        let file = if gzipped { unpacked(file, path)? } else { file };
        let entries = index(&file, path)?;
        Ok(TarIndex { file: Arc::new(file), path: path.to_owned(), entries })
    }

    /// The archive's own path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The bytes that a name leads to, along links; `None` where there is no such file.
    pub fn find(&self, name: &str) -> Result<Option<TarPlace>, TransferError> {
        let mut name = normal("", name).ok_or_else(|| self.outside(name))?;
        for _ in 0..MAX_LINKS {
            match self.entries.get(&name) {
                None => return Ok(None),
                Some(TarEntry::File(place)) => return Ok(Some(*place)),
                Some(TarEntry::Link(target)) => name.clone_from(target),
            }
        }
        Err(TransferError::archive(&self.path, format!("the links of '{name}' do not end")))
    }

    /// The names of all files and links.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// A small file's bytes. Blocks. Fails beyond `limit` bytes.
    pub fn read(&self, place: TarPlace, limit: usize) -> Result<Vec<u8>, TransferError> {
        let size = usize::try_from(place.size).ok().filter(|size| *size <= limit);
        let size = size.ok_or_else(|| TransferError::archive(&self.path, "a file in it is larger than it may be"))?;
        let mut bytes = vec![0; size];
        self.file.read_exact_at(&mut bytes, place.offset).map_err(TransferError::io(&self.path))?;
        Ok(bytes)
    }

    /// The first bytes of a file, up to the buffer's length. Blocks.
    pub fn head<'a>(&self, place: TarPlace, buffer: &'a mut [u8]) -> Result<&'a [u8], TransferError> {
        let length = buffer.len().min(usize::try_from(place.size).unwrap_or(usize::MAX));
        let head = &mut buffer[..length];
        self.file.read_exact_at(head, place.offset).map_err(TransferError::io(&self.path))?;
        Ok(head)
    }

    /// A file's bytes from `offset` on.
    pub fn content(&self, place: TarPlace, offset: u64) -> Content {
        let offset = offset.min(place.size);
        content::of_file(self.file.clone(), place.offset + offset, place.size - offset, &self.path)
    }

    fn outside(&self, name: &str) -> TransferError {
        TransferError::archive(&self.path, format!("the name '{}' leads out of it", super::error::shown(name)))
    }
}

fn unpacked(file: File, path: &Path) -> Result<File, TransferError> {
    let mut temporary = tempfile::tempfile().map_err(TransferError::io(&std::env::temp_dir()))?;
    let mut plain = MultiGzDecoder::new(file).take(MAX_UNPACKED_BYTES);
    io::copy(&mut plain, &mut temporary).map_err(TransferError::io(path))?;
    if plain.limit() == 0 {
        return Err(TransferError::archive(path, "it unpacks to more than 1 TiB"));
    }
    Ok(temporary)
}

fn index(file: &File, path: &Path) -> Result<HashMap<String, TarEntry>, TransferError> {
    let broken = |error: io::Error| TransferError::archive(path, format!("it is not a whole tar archive: {error}"));
    let end = file.metadata().map_err(TransferError::io(path))?.len();
    let mut reader = file;
    reader.seek(SeekFrom::Start(0)).map_err(TransferError::io(path))?;
    let mut archive = tar::Archive::new(reader);
    let mut entries = HashMap::new();
    for entry in archive.entries_with_seek().map_err(broken)? {
        let entry = entry.map_err(broken)?;
        if entries.len() >= MAX_ENTRIES {
            return Err(TransferError::archive(path, format!("it has more than {MAX_ENTRIES} entries")));
        }
        let bytes = entry.path_bytes();
        let name = std::str::from_utf8(&bytes).ok().filter(|name| name.len() <= MAX_NAME_BYTES);
        let name = name.ok_or_else(|| TransferError::archive(path, "a name in it can't be read"))?;
        let outside = |name: &str| {
            TransferError::archive(path, format!("the name '{}' leads out of it", super::error::shown(name)))
        };
        let name = normal("", name).ok_or_else(|| outside(name))?;
        let target = || {
            let bytes = entry.link_name_bytes().unwrap_or_default();
            String::from_utf8(bytes.into_owned())
                .map_err(|_| TransferError::archive(path, "a link in it can't be read"))
        };
        let kind = entry.header().entry_type();
        let found = match kind {
            EntryType::Regular | EntryType::Continuous => {
                let place = TarPlace { offset: entry.raw_file_position(), size: entry.size() };
                // The pass jumps over bytes, so that a file that was cut is noticed here.
                if place.offset.checked_add(place.size).is_none_or(|last| last > end) {
                    return Err(broken(io::ErrorKind::UnexpectedEof.into()));
                }
                TarEntry::File(place)
            }
            EntryType::Link => {
                let target = target()?;
                TarEntry::Link(normal("", &target).ok_or_else(|| outside(&target))?)
            }
            EntryType::Symlink => {
                let target = target()?;
                let directory = name.rsplit_once('/').map_or("", |(directory, _)| directory);
                TarEntry::Link(normal(directory, &target).ok_or_else(|| outside(&target))?)
            }
            EntryType::Directory | EntryType::XGlobalHeader => continue,
            _ => {
                return Err(TransferError::archive(path, format!("'{name}' is not a regular file, directory or link")));
            }
        };
        // Of several with one name the last counts, as when it is unpacked.
        entries.insert(name, found);
    }
    Ok(entries)
}

/// A name below a directory without `.`, `..` and doubled slashes; `None` where it leads out of the archive.
fn normal(directory: &str, name: &str) -> Option<String> {
    if name.starts_with('/') || name.contains('\0') {
        return None;
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in directory.split('/').chain(name.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;
    use std::io::Write as _;

    /// Entries as (name, content) or, with `->` in the content, as a symbolic link.
    fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (name, content) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_mode(0o644);
            let raw = header.as_old_mut();
            raw.name[..name.len()].copy_from_slice(name.as_bytes());
            match content.strip_prefix(b"->") {
                Some(target) => {
                    header.set_entry_type(EntryType::Symlink);
                    header.as_old_mut().linkname[..target.len()].copy_from_slice(target);
                    header.set_size(0);
                    header.set_cksum();
                    builder.append(&header, io::empty()).unwrap();
                }
                None => {
                    header.set_size(content.len() as u64);
                    header.set_cksum();
                    builder.append(&header, *content).unwrap();
                }
            }
        }
        builder.into_inner().unwrap()
    }

    fn open(bytes: &[u8]) -> Result<TarIndex, TransferError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        TarIndex::open(file.path())
    }

    fn read(index: &TarIndex, name: &str) -> Option<Vec<u8>> {
        index.find(name).unwrap().map(|place| index.read(place, 1000).unwrap())
    }

    #[test]
    fn files_are_found_by_name_along_links_in_any_order() {
        let bytes = archive(&[
            ("./b/layer.tar", b"->../a/layer.tar"),
            ("c", b"->b/layer.tar"),
            ("a/layer.tar", b"old"),
            ("a//layer.tar", b"bytes"),
            ("loop", b"->loop"),
        ]);
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(&bytes).unwrap();
        for bytes in [bytes, gzip.finish().unwrap()] {
            let index = open(&bytes).unwrap();
            for name in ["a/layer.tar", "b/layer.tar", "./c"] {
                assert_eq!(read(&index, name).unwrap(), b"bytes", "{name}");
            }
            assert_eq!(read(&index, "d"), None);
            assert!(index.find("loop").is_err());
            assert!(index.find("../c").is_err());
        }
    }

    #[test]
    fn names_that_lead_out_are_refused() {
        for entry in [
            ("../evil", &b"x"[..]),
            ("/etc/passwd", b"x"),
            ("a/../../evil", b"x"),
            ("a/link", b"->../../etc/passwd"),
            ("link", b"->/etc/passwd"),
        ] {
            let error = open(&archive(&[entry])).unwrap_err().to_string();
            assert!(error.contains("leads out of it"), "{entry:?}: {error}");
        }
    }

    #[test]
    fn an_archive_that_was_cut_is_refused() {
        let whole = archive(&[("a", &[7; 2000])]);
        assert!(open(&whole[..1000]).is_err());
        assert!(open(b"no archive at all, but long enough to be read as one".repeat(20).as_slice()).is_err());
    }

    proptest! {
        #[test]
        fn what_was_put_in_is_read_back(files in prop::collection::btree_map("[a-z]{1,8}(/[a-z]{1,8}){0,3}", prop::collection::vec(any::<u8>(), 0..700), 0..8)) {
            let entries: Vec<(&str, &[u8])> = files.iter().map(|(name, content)| (name.as_str(), content.as_slice())).collect();
            // A content that happens to be a link's is one.
            prop_assume!(!entries.iter().any(|(_, content)| content.starts_with(b"->")));
            let index = open(&archive(&entries)).unwrap();
            prop_assert_eq!(index.names().count(), files.len());
            for (name, content) in &files {
                prop_assert_eq!(read(&index, name), Some(content.clone()));
            }
        }

        #[test]
        fn no_bytes_stop_the_reader_or_lead_it_outside(mut bytes in Just(archive(&[("a/b", b"content"), ("l", b"->a/b")])), changes in prop::collection::vec((0_usize..2048, any::<u8>()), 0..12)) {
            for (at, byte) in changes {
                let at = at % bytes.len();
                bytes[at] = byte;
            }
            let end = bytes.len() as u64;
            if let Ok(index) = open(&bytes) {
                for name in index.names() {
                    prop_assert!(!name.starts_with('/') && name.split('/').all(|part| part != ".."));
                    if let Ok(Some(place)) = index.find(name) {
                        prop_assert!(place.offset + place.size <= end);
                    }
                }
            }
        }
    }
}
