//! Maps the registry's failures to ECR's exceptions (`ECR.md` A.15), and writes refused pushes to their repository's push log.

use call::{Api, Exception, RefusedCall};
use kernel::Cx;
use registry::Error;
use registry::push_log::{self, PushAttempt, PushRefusal};

/// The API that ECR's operations belong to. It defines their errors and logs refused pushes.
pub struct Ecr;

impl Api for Ecr {
    type Error = Error;
    type Attempt = PushAttempt;

    fn exception(error: &Error) -> Exception {
        let exception = Exception::bad(error.name());
        match error {
            Error::Kms { kms_error, .. } => exception.with("kmsError", *kms_error),
            Error::InvalidLayerPart { account, name, id, last_valid_byte, .. } => {
                let exception = exception
                    .with("registryId", account.as_str())
                    .with("repositoryName", name.as_str())
                    .with("uploadId", id.as_str());
                match last_valid_byte {
                    Some(last) => exception.with("lastValidByteReceived", *last),
                    None => exception,
                }
            }
            _ => exception,
        }
    }

    /// Returns AWS's text. For an invalid manifest, which AWS reports without a reason, adds what is wrong.
    fn message(error: &Error) -> String {
        match error {
            Error::InvalidManifest(reason) => format!("{error}: {}", reason.clause()),
            other => other.to_string(),
        }
    }

    fn refused(cx: &Cx, attempt: PushAttempt, refused: RefusedCall) {
        let RefusedCall { status, code, message, denied } = refused;
        push_log::refused(cx, attempt, PushRefusal { status, code, message, denied });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use registry::LayersNotFoundBy;
    use serde_json::json;

    #[test]
    fn an_exception_bears_the_members_that_its_shape_has() {
        let part = |last_valid_byte| Error::InvalidLayerPart {
            reason: "not consecutive".to_owned(),
            account: "000000000000".to_owned(),
            name: "app".to_owned(),
            id: "an id".to_owned(),
            last_valid_byte,
        };
        let session =
            [("registryId", json!("000000000000")), ("repositoryName", json!("app")), ("uploadId", json!("an id"))];
        assert_eq!(Ecr::exception(&part(None)).extra, session);
        let with_last = [session.as_slice(), &[("lastValidByteReceived", json!(99))]].concat();
        assert_eq!(Ecr::exception(&part(Some(99))).extra, with_last);
        let kms = Error::Kms { kms_error: "NotFoundException", message: "no key".to_owned() };
        assert_eq!(Ecr::exception(&kms).extra, [("kmsError", json!("NotFoundException"))]);
        let none = Error::LayersNotFound {
            by: LayersNotFoundBy::Read,
            digests: String::new(),
            name: String::new(),
            account: String::new(),
        };
        assert_eq!(Ecr::exception(&none), Exception::bad("LayersNotFoundException"));
    }
}
