//! Requests over HTTP/1.1 (RFC 9112).

use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{HOST, HeaderName, HeaderValue};
use hyper::{Request, Response, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::connect::{self, Wrongs};
use super::{Target, text};
use crate::limits::PROBE_BODY_BYTES;
use crate::model::service::probe::HttpProbe;

/// The port that a `Host` header may leave out.
const HTTP_PORT: u16 = 80;
/// Bytes that are shown of a body that is wrong.
const SHOWN_BYTES: usize = 60;

/// Is right if status and body are.
pub(super) async fn ask(
    probe: &HttpProbe,
    target: &Target,
    timeout: Duration,
) -> Result<(), String> {
    let port = target.port(&probe.port)?;
    let place = connect::place(&probe.host, port);
    let what = format!("GET http://{place}{}", probe.path);
    let request = request(probe, port)?;
    let exchange = async {
        let mut wrongs = Wrongs::default();
        for address in connect::addresses(&probe.host, port).await? {
            let stream = match connect::open(address).await {
                Ok(stream) => stream,
                Err(error) => {
                    wrongs.refused(connect::refusal(&place, &error));
                    continue;
                }
            };
            // First: a stranger is not to see the headers.
            target.check_owner(&probe.port, port)?;
            match converse(stream, request.clone(), probe).await {
                Ok(()) => return Ok(()),
                Err(wrong) => wrongs.answered(format!("{what}: {wrong}")),
            }
        }
        Err(wrongs.into_text())
    };
    match tokio::time::timeout(timeout, exchange).await {
        Ok(answer) => answer,
        Err(_) => Err(text::late(&what, timeout)),
    }
}

fn request(probe: &HttpProbe, port: u16) -> Result<Request<Empty<Bytes>>, String> {
    let uri: Uri = match probe.path.parse() {
        Ok(uri) => uri,
        Err(error) => return Err(format!("{} is no path of HTTP: {error}", probe.path)),
    };
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = uri;
    let headers = request.headers_mut();
    for (name, value) in &probe.headers {
        let known = HeaderName::from_bytes(name.as_bytes()).ok();
        let header = known.zip(HeaderValue::from_bytes(value.as_bytes()).ok());
        let Some((name, value)) = header else { return Err(format!("{name} is no header")) };
        headers.append(name, value);
    }
    let place = connect::place(&probe.host, port);
    let host = if port == HTTP_PORT { place.trim_end_matches(":80") } else { &place };
    for (name, value) in [("host", host), ("user-agent", "jr"), ("connection", "close")] {
        if !headers.contains_key(name) {
            let value = HeaderValue::from_str(value);
            headers.insert(name, value.map_err(|_| format!("{place} is no host"))?);
        }
    }
    debug_assert!(request.headers().contains_key(HOST));
    Ok(request)
}

/// Sends the request and judges what comes; the connection ends with it.
async fn converse(
    stream: TcpStream,
    request: Request<Empty<Bytes>>,
    probe: &HttpProbe,
) -> Result<(), String> {
    let shaken = http1::handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = shaken.map_err(|error| broken(&error))?;
    let mut connection = pin!(connection);
    let mut exchange = pin!(async move {
        let response = sender.send_request(request).await?;
        Ok(judge(response, probe).await)
    });
    let answer: Result<_, hyper::Error> = tokio::select! {
        answer = &mut exchange => answer,
        // What was read before it ended is still to be judged; why it ended only itself knows.
        ended = &mut connection => match exchange.await {
            Err(error) if error.is_canceled() => Err(ended.err().unwrap_or(error)),
            answer => answer,
        },
    };
    answer.map_err(|error| broken(&error))?
}

async fn judge(response: Response<Incoming>, probe: &HttpProbe) -> Result<(), String> {
    let status = response.status().as_u16();
    if !is_right(status, &probe.statuses) {
        return Err(format!("status {status}, expected {}", expected(&probe.statuses)));
    }
    match &probe.body {
        None => Ok(()),
        Some(wanted) => search(response.into_body(), wanted.as_bytes()).await,
    }
}

fn is_right(status: u16, statuses: &[u16]) -> bool {
    if statuses.is_empty() { (200..=399).contains(&status) } else { statuses.contains(&status) }
}

fn expected(statuses: &[u16]) -> String {
    if statuses.is_empty() {
        return "200 to 399".to_owned();
    }
    let words: Vec<String> = statuses.iter().map(u16::to_string).collect();
    words.join(" or ")
}

/// Reads until it is found, and no further.
async fn search(mut body: Incoming, wanted: &[u8]) -> Result<(), String> {
    let mut read = Vec::new();
    let mut searched = 0;
    loop {
        if wanted.is_empty() || read[searched..].windows(wanted.len()).any(|part| part == wanted) {
            return Ok(());
        }
        // What begins at the end may go on.
        searched = (read.len() + 1).saturating_sub(wanted.len()).max(searched);
        if read.len() >= PROBE_BODY_BYTES {
            return Err(format!("the first {PROBE_BODY_BYTES} bytes lack {}", quoted(wanted)));
        }
        match body.frame().await {
            Some(Ok(frame)) => {
                let data = frame.into_data().unwrap_or_default();
                let room = PROBE_BODY_BYTES - read.len();
                read.extend_from_slice(&data[..data.len().min(room)]);
            }
            Some(Err(error)) => return Err(format!("the body broke off: {}", broken(&error))),
            None => {
                let begin = quoted(&read[..read.len().min(SHOWN_BYTES)]);
                return Err(format!("the body lacks {}, it begins {begin}", quoted(wanted)));
            }
        }
    }
}

fn quoted(bytes: &[u8]) -> String {
    format!("\"{}\"", String::from_utf8_lossy(bytes))
}

fn broken(error: &hyper::Error) -> String {
    use std::error::Error as _;
    if error.is_incomplete_message() {
        return "the connection was closed before the end of the answer".to_owned();
    }
    match error.source().and_then(|source| source.downcast_ref::<std::io::Error>()) {
        Some(source) => text::reason(source),
        None => error.to_string(),
    }
}
