//! The blocking client of the daemon's socket: asking, and who is asked.
//!
//! `connect` finds the socket and starts a daemon where one is needed; `answer` comes line by line.
//!
//! Who sends a request again after a broken connection repeats its command id, so it acts once.

mod answer;
mod connect;
mod error;

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

pub use answer::Lines;
pub use connect::{Starting, connect, connect_or_start, spawn};
pub use error::ClientError;

use super::http;
use super::place::Place;
use super::protocol::{DaemonStopRequest, PROTOCOL, PROTOCOL_HEADER};
use crate::limits;
use crate::log::{Lock, LogError, Sharing};

/// An answer that is due at once (no wait, no stream) comes within this, commit included.
const ANSWER_MS: u64 = 30_000;
/// An older daemon is replaced so often; one that is still there then is a fault.
const REPLACEMENTS: u32 = 3;
/// A daemon that ends while a request is under way is replaced; twice is bad luck, this is a fault,
const ATTEMPTS: u32 = 4;
/// unless it is one and the same: it is gone from its socket within this, also on a busy machine.
const HANDOVER_MS: u64 = 2_000;
/// Between two looks at a daemon that ends.
const GONE_TICK_MS: u64 = 5;

/// Whether a daemon may be started to get an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// What changes something needs one.
    Allowed,
    /// Reading never starts one.
    Never,
}

/// Milliseconds of `CLOCK_MONOTONIC`: deadlines of a short-lived client.
pub fn monotonic_ms() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    let millis = time.tv_sec.saturating_mul(1_000).saturating_add(time.tv_nsec / 1_000_000);
    u64::try_from(millis).unwrap_or(0)
}

/// The body of the answer; `None` if no daemon runs and none may be started.
///
/// # Errors
/// [`ClientError`].
pub fn ask(
    place: &Place,
    start: Start,
    path: &str,
    body: &impl Serialize,
) -> Result<Option<Vec<u8>>, ClientError> {
    let Some(mut lines) = exchange(place, start, "POST", path, &encode(body), Some(ANSWER_MS))?
    else {
        return Ok(None);
    };
    lines.body().map(Some)
}

/// As [`ask`], for an answer that may take as long as it wants.
///
/// # Errors
/// [`ClientError`].
pub fn open(
    place: &Place,
    start: Start,
    path: &str,
    body: &impl Serialize,
) -> Result<Option<Lines>, ClientError> {
    exchange(place, start, "POST", path, &encode(body), None)
}

/// As [`ask`], for `GET`.
///
/// # Errors
/// [`ClientError`].
pub fn get(place: &Place, start: Start, path: &str) -> Result<Option<Vec<u8>>, ClientError> {
    match exchange(place, start, "GET", path, b"", Some(ANSWER_MS))? {
        Some(mut lines) => lines.body().map(Some),
        None => Ok(None),
    }
}

/// Asks without the handshake: whatever runs there answers, or nothing does.
///
/// # Errors
/// [`ClientError`].
pub fn ask_any_version(
    place: &Place,
    method: &str,
    path: &str,
    body: &[u8],
) -> Result<Option<Vec<u8>>, ClientError> {
    ask_any_version_within(place, method, path, body, Some(ANSWER_MS))
}

/// As [`ask_any_version`], with another bound for a silence of the daemon; `None` is none.
///
/// # Errors
/// [`ClientError`].
pub fn ask_any_version_within(
    place: &Place,
    method: &str,
    path: &str,
    body: &[u8],
    limit_ms: Option<u64>,
) -> Result<Option<Vec<u8>>, ClientError> {
    let request = encode_request(method, path, body);
    let mut handover = Handover::default();
    loop {
        let Some(stream) = connect(place)? else { return Ok(None) };
        let answered = Lines::send(place, stream, &request).and_then(|mut lines| {
            lines.set_read_timeout(limit_ms)?;
            lines.wait_for_head()?;
            lines.body()
        });
        match answered {
            Err(error) if handover.goes_on(&error) => {}
            answered => return answered.map(Some),
        }
    }
}

/// Sends a request to the daemon that runs, and waits for nothing: see [`Lines::fill`].
/// `None` if none runs.
///
/// # Errors
/// [`ClientError`].
pub fn begin(
    place: &Place,
    path: &str,
    body: &impl Serialize,
) -> Result<Option<Lines>, ClientError> {
    let Some(stream) = connect(place)? else { return Ok(None) };
    Lines::send(place, stream, &encode_request("POST", path, &encode(body))).map(Some)
}

fn encode(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).expect("requests have string keys only")
}

fn encode_request(method: &str, path: &str, body: &[u8]) -> Vec<u8> {
    http::request(method, path, &[format!("{PROTOCOL_HEADER}: {PROTOCOL}")], body)
}

fn exchange(
    place: &Place,
    start: Start,
    method: &str,
    path: &str,
    body: &[u8],
    timeout_ms: Option<u64>,
) -> Result<Option<Lines>, ClientError> {
    let request = encode_request(method, path, body);
    let (mut handover, mut replaced) = (Handover::default(), 0);
    loop {
        let stream = match start {
            Start::Allowed => connect_or_start(place)?,
            Start::Never => match connect(place)? {
                Some(stream) => stream,
                None => return Ok(None),
            },
        };
        let answered = Lines::send(place, stream, &request).and_then(|mut lines| {
            lines.be_patient(timeout_ms)?;
            lines.wait_for_head().map(|head| (lines, head))
        });
        match answered {
            Ok((lines, head)) => match head.protocol {
                Some(PROTOCOL) => return Ok(Some(lines)),
                Some(theirs) if theirs > PROTOCOL => return Err(ClientError::Newer { theirs }),
                Some(_) if replaced < REPLACEMENTS => {
                    replace(place)?;
                    replaced += 1;
                }
                _ => return Ok(Some(lines)),
            },
            Err(error) if handover.goes_on(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

/// A daemon that ends may still be reached for a moment, and says so or hangs up; then there is
/// another one, or none.
#[derive(Debug, Default)]
struct Handover {
    /// How often it was gone.
    gone: u32,
    /// Set when it was gone for the first time: the answer may have been waited for long before.
    until_ms: Option<u64>,
}

impl Handover {
    /// Whether it is worth to ask again, after a pause.
    fn goes_on(&mut self, error: &ClientError) -> bool {
        if !error.is_gone() {
            return false;
        }
        self.gone += 1;
        let now_ms = monotonic_ms();
        let until_ms = *self.until_ms.get_or_insert(now_ms + HANDOVER_MS);
        let goes_on = self.gone < ATTEMPTS || now_ms < until_ms;
        if goes_on {
            std::thread::sleep(Duration::from_millis(GONE_TICK_MS));
        }
        goes_on
    }
}

/// Asks an older daemon to commit and end, and starts ours.
fn replace(place: &Place) -> Result<(), ClientError> {
    let request = encode(&DaemonStopRequest { upgrade: true });
    match ask_any_version(place, "POST", "/v1/daemon/stop", &request) {
        Ok(_) => {}
        Err(error) if error.is_gone() => {}
        Err(error) => return Err(error),
    }
    wait_until_gone(place)?;
    connect_or_start(place).map(drop)
}

/// Waits until nobody serves the socket and nobody holds the files.
///
/// # Errors
/// [`ClientError::Busy`] if somebody still does after `limits::DAEMON_START_MS`.
pub fn wait_until_gone(place: &Place) -> Result<(), ClientError> {
    let deadline = monotonic_ms() + limits::DAEMON_START_MS;
    while connect(place)?.is_some() || is_held(place) {
        if monotonic_ms() >= deadline {
            return Err(ClientError::Busy { path: place.daemon_socket() });
        }
        std::thread::sleep(Duration::from_millis(GONE_TICK_MS));
    }
    Ok(())
}

/// A daemon writes its views after it has closed its socket, and lets go of the lock last.
fn is_held(place: &Place) -> bool {
    matches!(Lock::attempt(&place.lock(), Sharing::Shared), Err(LogError::Busy { .. }))
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::daemon::place::PlaceVariables;

    fn place(home: &tempfile::TempDir) -> Place {
        let jr_home = Some(home.path().as_os_str().to_owned());
        let variables = PlaceVariables { jr_home, ..PlaceVariables::default() };
        let place = Place::of("local".parse().expect("a name"), &variables).expect("short");
        std::fs::create_dir_all(&place.run).expect("a directory");
        place
    }

    /// Answers one connection after the other with these bytes, each after a whole request.
    fn serve(place: &Place, answers: Vec<Vec<u8>>) -> std::thread::JoinHandle<Vec<String>> {
        let listener = UnixListener::bind(place.daemon_socket()).expect("bind");
        std::thread::spawn(move || {
            let mut requests = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().expect("a client");
                let mut request = Vec::new();
                let mut buffer = [0_u8; 4096];
                while !request.ends_with(b"}") && !request.ends_with(b"\r\n\r\n") {
                    let count = stream.read(&mut buffer).expect("a request");
                    request.extend_from_slice(&buffer[..count]);
                }
                requests.push(String::from_utf8(request).expect("text"));
                stream.write_all(&answer).expect("a reader");
            }
            requests
        })
    }

    fn answer(status: u16, protocol: u32, body: &str) -> Vec<u8> {
        let length = body.len();
        format!(
            "HTTP/1.1 {status} X\r\njr-protocol: {protocol}\r\n\
             content-length: {length}\r\n\r\n{body}"
        )
        .into_bytes()
    }

    #[test]
    fn without_a_daemon_reading_gets_no_answer_and_starts_none() {
        let home = tempfile::tempdir().expect("a directory");
        let place = place(&home);
        assert!(get(&place, Start::Never, "/v1/version").expect("no daemon").is_none());
        drop(UnixListener::bind(place.daemon_socket()).expect("bind"));
        assert!(get(&place, Start::Never, "/v1/version").expect("a dead socket").is_none());
        assert!(!place.root.exists());
    }

    #[test]
    fn an_answer_comes_with_its_body_and_a_refusal_with_its_reason() {
        let home = tempfile::tempdir().expect("a directory");
        let place = place(&home);
        let refusal = concat!(
            r#"{"error":{"code":"no_such_run","message":"no run matches \"x\"","#,
            r#""hint":null,"exit_code":3}}"#
        );
        let server = serve(&place, vec![answer(200, 1, "{\"a\":1}"), answer(404, 1, refusal)]);
        let body = get(&place, Start::Never, "/v1/version").expect("an answer");
        assert_eq!(body.as_deref(), Some(b"{\"a\":1}".as_slice()));
        match ask(&place, Start::Never, "/v1/read", &serde_json::json!({})) {
            Err(ClientError::Refused(detail)) => assert_eq!(detail.exit_code, 3),
            other => panic!("{other:?}"),
        }
        drop(server);
    }

    #[test]
    fn a_newer_daemon_is_left_alone() {
        let home = tempfile::tempdir().expect("a directory");
        let place = place(&home);
        let server = serve(&place, vec![answer(200, 9, "{}"), answer(400, 9, "{}")]);
        for _ in 0..2 {
            match get(&place, Start::Never, "/v1/version") {
                Err(ClientError::Newer { theirs }) => assert_eq!(theirs, 9),
                other => panic!("{other:?}"),
            }
        }
        assert_eq!(server.join().expect("served").len(), 2);
    }

    #[test]
    fn daemons_that_die_one_after_the_other_are_asked_again_for_a_while() {
        let gone = || ClientError::Io {
            operation: "read",
            path: "socket".into(),
            source: std::io::ErrorKind::ConnectionReset.into(),
        };
        // The first one died long ago: what is asked took its time.
        let mut handover = Handover { until_ms: Some(0), ..Handover::default() };
        let answers = [(); 4].map(|()| handover.goes_on(&gone()));
        assert_eq!(answers, [true, true, true, false]);
        assert!(!Handover::default().goes_on(&ClientError::Newer { theirs: 9 }));
    }

    #[test]
    fn a_daemon_that_ends_before_it_answers_is_asked_again() {
        let home = tempfile::tempdir().expect("a directory");
        let place = place(&home);
        let ending =
            r#"{"error":{"code":"daemon_ending","message":"m","hint":null,"exit_code":69}}"#;
        let ending = answer(503, 1, ending);
        let mut answers = vec![ending; 20];
        answers.extend([Vec::new(), answer(200, 1, "{}")]);
        let server = serve(&place, answers);
        assert!(get(&place, Start::Never, "/v1/version").expect("an answer").is_some());
        assert_eq!(server.join().expect("served").len(), 22);
    }
}
