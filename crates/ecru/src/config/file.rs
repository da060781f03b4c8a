//! Reads the TOML file of settings.

use super::{SettingsError, SettingsSource};
use kernel::quirks::{Behaviour, Quirks};
use serde::{Deserialize, Deserializer};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;
use std::str::FromStr;
use zeroize::Zeroizing;

/// Maximum bytes of a settings file, far more than all settings need.
const FILE_BYTES: u64 = 1024 * 1024;

/// The value of a quirk's setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spelled {
    Faithful,
    Fixed,
}

impl<'de> Deserialize<'de> for Spelled {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Spelled, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "faithful" => Ok(Spelled::Faithful),
            "fixed" => Ok(Spelled::Fixed),
            other => Err(serde::de::Error::custom(format!("it is \"faithful\" or \"fixed\", not {other:?}"))),
        }
    }
}

/// The table `[quirks]`, whose keys are those of [`Quirks::TABLE`].
pub type QuirkTable = BTreeMap<String, Spelled>;

/// Applies the settings of `[quirks]` to the defaults. An unknown name is the error.
pub fn quirks(table: &QuirkTable) -> Result<Quirks, String> {
    let mut quirks = Quirks::default();
    for (name, spelled) in table {
        let behaviour = match spelled {
            Spelled::Faithful => Behaviour::Faithful,
            Spelled::Fixed => Behaviour::Fixed,
        };
        if !quirks.set(name, behaviour) {
            return Err(name.clone());
        }
    }
    Ok(quirks)
}

/// Reads a settings file.
pub fn read(path: &Path) -> Result<SettingsSource, SettingsError> {
    use std::io::Read as _;
    let unreadable = |source| SettingsError::Unreadable { path: path.to_owned(), source };
    let mut text = Zeroizing::new(String::new());
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(FILE_BYTES).read_to_string(&mut text).map_err(unreadable)?;
    parse(path, &text)
}

/// Parses a settings file. `path` is for errors, which name the line and never show its text.
pub fn parse(path: &Path, text: &str) -> Result<SettingsSource, SettingsError> {
    toml::from_str(text).map_err(|error| {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        let reason = error.message().replace('\n', " ");
        // toml names the key of an unknown field alone; every other reason needs the name of what it is about.
        let named = reason.starts_with("unknown field");
        let key = text.lines().nth(line - 1).and_then(|line| line.split_once('=')).map(|(key, _)| key.trim());
        let bare = |key: &&str| key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        let name = key.filter(|_| !named).filter(bare).map(|key| format!("{key}: ")).unwrap_or_default();
        SettingsError::File { path: path.to_owned(), line, reason: format!("{name}{reason}") }
    })
}

/// Parses a value from a TOML string.
pub fn text<'de, D, T>(deserializer: D) -> Result<Option<T>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: Display>,
{
    let text = Cow::<'de, str>::deserialize(deserializer)?;
    text.parse().map(Some).map_err(serde::de::Error::custom)
}

/// A list, or a single value without brackets.
#[derive(Deserialize)]
#[serde(untagged, expecting = "it is a list of texts, such as [\"a\", \"b\"]")]
enum OneOrMany {
    Many(Vec<String>),
    One(String),
}

/// Parses values from a TOML list of strings.
pub fn texts<'de, D, T>(deserializer: D) -> Result<Option<Vec<T>>, D::Error>
where
    D: Deserializer<'de>,
    T: FromStr<Err: Display>,
{
    let texts = match OneOrMany::deserialize(deserializer)? {
        OneOrMany::Many(texts) => texts,
        OneOrMany::One(text) => {
            return Err(serde::de::Error::custom(format!("it is a list: [{text:?}]")));
        }
    };
    texts.iter().map(|text| text.parse()).collect::<Result<_, _>>().map(Some).map_err(serde::de::Error::custom)
}
