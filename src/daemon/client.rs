//! The blocking client of the daemon's socket; it starts a daemon where one is needed.
//!
//! Who sends a request again after a broken connection repeats its command id, so it acts once.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use rustix::net::sockopt;
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

pub use super::connect::{Starting, connect, connect_or_start, spawn};
use super::http::{self, Head, HttpError, Response};
use super::machine::Elsewhere;
use super::place::Place;
use super::protocol::{DaemonStopRequest, ErrorBody, ErrorDetail, PROTOCOL, PROTOCOL_HEADER};
use crate::limits;
use crate::log::{Lock, LogError, Sharing};
use crate::runners::linux::procfs;

/// An answer that is due at once (no wait, no stream) comes within this, commit included.
const ANSWER_MS: u64 = 30_000;
/// Between two looks whether a daemon that says nothing was stopped.
const LOOK_MS: u64 = 1_000;
/// A daemon that ends while a request is under way is replaced; twice is bad luck, this is a fault.
const ATTEMPTS: u32 = 4;
/// Between two looks at a daemon that ends.
const GONE_TICK_MS: u64 = 5;
/// What a daemon on its way out answers.
const ENDING: &str = "daemon_ending";

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The socket belongs to somebody else.
    #[error("{} is served by user {uid}, not by you", .path.display())]
    NotYours {
        /// The socket.
        path: PathBuf,
        /// Who serves it.
        uid: u32,
    },
    /// Its queue of connections stayed full.
    #[error("the daemon at {} is busy", .path.display())]
    Busy {
        /// The socket.
        path: PathBuf,
    },
    /// It holds the environment and says nothing.
    #[error("the daemon (pid {pid}) {}", why_mute(*.is_stopped, *.waited_ms))]
    Mute {
        /// Its process.
        pid: i32,
        /// Somebody stopped it (SIGSTOP, a debugger).
        is_stopped: bool,
        /// How long it was waited for.
        waited_ms: u64,
    },
    /// No daemon is started on it: it would refuse it.
    #[error("{} {why}", .root.display())]
    Elsewhere {
        /// The environment.
        root: PathBuf,
        /// Whose processes its log tells of.
        why: Elsewhere,
    },
    /// A newer jr runs there.
    #[error("the daemon speaks protocol {theirs}; this jr speaks {PROTOCOL}")]
    Newer {
        /// Its protocol.
        theirs: u32,
    },
    /// It did not come up.
    #[error("the daemon did not start: {why}")]
    Start {
        /// The last that it said, or what the system said.
        why: String,
    },
    /// The system refused.
    #[error("{operation} {}: {source}", .path.display())]
    Io {
        /// What was tried.
        operation: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// What came was no answer.
    #[error("the daemon at {}: {source}", .path.display())]
    Http {
        /// The socket.
        path: PathBuf,
        /// Why.
        #[source]
        source: HttpError,
    },
    /// There is none, and there will be none.
    #[error(
        "environment {environment} is isolated: what is in it ends with the command that uses it"
    )]
    Isolated {
        /// Its name.
        environment: String,
    },
    /// It said no.
    #[error("{}", .0.message)]
    Refused(ErrorDetail),
}

fn why_mute(is_stopped: bool, waited_ms: u64) -> String {
    if is_stopped {
        "was stopped by a signal, so it does not answer".to_owned()
    } else {
        format!("has not answered for {} s", waited_ms / 1_000)
    }
}

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
    let mut attempts = 0;
    loop {
        attempts += 1;
        let Some(stream) = connect(place)? else { return Ok(None) };
        let answered = Lines::send(place, stream, &request).and_then(|mut lines| {
            lines.set_read_timeout(limit_ms)?;
            lines.wait_for_head()?;
            lines.body()
        });
        match answered {
            Err(error) if error.is_gone() && attempts < ATTEMPTS => {}
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
    let mut attempts = 0;
    loop {
        attempts += 1;
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
                Some(_) if attempts < ATTEMPTS => replace(place)?,
                _ => return Ok(Some(lines)),
            },
            Err(error) if attempts < ATTEMPTS && error.is_gone() => {}
            Err(error) => return Err(error),
        }
    }
}

impl ClientError {
    /// The daemon ended before it answered; what was asked can be asked again, under the same
    /// command id.
    pub fn is_gone(&self) -> bool {
        match self {
            Self::Http { source: HttpError::Cut, .. } => true,
            Self::Io { source, .. } => matches!(
                source.kind(),
                io::ErrorKind::BrokenPipe
                    | io::ErrorKind::ConnectionReset
                    | io::ErrorKind::ConnectionAborted
            ),
            Self::Refused(detail) => detail.code == ENDING,
            _ => false,
        }
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

/// An answer that comes line by line.
#[derive(Debug)]
pub struct Lines {
    stream: UnixStream,
    response: Response,
    path: PathBuf,
    patience: Option<Patience>,
}

/// How long a silence may be.
#[derive(Clone, Copy, Debug)]
struct Patience {
    limit_ms: u64,
    waited_ms: u64,
}

impl Lines {
    fn send(place: &Place, stream: UnixStream, request: &[u8]) -> Result<Self, ClientError> {
        let path = place.daemon_socket();
        let lines = Self { stream, response: Response::new(), path, patience: None };
        (&lines.stream).write_all(request).map_err(|source| lines.io("write to", source))?;
        Ok(lines)
    }

    /// Limits how long one read may take.
    ///
    /// # Errors
    /// [`ClientError::Io`].
    pub fn set_read_timeout(&self, limit_ms: Option<u64>) -> Result<(), ClientError> {
        self.stream
            .set_read_timeout(limit_ms.map(|limit| Duration::from_millis(limit.max(1))))
            .map_err(|source| self.io("set up", source))
    }

    /// An answer that is due: a silence ends when the daemon turns out to be stopped, or after
    /// `limit_ms`; without one it may take as long as it wants.
    fn be_patient(&mut self, limit_ms: Option<u64>) -> Result<(), ClientError> {
        self.set_read_timeout(limit_ms.map(|limit| limit.min(LOOK_MS)))?;
        self.patience = limit_ms.map(|limit_ms| Patience { limit_ms, waited_ms: 0 });
        Ok(())
    }

    /// Nothing came for [`LOOK_MS`].
    fn look_after(&mut self, error: io::Error) -> Result<(), ClientError> {
        let is_late = matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
        let Some(patience) = self.patience.as_mut().filter(|_| is_late) else {
            return Err(self.io("read from", error));
        };
        patience.waited_ms += LOOK_MS.min(patience.limit_ms);
        let Patience { limit_ms, waited_ms } = *patience;
        // The kernel noted who listened there.
        let peer = sockopt::socket_peercred(&self.stream).map(|peer| peer.pid);
        let Ok(pid) = peer.map(|pid| pid.as_raw_nonzero().get()) else {
            return Err(self.io("read from", error));
        };
        let stat = u32::try_from(pid).ok().and_then(|pid| procfs::stat(pid).ok().flatten());
        let is_stopped = stat.is_some_and(|stat| stat.is_stopped());
        if is_stopped || waited_ms >= limit_ms {
            return Err(ClientError::Mute { pid, is_stopped, waited_ms });
        }
        Ok(())
    }

    /// Reads until something is there to take; `false` at the end of the answer.
    ///
    /// # Errors
    /// [`ClientError::Mute`]; [`ClientError::Io`]; [`ClientError::Http`] with [`HttpError::Cut`] if
    /// the daemon ended.
    pub fn fill(&mut self) -> Result<bool, ClientError> {
        if self.response.is_done() {
            return Ok(false);
        }
        let mut buffer = [0_u8; 16 << 10];
        let count = loop {
            match (&self.stream).read(&mut buffer) {
                Ok(count) => break count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => self.look_after(error)?,
            }
        };
        if let Some(patience) = &mut self.patience {
            patience.waited_ms = 0;
        }
        let taken = match count {
            0 => self.response.end(),
            count => self.response.push(&buffer[..count]),
        };
        taken.map_err(|source| ClientError::Http { path: self.path.clone(), source })?;
        Ok(count > 0)
    }

    /// A line that has come, without reading.
    pub fn take(&mut self) -> Option<Vec<u8>> {
        self.response.take_line()
    }

    /// The next line; `None` at the end of the answer.
    ///
    /// # Errors
    /// As [`Self::fill`].
    pub fn next_line(&mut self) -> Result<Option<Vec<u8>>, ClientError> {
        loop {
            if let Some(line) = self.take() {
                return Ok(Some(line));
            }
            if !self.fill()? && self.response.is_done() {
                return Ok(self.take());
            }
        }
    }

    /// All the rest of it.
    ///
    /// # Errors
    /// As [`Self::fill`].
    pub fn body(&mut self) -> Result<Vec<u8>, ClientError> {
        while !self.response.is_done() {
            self.fill()?;
        }
        Ok(self.response.take_body())
    }

    /// Whether all of it has come.
    pub fn is_done(&self) -> bool {
        self.response.is_done()
    }

    /// The head, once it is there.
    ///
    /// # Errors
    /// [`ClientError::Refused`] if it is a refusal; the rest of that is waited for.
    pub fn head(&mut self) -> Result<Option<Head>, ClientError> {
        match self.response.head() {
            Some(head) if head.status >= 400 => Err(self.refusal(head)),
            head => Ok(head),
        }
    }

    fn wait_for_head(&mut self) -> Result<Head, ClientError> {
        loop {
            if let Some(head) = self.head()? {
                return Ok(head);
            }
            self.fill()?;
        }
    }

    fn refusal(&mut self, head: Head) -> ClientError {
        if let Some(theirs) = head.protocol.filter(|theirs| *theirs > PROTOCOL) {
            return ClientError::Newer { theirs };
        }
        let body = match self.body() {
            Ok(body) => body,
            Err(error) => return error,
        };
        let detail = serde_json::from_slice::<ErrorBody>(&body).map(|body| body.error);
        ClientError::Refused(detail.unwrap_or_else(|_| ErrorDetail {
            code: "http".to_owned(),
            message: format!("the daemon answered with HTTP status {}", head.status),
            hint: None,
            exit_code: 1,
        }))
    }

    fn io(&self, operation: &'static str, source: io::Error) -> ClientError {
        ClientError::Io { operation, path: self.path.clone(), source }
    }
}

/// For poll(2).
impl AsFd for Lines {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::super::place::PlaceVariables;
    use super::*;

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
    fn a_daemon_that_ends_before_it_answers_is_asked_again() {
        let home = tempfile::tempdir().expect("a directory");
        let place = place(&home);
        let server = serve(&place, vec![Vec::new(), answer(200, 1, "{}")]);
        assert!(get(&place, Start::Never, "/v1/version").expect("an answer").is_some());
        assert_eq!(server.join().expect("served").len(), 2);
    }
}
