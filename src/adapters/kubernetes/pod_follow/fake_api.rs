//! An API server of a few lines: each request is answered from a closure, or never.

use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tower::Service;

/// What is answered.
pub(in crate::adapters::kubernetes) enum Answer {
    /// This text, with this status code.
    Text(u16, String),
    /// Nothing, ever.
    Never,
}

impl Answer {
    /// A document.
    pub(in crate::adapters::kubernetes) fn ok(value: &Value) -> Self {
        Self::Text(200, value.to_string())
    }

    /// A refusal in the API server's form.
    pub(in crate::adapters::kubernetes) fn refused(code: u16, message: &str) -> Self {
        let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message, "reason": "Refused", "code": code});
        Self::Text(code, status.to_string())
    }
}

type Answers = dyn Fn(&Request<Body>) -> Answer + Send + Sync;

#[derive(Clone)]
struct FakeApi(Arc<Answers>);

impl Service<Request<Body>> for FakeApi {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let answer = (self.0)(&request);
        Box::pin(async move {
            match answer {
                Answer::Never => pending().await,
                Answer::Text(code, text) => {
                    Ok(Response::builder().status(code).body(Body::from(text.into_bytes())).expect("a response"))
                }
            }
        })
    }
}

/// A client of such a server.
pub(in crate::adapters::kubernetes) fn client(
    answers: impl Fn(&Request<Body>) -> Answer + Send + Sync + 'static,
) -> Client {
    Client::new(FakeApi(Arc::new(answers)), "db")
}
