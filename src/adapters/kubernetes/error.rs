//! From the client library's errors to ours: what was tried, on what, and which right is missing.
//!
//! The library's own sentences repeat their cause and print whole structures; here each layer says
//! its part once, in the server's words where the server has spoken.

use std::error::Error;

use crate::ports::{PortError, Reason};

/// Turns a client error into ours; `what` says what was tried on what, without a full stop.
#[expect(clippy::needless_pass_by_value, reason = "an error handed over is over")]
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
    PortError::new(reason, what).caused_by(cause(&error))
}

/// Says why, once: the server's message, or the root below the library's wrapping.
fn cause(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        return match (status.message.trim(), status.reason.as_str()) {
            ("", reason) => format!("the API server answered {} {reason}", status.code),
            (message, _) => message.to_owned(),
        };
    }
    let mut layers = vec![];
    let mut next: Option<&dyn Error> = error.source();
    while let Some(layer) = next {
        layers.push(layer.to_string());
        next = layer.source();
    }
    // An outer layer that ends with its cause's sentence, or only says that there is one, adds nothing.
    let root = layers.pop().unwrap_or_else(|| error.to_string());
    match layers.last() {
        Some(above) if !above.contains(&root) && !above.starts_with("client error") => format!("{above}: {root}"),
        _ => root,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_s_own_sentence_is_the_cause() {
        let message = "pods is forbidden: User \"u\" cannot list resource \"pods\"";
        let status = kube::core::Status { code: 403, ..kube::core::Status::failure(message, "Forbidden") };
        let error = port_error("cannot list pods in db", kube::Error::Api(status.boxed()));
        assert_eq!(error.reason, Reason::Forbidden);
        assert_eq!(error.source().unwrap().to_string(), message);
    }
}
