//! `ecru man`: the manual pages, from the command line's own definition.

use clap_mangen::Man as Page;
use std::io;
use std::path::PathBuf;

/// Prints ecru's manual page. `ecru man --dir DIR` writes it and a page for each subcommand.
#[derive(Debug, clap::Args)]
pub struct Man {
    /// An existing directory for all pages, such as /usr/local/share/man/man1.
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}

/// A page could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ManError {
    #[error("the manual pages can't be written to {}", path.display())]
    Directory { path: PathBuf, source: io::Error },
    #[error("the manual page can't be made")]
    Page(#[source] io::Error),
}

impl Man {
    /// The main page in roff; nothing where the pages were written to a directory.
    pub fn run(self, definition: clap::Command) -> Result<Vec<u8>, ManError> {
        let mut page = Vec::new();
        match self.dir {
            Some(path) => {
                let written = clap_mangen::generate_to(definition, &path);
                written.map_err(|source| ManError::Directory { path, source })?;
            }
            None => Page::new(definition).render(&mut page).map_err(ManError::Page)?,
        }
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_subcommand_has_a_page() {
        let dir = tempfile::tempdir().unwrap();
        let definition = clap::Command::new("ecru").about("A registry").subcommand(clap::Command::new("serve"));
        let printed = Man { dir: None }.run(definition.clone()).unwrap();
        assert!(String::from_utf8(printed).unwrap().contains("A registry"));
        assert_eq!(Man { dir: Some(dir.path().to_owned()) }.run(definition.clone()).unwrap(), b"");
        assert!(dir.path().join("ecru-serve.1").exists());
        let refused = Man { dir: Some(dir.path().join("none")) }.run(definition).unwrap_err().to_string();
        assert!(refused.contains("can't be written to"), "{refused}");
    }
}
