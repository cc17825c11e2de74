//! A client of the API server with kubectl's manners.
//!
//! It says who it is, tries again where the server asks for it (a few times, not for minutes), ends
//! a request after `--request-timeout`, and keeps the server's warnings for the user. The library's
//! own retrying is off: it is silent and takes very long.

use std::collections::BTreeSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{HeaderValue, Request, Response, header};
use kube::Client;
use kube::client::retry::RetryPolicy;
use kube::client::{Body, ClientBuilder};
use tower::buffer::BufferLayer;
use tower::retry::RetryLayer;
use tower::{BoxError, Layer, Service};

use super::error::port_error;
use super::kubeconfig::{Target, Wishes, settle};
use crate::ports::{PortError, Reason};

const FIRST_RETRY: Duration = Duration::from_millis(200);
const LAST_RETRY: Duration = Duration::from_secs(2);
const RETRIES: u32 = 4;
const QUEUED_REQUESTS: usize = 64;

/// A connection to one API server.
pub struct Connection {
    /// The client.
    pub client: Client,
    /// Where it leads.
    pub target: Target,
    warnings: Warnings,
}

impl Connection {
    /// Returns the server's warnings not returned before, each once.
    #[must_use]
    pub fn new_warnings(&self) -> Vec<String> {
        let mut seen = self.warnings.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        std::mem::take(&mut seen.fresh)
    }
}

/// Connects by files, flags and environment. Nothing is sent yet.
///
/// # Errors
/// Names the file, context or flag that cannot be used.
pub fn connect(wishes: &Wishes) -> Result<Connection, PortError> {
    let (mut config, target) = settle(wishes)?;
    let agent = concat!("kubectl-mariadb_backup/", env!("CARGO_PKG_VERSION"));
    config.headers.push((header::USER_AGENT, HeaderValue::from_static(agent)));
    let warnings = Warnings::default();
    let manners = Manners { warnings: warnings.clone(), limit: wishes.request_timeout };
    let client = build(config, &manners, &target.server)?;
    Ok(Connection { client, target, warnings })
}

/// Connects from inside the cluster, with the pod's service account.
///
/// # Errors
/// Says what the pod lacks.
pub fn in_cluster() -> Result<Client, PortError> {
    let what = "cannot reach the Kubernetes API from inside the cluster";
    let mut config = kube::Config::incluster().map_err(|error| PortError::new(Reason::Other, what).caused_by(error))?;
    config.default_retry = false;
    build(config, &Manners { warnings: Warnings::default(), limit: None }, "the cluster's own API server")
}

fn build(config: kube::Config, manners: &Manners, server: &str) -> Result<Client, PortError> {
    let retries = RetryPolicy::new(FIRST_RETRY, LAST_RETRY, RETRIES, true)
        .map_err(|error| PortError::new(Reason::Other, "cannot set up retries").caused_by(error))?;
    Ok(ClientBuilder::try_from(config)
        .map_err(|error| port_error(format!("cannot connect to {server}"), error))?
        .with_layer(&BufferLayer::new(QUEUED_REQUESTS))
        .with_layer(&RetryLayer::new(retries))
        .with_layer(manners)
        .build())
}

#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Seen>>);

#[derive(Default)]
struct Seen {
    all: BTreeSet<String>,
    fresh: Vec<String>,
}

impl Warnings {
    fn take(&self, headers: &http::HeaderMap) {
        let mut seen = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for value in headers.get_all(header::WARNING) {
            let Some(text) = value.to_str().ok().and_then(warning_text) else { continue };
            if seen.all.insert(text.clone()) {
                seen.fresh.push(text);
            }
        }
    }
}

/// Takes the text out of `299 - "text"`.
fn warning_text(header: &str) -> Option<String> {
    let quoted = header.strip_prefix("299 ")?.split_once('"')?.1;
    let mut text = String::new();
    let mut characters = quoted.chars();
    while let Some(c) = characters.next() {
        match c {
            '"' => return Some(text),
            '\\' => text.extend(characters.next()),
            c => text.push(c),
        }
    }
    None
}

#[derive(Clone)]
struct Manners {
    warnings: Warnings,
    limit: Option<Duration>,
}

impl<S> Layer<S> for Manners {
    type Service = Polite<S>;

    fn layer(&self, inner: S) -> Self::Service {
        Polite { inner, manners: self.clone() }
    }
}

#[derive(Clone)]
struct Polite<S> {
    inner: S,
    manners: Manners,
}

impl<S, B> Service<Request<Body>> for Polite<S>
where
    S: Service<Request<Body>, Response = Response<B>>,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: 'static,
{
    type Response = Response<B>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let manners = self.manners.clone();
        let answer = self.inner.call(request);
        Box::pin(async move {
            // Only the wait for the answer's head is limited: a log or a watch may go on for hours.
            let response = match manners.limit {
                Some(limit) => match tokio::time::timeout(limit, answer).await {
                    Ok(response) => response.map_err(Into::into)?,
                    Err(_) => return Err(format!("no answer within {limit:?} (--request-timeout)").into()),
                },
                None => answer.await.map_err(Into::into)?,
            };
            manners.warnings.take(response.headers());
            Ok(response)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_header_holds_a_quoted_text() {
        assert_eq!(warning_text("299 - \"use \\\"v2\\\" instead\""), Some("use \"v2\" instead".to_owned()));
        assert_eq!(warning_text("299 kube \"x\" \"date\""), Some("x".to_owned()));
        assert_eq!(warning_text("199 - \"x\""), None);
        assert_eq!(warning_text("299 - \"x"), None);
    }

    #[test]
    fn a_warning_is_told_once() {
        let warnings = Warnings::default();
        let mut headers = http::HeaderMap::new();
        headers.append(header::WARNING, HeaderValue::from_static("299 - \"old\""));
        warnings.take(&headers);
        warnings.take(&headers);
        let connection_side = std::mem::take(&mut warnings.0.lock().unwrap().fresh);
        assert_eq!(connection_side, ["old"]);
    }
}
