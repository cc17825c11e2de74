//! From the client library's errors to ours: what was tried, on what, and which right is missing.

use crate::ports::{PortError, Reason};

/// Turns a client error into ours; `what` says what was tried on what, without a full stop.
pub(crate) fn port_error(what: impl Into<String>, error: kube::Error) -> PortError {
    let reason = match &error {
        kube::Error::Api(status) => match status.code {
            401 => Reason::Credentials,
            403 => Reason::Forbidden,
            404 => Reason::Missing,
            409 => Reason::Conflict,
            429 | 500..=599 => Reason::Unreachable,
            _ => Reason::Other,
        },
        kube::Error::HyperError(_) | kube::Error::Service(_) | kube::Error::ReadEvents(_) => Reason::Unreachable,
        kube::Error::Auth(_) => Reason::Credentials,
        _ => Reason::Other,
    };
    PortError::new(reason, what).caused_by(error)
}
