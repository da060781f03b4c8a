//! Account settings (`ECR.md` A.1 GetAccountSetting, PutAccountSetting).
use crate::{Cx, Error};

/// The value of a setting, or its default. An unknown name is [`Error::Validation`].
pub async fn get(_cx: &Cx, _name: &str) -> Result<String, Error> { todo!() }
/// Sets a value; one that the setting doesn't take is [`Error::InvalidParameter`] on `value`.
pub async fn put(_cx: &Cx, _name: &str, _value: &str) -> Result<(), Error> { todo!() }
