//! From the client library's errors to ours: what was tried, on what, and which right is missing.
//!
//! The library's own sentences repeat their cause and print whole structures; here each layer says
//! its part once, in the server's words where the server has spoken.

use std::error::Error;

use kube::client::AuthError;

use crate::model::names::CONDUCTOR_ACCOUNT;
use crate::model::right::MissingRight;
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
    let failed = PortError::new(reason, what);
    let Some(missing) = missing_right(&error) else {
        let failed = failed.caused_by(cause(&error));
        return if reason == Reason::Credentials { failed.with_hint(SIGN_IN) } else { failed };
    };
    let hint = missing.service_account().filter(|(_, name)| *name == CONDUCTOR_ACCOUNT).map(|(namespace, _)| {
        format!("to give the conductor all its rights again: kubectl mariadb-backup setup -n {namespace}")
    });
    hint.into_iter().fold(failed.caused_by(missing), PortError::with_hint)
}

/// What is done about a login that has expired, or never was.
const SIGN_IN: &str = "sign in to the cluster again, then see as whom: kubectl auth whoami";

/// Reads the missing right out of the sentence in which the server refuses a call.
fn missing_right(error: &kube::Error) -> Option<MissingRight> {
    let kube::Error::Api(status) = error else { return None };
    let (_, rest) = status.message.split_once("User \"")?;
    let (user, rest) = rest.split_once("\" cannot ")?;
    let (verb, rest) = rest.split_once(" resource \"")?;
    let (resource, rest) = rest.split_once("\" in API group \"")?;
    let (group, rest) = rest.split_once('"')?;
    let namespace = rest.strip_prefix(" in the namespace \"").and_then(|rest| rest.split_once('"'));
    Some(MissingRight {
        user: user.to_owned(),
        verb: verb.to_owned(),
        group: group.to_owned(),
        resource: resource.to_owned(),
        namespace: namespace.map(|(namespace, _)| namespace.to_owned()),
    })
}

/// What a kubeconfig's sign-in program said at its end: never its command line, which may hold a secret.
fn sign_in(out: &std::process::Output) -> String {
    let said = String::from_utf8_lossy(&out.stderr);
    let last = said.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("it said nothing");
    format!("the sign-in program of the kubeconfig's user ended with {}: {last}", out.status)
}

/// Says why, once: the server's message, or the root below the library's wrapping.
fn cause(error: &kube::Error) -> String {
    if let kube::Error::Auth(AuthError::AuthExecRun { out, .. }) = error {
        return sign_in(out);
    }
    if let kube::Error::Api(status) = error {
        return match (status.message.trim(), status.reason.as_str()) {
            ("", reason) => format!("the API server answered {} {reason}", status.code),
            (message, _) => message.to_owned(),
        };
    }
    let mut layers = layers(error.source());
    // An outer layer that ends with its cause's sentence, or only says that there is one, adds nothing.
    let root = layers.pop().unwrap_or_else(|| error.to_string());
    match layers.last() {
        Some(above) if !above.contains(&root) && !above.starts_with("client error") => format!("{above}: {root}"),
        // The library's own limit for a connection says no more than that it is over.
        _ if root == "deadline has elapsed" => "no connection in time".to_owned(),
        _ => root,
    }
}

/// The sentence below all wrapping of an error whose layers repeat what is below them.
pub(super) fn last_cause(error: &dyn Error) -> String {
    layers(Some(error)).pop().unwrap_or_default()
}

fn layers(mut next: Option<&dyn Error>) -> Vec<String> {
    let mut layers = vec![];
    while let Some(layer) = next {
        layers.push(layer.to_string());
        next = layer.source();
    }
    layers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::outcome::Explain;

    #[test]
    fn a_sign_in_program_that_fails_is_told_by_its_last_line_and_without_its_command() {
        let out = std::process::Output {
            status: std::os::unix::process::ExitStatusExt::from_raw(256),
            stdout: Vec::new(),
            stderr: b"one\ntoken has expired\n\n".to_vec(),
        };
        let failed = AuthError::AuthExecRun { cmd: "TOKEN=secret login".to_owned(), out: Box::new(out) };
        let error = port_error("cannot connect", kube::Error::Auth(failed));
        let cause = error.source().unwrap().to_string();
        assert_eq!(cause, "the sign-in program of the kubeconfig's user ended with exit status: 1: token has expired");
        assert_eq!(error.hint().as_deref(), Some(SIGN_IN));
    }

    fn forbidden(message: &str) -> PortError {
        let status = kube::core::Status { code: 403, ..kube::core::Status::failure(message, "Forbidden") };
        port_error("cannot list pods in db", kube::Error::Api(status.boxed()))
    }

    #[test]
    fn a_refusal_is_told_as_the_right_that_is_missing() {
        let cases = [
            (
                "pods is forbidden: User \"u\" cannot list resource \"pods\" in API group \"\" in the namespace \"db\"",
                "forbidden: user \"u\" may not list pods in namespace db",
            ),
            (
                "pods \"x\" is forbidden: User \"u\" cannot get resource \"pods/log\" in API group \"\" in the namespace \"db\"",
                "forbidden: user \"u\" may not get pods/log in namespace db",
            ),
            (
                "nodes \"n\" is forbidden: User \"u\" cannot get resource \"nodes\" in API group \"\" at the cluster scope",
                "forbidden: user \"u\" may not get nodes in the whole cluster",
            ),
        ];
        for (message, told) in cases {
            let error = forbidden(message);
            assert_eq!((error.reason, error.source().unwrap().to_string().as_str()), (Reason::Forbidden, told));
        }
    }

    #[test]
    fn what_the_conductor_may_not_do_setup_cures() {
        let account = format!("system:serviceaccount:db:{CONDUCTOR_ACCOUNT}");
        let message = format!(
            "events is forbidden: User \"{account}\" cannot create resource \"events\" in API group \"\" in the namespace \"db\""
        );
        let hint = crate::model::outcome::Explain::hint(&forbidden(&message));
        assert_eq!(
            hint.as_deref(),
            Some("to give the conductor all its rights again: kubectl mariadb-backup setup -n db")
        );
    }

    #[test]
    fn the_server_s_own_sentence_is_the_cause() {
        let message = "pods is forbidden: exceeded quota";
        let error = forbidden(message);
        assert_eq!(error.reason, Reason::Forbidden);
        assert_eq!(error.source().unwrap().to_string(), message);
    }
}
