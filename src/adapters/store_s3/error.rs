//! What a server's refusals and silences mean to the one who has to mend them.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use super::Bucket;
use crate::ports::{PortError, Reason};

/// The longest text of a server that is repeated.
const LONGEST: usize = 300;

/// What came back, as far as it decides what is said about it.
struct Refusal<'a> {
    status: u16,
    code: &'a str,
}

impl Bucket {
    /// An error about `what` was tried, such as "list the bucket".
    pub(super) fn failed<E>(&self, what: impl AsRef<str>, error: &SdkError<E, HttpResponse>) -> PortError
    where
        E: ProvideErrorMetadata + Error + 'static,
    {
        let what = what.as_ref();
        match error {
            SdkError::ServiceError(refused) => {
                let (status, meta) = (refused.raw().status().as_u16(), refused.err().meta());
                let said = match (meta.code(), meta.message()) {
                    (Some(code), Some(message)) => format!("{code}: {message}"),
                    (Some(code), None) => format!("{code} (HTTP status {status})"),
                    (None, _) => format!("HTTP status {status}"),
                };
                let refusal = Refusal { status, code: meta.code().unwrap_or_default() };
                self.refused(what, &refusal).caused_by(shortened(&said))
            }
            SdkError::TimeoutError(_) => {
                PortError::new(Reason::TimedOut, format!("cannot {what}: {} does not answer in time", self.server))
                    .caused_by(shortened(&chain(error)))
            }
            _ => self.unanswered(what, error),
        }
    }

    /// A call that got no answer that could be read, or was never made.
    fn unanswered(&self, what: &str, error: &(dyn Error + 'static)) -> PortError {
        let cause = shortened(&chain(error));
        if has::<CredentialsError>(error) {
            return PortError::new(Reason::Credentials, format!("cannot {what}: there is no access key to use"))
                .caused_by(cause)
                .with_hint(
                    "put AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY into the Secret that \
                     MARIADB_BACKUP_S3_SECRET names, or give the pod an identity",
                );
        }
        if cause.contains("certificate") {
            let why = format!("the certificate of {} is not trusted", self.server);
            return PortError::new(Reason::Unreachable, format!("cannot {what}: {why}")).caused_by(cause).with_hint(
                "put its authority's certificate into the ConfigMap that MARIADB_BACKUP_S3_CA_CONFIGMAP names",
            );
        }
        PortError::new(Reason::Unreachable, format!("cannot {what}: {} does not answer", self.server))
            .caused_by(cause)
            .with_hint("does the endpoint fit, and may pods reach it? to change it: kubectl mariadb-backup setup --s3-endpoint URL")
    }

    fn refused(&self, what: &str, refusal: &Refusal<'_>) -> PortError {
        let Self { name, server, .. } = self;
        let made = |reason, why: String| PortError::new(reason, format!("cannot {what}: {why}"));
        match (refusal.code, refusal.status) {
            ("NoSuchBucket", _) => made(Reason::Missing, format!("there is no bucket {name} on {server}"))
                .with_hint("create the bucket, or name another: kubectl mariadb-backup setup --s3-bucket NAME"),
            ("InvalidAccessKeyId", _) => {
                made(Reason::Credentials, format!("{server} does not know the access key")).with_hint(MOUNTED)
            }
            ("SignatureDoesNotMatch", _) => {
                made(Reason::Credentials, "the secret key does not fit the access key".to_owned()).with_hint(MOUNTED)
            }
            ("ExpiredToken" | "TokenRefreshRequired" | "ExpiredTokenException", _) => {
                made(Reason::Credentials, "the session token has expired".to_owned())
                    .with_hint("put a new AWS_SESSION_TOKEN with its keys into the Secret of MARIADB_BACKUP_S3_SECRET")
            }
            ("InvalidToken", _) => {
                made(Reason::Credentials, "the session token is not accepted".to_owned()).with_hint(MOUNTED)
            }
            ("RequestTimeTooSkewed", _) => made(Reason::Forbidden, format!("this node's clock and {server}'s differ"))
                .with_hint("set the clock of the node"),
            ("PermanentRedirect" | "AuthorizationHeaderMalformed" | "IllegalLocationConstraintException", _) => {
                made(Reason::Other, format!("bucket {name} is in another region"))
                    .with_hint("name the region: kubectl mariadb-backup setup --s3-region REGION")
            }
            (code, status) if is_full(code, status) => made(Reason::NoSpace, format!("{server} has no room left"))
                .with_hint("ask for a larger quota, or keep fewer; to see what would go: kubectl mariadb-backup prune --keep NUMBER --dry-run"),
            ("PreconditionFailed" | "ConditionalRequestConflict" | "OperationAborted", _) | (_, 412) => {
                made(Reason::Conflict, "somebody else changed it".to_owned())
            }
            ("AccessDenied" | "AllAccessDisabled", _) | (_, 403) => {
                made(Reason::Forbidden, format!("{server} does not allow it to this access key")).with_hint(format!(
                    "let it read, write, list and delete in bucket {name}, and handle multipart uploads"
                ))
            }
            ("RequestTimeout", _) => made(Reason::TimedOut, format!("the request reached {server} too slowly")),
            ("NoSuchKey" | "NoSuchUpload" | "NotFound", _) | (_, 404) => {
                made(Reason::Missing, "it is not there".to_owned())
            }
            (_, 500..) => made(Reason::Unreachable, format!("{server} cannot serve at the moment")),
            _ => made(Reason::Other, format!("{server} refuses it")),
        }
    }
}

/// The hint where a mounted key is not accepted.
const MOUNTED: &str = "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the Secret of MARIADB_BACKUP_S3_SECRET";

/// Whether a refusal says that there is no room, in one of the ways servers have for that.
fn is_full(code: &str, status: u16) -> bool {
    status == 507 || code.contains("Quota") || code.contains("StorageFull") || code == "InsufficientStorage"
}

/// Whether a call was refused because the server does not know something it asked for.
pub(super) fn is_unknown_there<E: ProvideErrorMetadata>(error: &SdkError<E, HttpResponse>) -> bool {
    let status = error.raw_response().map(|response| response.status().as_u16());
    status == Some(501) || error.code() == Some("NotImplemented")
}

/// All that an error and its causes say, once each.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut texts: Vec<String> = Vec::new();
    let mut next = Some(error);
    while let Some(error) = next {
        let text = error.to_string();
        if !texts.contains(&text) {
            texts.push(text);
        }
        next = error.source();
    }
    texts.join(": ")
}

/// Whether an error or one of its causes is of a type.
fn has<T: Error + 'static>(error: &(dyn Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<T>() {
            return true;
        }
        next = error.source();
    }
    false
}

fn shortened(text: &str) -> String {
    let mut short: String = text.chars().filter(|c| !c.is_control()).take(LONGEST).collect();
    if short.len() < text.len() && text.chars().count() > LONGEST {
        short.push('…');
    }
    short
}
