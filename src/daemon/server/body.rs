//! Bodies in and out: a whole JSON document, or lines that come over time.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full, Limited};
use hyper::body::{Body, Frame, Incoming};
use hyper::{Request, Response, StatusCode, header};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use crate::daemon::protocol::{ErrorBody, ErrorDetail, PROTOCOL, PROTOCOL_HEADER};
use crate::limits;

/// Lines that wait for a slow client; it is read for no further while they do.
pub(super) const LINES: usize = 16;

/// What is sent.
pub(super) type Out = Either<Full<Bytes>, Lines>;

/// Newline-delimited JSON from a channel; it ends when the senders are gone.
pub(super) struct Lines(mpsc::Receiver<Bytes>);

impl Body for Lines {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(context).map(|line| line.map(|line| Ok(Frame::data(line))))
    }
}

/// An answer that is all there.
pub(super) fn whole<T: Serialize>(status: StatusCode, value: &T) -> Response<Out> {
    let mut json = serde_json::to_vec(value).unwrap_or_default();
    json.push(b'\n');
    respond(status, "application/json", Either::Left(Full::new(Bytes::from(json))))
}

/// An answer of bytes.
pub(super) fn octets(bytes: Vec<u8>) -> Response<Out> {
    let body = Either::Left(Full::new(Bytes::from(bytes)));
    respond(StatusCode::OK, "application/octet-stream", body)
}

/// An answer whose lines come over time.
pub(super) fn lines(receiver: mpsc::Receiver<Bytes>) -> Response<Out> {
    respond(StatusCode::OK, "application/x-ndjson", Either::Right(Lines(receiver)))
}

/// One line.
pub(super) fn line<T: Serialize>(value: &T) -> Bytes {
    let mut json = serde_json::to_vec(value).unwrap_or_default();
    json.push(b'\n');
    Bytes::from(json)
}

fn respond(status: StatusCode, kind: &'static str, body: Out) -> Response<Out> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    headers.insert(PROTOCOL_HEADER, header::HeaderValue::from(PROTOCOL));
    response
}

/// A refusal.
#[derive(Debug)]
pub(in crate::daemon) struct Refusal {
    /// HTTP status.
    pub(super) status: StatusCode,
    /// What the client prints.
    pub(super) detail: ErrorDetail,
}

impl Refusal {
    pub(in crate::daemon) fn new(
        status: StatusCode,
        exit_code: i32,
        code: &str,
        message: String,
    ) -> Self {
        let code = code.to_owned();
        Self { status, detail: ErrorDetail { code, message, hint: None, exit_code } }
    }

    pub(in crate::daemon) fn hint(mut self, hint: &str) -> Self {
        self.detail.hint = Some(hint.to_owned());
        self
    }

    /// The daemon is on its way out; the client asks the next one.
    pub(in crate::daemon) fn ending() -> Self {
        let message = "the daemon is ending".to_owned();
        Self::new(StatusCode::SERVICE_UNAVAILABLE, 69, "daemon_ending", message)
    }

    pub(super) fn into_response(self) -> Response<Out> {
        whole(self.status, &ErrorBody { error: self.detail })
    }
}

/// Reads a whole JSON body, bounded in size and time.
pub(super) async fn read<T: DeserializeOwned>(request: Request<Incoming>) -> Result<T, Refusal> {
    let body = Limited::new(request.into_body(), limits::MESSAGE_BYTES).collect();
    let deadline = Duration::from_millis(limits::REQUEST_MS);
    let bad = |message: String| Refusal::new(StatusCode::BAD_REQUEST, 2, "bad_request", message);
    let body = tokio::time::timeout(deadline, body).await;
    let body = body.map_err(|_| bad("the request did not arrive in time".to_owned()))?;
    let body = body.map_err(|error| bad(format!("the request was not read: {error}")))?;
    serde_json::from_slice(&body.to_bytes()).map_err(|error| bad(format!("bad request: {error}")))
}
