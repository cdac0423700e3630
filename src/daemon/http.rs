//! The client's half of HTTP/1.1, without I/O: bytes of a request out, bytes of a response in.
//!
//! Only what the daemon sends: a status line, headers, and a body with a length, in chunks, or up
//! to the end of the connection (RFC 9112 §6.3). The head is read by hand: a library for it first
//! asks the processor what it can, and in a virtual machine that alone takes longer than all else
//! that a client computes (docs/decisions/0014).

use crate::limits::MESSAGE_BYTES;

/// A head is smaller than this; the daemon's has a handful of headers.
const HEAD_BYTES: usize = 16 << 10;
/// What every head begins with.
const VERSION: &[u8] = b"HTTP/1.";
/// The line before a chunk: a hexadecimal length and, by the grammar, extensions.
const CHUNK_LINE_BYTES: usize = 256;

/// The bytes of a request. `headers` are lines without their ends.
pub fn request(method: &str, path: &str, headers: &[String], body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256 + body.len());
    bytes.extend_from_slice(method.as_bytes());
    bytes.push(b' ');
    bytes.extend_from_slice(path.as_bytes());
    bytes.extend_from_slice(b" HTTP/1.1\r\nhost: jr\r\n");
    for header in headers {
        bytes.extend_from_slice(header.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    if !body.is_empty() {
        bytes.extend_from_slice(b"content-type: application/json\r\n");
    }
    bytes.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// Status and the one header that matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// 200 or not.
    pub status: u16,
    /// `jr-protocol`; `None` if the other side is no jr.
    pub protocol: Option<u32>,
}

/// What is wrong with a response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// What it sent begins otherwise.
    #[error("it sent no HTTP response")]
    NotHttp,
    /// Too long to be one of ours.
    #[error("it sent a {0} without end")]
    TooLong(&'static str),
    /// A length that is none.
    #[error("it sent a malformed {0}")]
    Malformed(&'static str),
    /// The connection ended inside the response.
    #[error("it closed the connection in the middle of its answer")]
    Cut,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Head,
    Length(u64),
    ChunkLine,
    Chunk(u64),
    ChunkEnd,
    Trailer,
    UntilClosed,
    Done,
}

/// Reads one response from bytes that come in any pieces.
#[derive(Debug)]
pub struct Response {
    state: State,
    head: Option<Head>,
    raw: Vec<u8>,
    body: Vec<u8>,
    /// Bytes of `body` that were looked at for the end of a line.
    scanned: usize,
}

impl Default for Response {
    fn default() -> Self {
        Self::new()
    }
}

impl Response {
    /// One that nothing has come of yet.
    pub fn new() -> Self {
        Self { state: State::Head, head: None, raw: Vec::new(), body: Vec::new(), scanned: 0 }
    }

    /// Its head, once that is complete.
    pub fn head(&self) -> Option<Head> {
        self.head
    }

    /// Whether the body is complete.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Takes bytes as they come.
    ///
    /// # Errors
    /// [`HttpError`]: the connection is of no more use.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), HttpError> {
        if self.raw.is_empty() {
            // Most pieces are whole; what is not used stays for the next.
            let used = self.advance(bytes)?;
            self.raw.extend_from_slice(&bytes[used..]);
        } else {
            let mut raw = std::mem::take(&mut self.raw);
            raw.extend_from_slice(bytes);
            let used = self.advance(&raw)?;
            raw.drain(..used);
            self.raw = raw;
        }
        if self.body.len() > MESSAGE_BYTES { Err(HttpError::TooLong("body")) } else { Ok(()) }
    }

    /// The other side closed the connection.
    ///
    /// # Errors
    /// [`HttpError::Cut`] if more was due.
    pub fn end(&mut self) -> Result<(), HttpError> {
        match self.state {
            State::Done => Ok(()),
            State::UntilClosed => {
                self.state = State::Done;
                Ok(())
            }
            _ => Err(HttpError::Cut),
        }
    }

    /// The next whole line of the body, without its end; the last one needs none.
    pub fn take_line(&mut self) -> Option<Vec<u8>> {
        let found = self.body[self.scanned..].iter().position(|byte| *byte == b'\n');
        if let Some(place) = found {
            let end = self.scanned + place;
            let mut line: Vec<u8> = self.body.drain(..=end).collect();
            line.pop();
            self.scanned = 0;
            return Some(line);
        }
        self.scanned = self.body.len();
        if self.is_done() && !self.body.is_empty() {
            self.scanned = 0;
            return Some(std::mem::take(&mut self.body));
        }
        None
    }

    /// What has come of the body.
    pub fn take_body(&mut self) -> Vec<u8> {
        self.scanned = 0;
        std::mem::take(&mut self.body)
    }

    fn advance(&mut self, input: &[u8]) -> Result<usize, HttpError> {
        let mut used = 0;
        while self.state != State::Done {
            let rest = &input[used..];
            let Some(step) = self.step(rest)? else { break };
            used += step;
        }
        Ok(used)
    }

    /// Uses some of `rest`; `None` if it needs more.
    fn step(&mut self, rest: &[u8]) -> Result<Option<usize>, HttpError> {
        match self.state {
            State::Head => self.read_head(rest),
            State::Length(left) => Ok(self.read_bytes(rest, left, State::Length, State::Done)),
            State::Chunk(left) => Ok(self.read_bytes(rest, left, State::Chunk, State::ChunkEnd)),
            State::ChunkLine => {
                let Some(line) = line_of(rest, "chunk length")? else { return Ok(None) };
                let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
                let length = std::str::from_utf8(digits)
                    .ok()
                    .and_then(|text| u64::from_str_radix(text.trim(), 16).ok());
                let length = length.ok_or(HttpError::Malformed("chunk length"))?;
                self.state = if length == 0 { State::Trailer } else { State::Chunk(length) };
                Ok(Some(line.len() + 2))
            }
            State::ChunkEnd => {
                let Some(line) = line_of(rest, "chunk end")? else { return Ok(None) };
                if !line.is_empty() {
                    return Err(HttpError::Malformed("chunk end"));
                }
                self.state = State::ChunkLine;
                Ok(Some(2))
            }
            State::Trailer => {
                let Some(line) = line_of(rest, "trailer")? else { return Ok(None) };
                if line.is_empty() {
                    self.state = State::Done;
                }
                Ok(Some(line.len() + 2))
            }
            State::UntilClosed => {
                self.body.extend_from_slice(rest);
                Ok((!rest.is_empty()).then_some(rest.len()))
            }
            State::Done => Ok(None),
        }
    }

    fn read_bytes(
        &mut self,
        rest: &[u8],
        left: u64,
        more: fn(u64) -> State,
        then: State,
    ) -> Option<usize> {
        if rest.is_empty() && left > 0 {
            return None;
        }
        let take = usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
        self.body.extend_from_slice(&rest[..take]);
        let left = left - take as u64;
        self.state = if left == 0 { then } else { more(left) };
        Some(take)
    }

    fn read_head(&mut self, rest: &[u8]) -> Result<Option<usize>, HttpError> {
        if !rest.iter().zip(VERSION).all(|(byte, expected)| byte == expected) {
            return Err(HttpError::NotHttp);
        }
        let Some(length) = rest.windows(4).position(|end| end == b"\r\n\r\n") else {
            return if rest.len() > HEAD_BYTES {
                Err(HttpError::TooLong("head"))
            } else {
                Ok(None)
            };
        };
        let used = length + 4;
        let head = std::str::from_utf8(&rest[..length]).map_err(|_| HttpError::NotHttp)?;
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(status_of).ok_or(HttpError::Malformed("status line"))?;
        if (100..200).contains(&status) {
            return Ok(Some(used));
        }
        let (mut protocol, mut length, mut chunked) = (None, None, false);
        for line in lines {
            let (name, value) = line.split_once(':').ok_or(HttpError::Malformed("header"))?;
            let value = value.trim_ascii();
            if name.eq_ignore_ascii_case(super::protocol::PROTOCOL_HEADER) {
                protocol = value.parse().ok();
            } else if name.eq_ignore_ascii_case("transfer-encoding") {
                chunked = value.to_ascii_lowercase().contains("chunked");
            } else if name.eq_ignore_ascii_case("content-length") {
                length = Some(value.parse().map_err(|_| HttpError::Malformed("content-length"))?);
            }
        }
        self.head = Some(Head { status, protocol });
        self.state = match length {
            _ if status == 204 || status == 304 => State::Done,
            _ if chunked => State::ChunkLine,
            Some(0) => State::Done,
            Some(length) => State::Length(length),
            None => State::UntilClosed,
        };
        Ok(Some(used))
    }
}

/// Of `HTTP/1.1 200 OK`; the words are optional.
fn status_of(line: &str) -> Option<u16> {
    let mut words = line.splitn(3, ' ');
    let (_version, status) = (words.next()?, words.next()?);
    let is_number = status.len() == 3 && status.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| status.parse().ok()).flatten()
}

/// A line that ends in CR LF, without them.
fn line_of<'a>(rest: &'a [u8], what: &'static str) -> Result<Option<&'a [u8]>, HttpError> {
    match rest.windows(2).position(|pair| pair == b"\r\n") {
        Some(end) if end <= CHUNK_LINE_BYTES => Ok(Some(&rest[..end])),
        None if rest.len() <= CHUNK_LINE_BYTES => Ok(None),
        _ => Err(HttpError::TooLong(what)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZED: &[u8] =
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nJR-Protocol: 1\r\n\r\n{\"a\": 1}\n";
    const CHUNKED: &[u8] =
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\njr-protocol: 3\r\n\r\n\
        4\r\none\n\r\n6;x=y\r\ntwo\nth\r\n4\r\nree\n\r\n0\r\nx-trailer: y\r\n\r\n";
    const CLOSED: &[u8] = b"HTTP/1.1 404 Not Found\r\n\r\nno\nmore";

    fn whole(bytes: &[u8]) -> (Head, Vec<Vec<u8>>) {
        let mut response = Response::new();
        response.push(bytes).expect("a response");
        response.end().expect("complete");
        (response.head().expect("a head"), lines(&mut response))
    }

    fn lines(response: &mut Response) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| response.take_line()).collect()
    }

    #[test]
    fn bodies_come_with_a_length_in_chunks_or_to_the_end() {
        assert_eq!(
            whole(SIZED),
            (Head { status: 200, protocol: Some(1) }, vec![b"{\"a\": 1}".to_vec()])
        );
        let (head, chunks) = whole(CHUNKED);
        assert_eq!(head.protocol, Some(3));
        assert_eq!(chunks, [b"one".to_vec(), b"two".to_vec(), b"three".to_vec()]);
        assert_eq!(
            whole(CLOSED),
            (Head { status: 404, protocol: None }, vec![b"no".to_vec(), b"more".to_vec()])
        );
    }

    #[test]
    fn a_response_reads_the_same_however_it_is_cut() {
        for message in [SIZED, CHUNKED, CLOSED] {
            let expected = whole(message);
            for first in 0..=message.len() {
                for second in first..=message.len() {
                    let mut response = Response::new();
                    let mut found = Vec::new();
                    for piece in [&message[..first], &message[first..second], &message[second..]] {
                        response.push(piece).expect("a response");
                        found.extend(lines(&mut response));
                    }
                    response.end().expect("complete");
                    found.extend(lines(&mut response));
                    assert_eq!((response.head().expect("a head"), found), expected);
                }
            }
        }
    }

    #[test]
    fn a_response_that_ends_early_is_no_answer() {
        for message in [SIZED, CHUNKED] {
            for length in 0..message.len() {
                let mut response = Response::new();
                response.push(&message[..length]).expect("a beginning");
                assert_eq!(response.end(), Err(HttpError::Cut), "{length}");
            }
        }
    }

    #[test]
    fn what_is_no_response_is_refused() {
        let bad = |bytes: &[u8]| Response::new().push(bytes).expect_err("refused");
        assert_eq!(bad(b"SSH-2.0-x\r\n"), HttpError::NotHttp);
        assert_eq!(bad(b"HTTP/1.1 2x0 OK\r\n\r\n"), HttpError::Malformed("status line"));
        assert_eq!(bad(b"HTTP/1.1 200\r\nwords\r\n\r\n"), HttpError::Malformed("header"));
        assert_eq!(
            bad(b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n"),
            HttpError::Malformed("content-length")
        );
        let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".as_slice();
        assert_eq!(bad(&[chunked, b"zz\r\n"].concat()), HttpError::Malformed("chunk length"));
        assert_eq!(bad(&[chunked, b"1\r\nab\r\n"].concat()), HttpError::Malformed("chunk end"));
        assert_eq!(bad(&[chunked, &[b'1'; 300]].concat()), HttpError::TooLong("chunk length"));
        let mut endless = b"HTTP/1.1 200 OK\r\nx: ".to_vec();
        endless.resize(HEAD_BYTES + 64, b'y');
        assert_eq!(bad(&endless), HttpError::TooLong("head"));
    }

    #[test]
    fn a_request_carries_its_length() {
        let bytes = request("POST", "/v1/run", &["jr-protocol: 1".to_owned()], b"{}");
        let text = String::from_utf8(bytes).expect("text");
        assert!(text.starts_with("POST /v1/run HTTP/1.1\r\nhost: jr\r\njr-protocol: 1\r\n"));
        assert!(text.ends_with("content-length: 2\r\n\r\n{}"));
    }
}
