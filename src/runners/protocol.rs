//! What a shim and its daemon or client say to each other. Kind numbers are never used again.

use serde::{Deserialize, Serialize};

use super::wire::{Frame, WireError, decode, encode};
use crate::model::event::{OutputLossReason, PausedBy, Process};
use crate::model::spec::WindowSize;
use crate::model::{
    AttemptEnd, BootId, ByteString, Capture, ResourceLimits, RunId, Signal, Strays,
};

/// [`ToShim::Start`].
const KIND_START: u16 = 1;

/// One start of one run: what everything is idempotent by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AttemptId {
    /// Of which run.
    pub run: RunId,
    /// Which attempt, from 1.
    pub attempt: u32,
}

/// All that a shim needs to start an attempt and to end it by itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Start {
    /// Which.
    pub id: AttemptId,
    /// argv.
    pub command: Vec<ByteString>,
    /// The environment, exactly so.
    pub variables: Vec<(ByteString, ByteString)>,
    /// Working directory.
    pub cwd: ByteString,
    /// Permission bits that its new files do not get (umask(2)).
    pub umask: u32,
    /// Running time after which it is stopped, in milliseconds of `CLOCK_BOOTTIME`.
    pub timeout_ms: Option<u64>,
    /// The first signal of that stop.
    pub stop_signal: Signal,
    /// Time between it and SIGKILL, in milliseconds.
    pub grace_ms: u64,
    /// What outlives the main process.
    pub strays: Strays,
    /// Absolute path of its output without the endings `.out`, `.err`, `.idx`; none may exist.
    pub output: ByteString,
    /// Newest bytes kept of each stream.
    pub output_bytes_max: u64,
    /// How output reaches its files.
    pub capture: Capture,
    /// What its processes may use together.
    pub limits: ResourceLimits,
    /// It waits for a client's standard input, `limits::ATTACH_WAIT_MS` at most.
    pub attached: bool,
    /// It gets a terminal, of this size at first.
    pub tty: Option<WindowSize>,
    /// Who it runs as, by name or number; `None` is who the shim is. From protocol 2 on.
    #[serde(skip)]
    pub user: Option<String>,
    /// Listening sockets that it finds open from descriptor 3 on, as `sd_listen_fds(3)` has it.
    /// From protocol 2 on.
    #[serde(skip)]
    pub sockets: Vec<PassedSocket>,
}

/// A listening socket that the shim makes for a run, and keeps over its attempts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PassedSocket {
    /// Its name in `LISTEN_FDNAMES`.
    pub name: String,
    /// The address: `localhost` where none is given, `*` or `::` for all of this machine.
    pub host: Option<String>,
    /// The port.
    pub port: u16,
}

/// How a client looks at a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewerRequest {
    /// The size of its own; the smallest of all counts. `None` where it has none.
    pub size: Option<WindowSize>,
    /// It types nothing, and its size does not count.
    pub read_only: bool,
    /// It wants to be shown what is printed.
    pub output: bool,
    /// The start has perhaps not come yet, and waits for this client.
    pub awaits_start: bool,
}

/// Ends an attempt, or gives a start back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stop {
    /// Which.
    pub id: AttemptId,
    /// First signal.
    pub signal: Signal,
    /// Until SIGKILL, in milliseconds. A second stop can only shorten it.
    pub grace_ms: u64,
}

/// To a shim.
#[derive(Clone, Debug, PartialEq)]
pub enum ToShim {
    /// Kind 1. Start it, now or after what runs.
    Start(Box<Start>),
    /// Kind 2. Withdraw it, or end its tree.
    Stop(Stop),
    /// Kind 3. Send a signal to its process group.
    Signal(AttemptId, Signal),
    /// Kind 4. Say all that is held, running, or ended and not forgotten.
    Query,
    /// Kind 5. Its end is in the log.
    Forget(AttemptId),
    /// Kind 6. End, if nothing is held.
    Exit,
    /// Kind 7. Sync the journal.
    Sync,
    /// Kind 8. From a client: take the descriptor sent along as its standard input.
    Attach(AttemptId),
    /// Kind 9. Hold its tree still, or withdraw it.
    Pause(AttemptId),
    /// Kind 10. Let its tree go on.
    Unpause(AttemptId),
    /// Kind 11. From a client: show it the terminal of the attempt.
    View(AttemptId, ViewerRequest),
    /// Kind 12. Typed, `limits::TYPED_BYTES` ahead of `InputTaken` at most.
    Input(AttemptId, ByteString),
    /// Kind 13. The size of the client's terminal is another one.
    Resize(AttemptId, WindowSize),
    /// Kind 14. The client has nothing more to type, and stays.
    InputEnd(AttemptId),
}

/// Who a shim is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// The protocol that it speaks.
    pub protocol: u16,
    /// Process id.
    pub pid: u32,
    /// Its start, as in [`Process`].
    pub start_ticks: u64,
    /// Its boot.
    pub boot: BootId,
}

/// An attempt as a shim has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Holding {
    /// Not begun: it can be withdrawn.
    Held,
    /// Claimed in the journal; the process is being made.
    Claimed,
    /// It runs.
    Running(Process),
    /// It has ended and is not forgotten.
    Ended(AttemptEnd),
    /// It has begun and is held still.
    Paused(Process, PausedBy),
}

/// From a shim.
#[derive(Clone, Debug, PartialEq)]
pub enum FromShim {
    /// Kind 101. First on every connection.
    Hello(Hello),
    /// Kind 102. The start has come and waits.
    Held(AttemptId),
    /// Kind 103. It runs.
    Started(AttemptId, Process),
    /// Kind 104. It has ended. Repeated on every new connection until it is forgotten.
    Ended(AttemptId, AttemptEnd),
    /// Kind 105. It has not begun and never will here.
    Withdrawn(AttemptId),
    /// Kind 106. A signal was sent, or `errno`.
    SignalSent(AttemptId, Signal, Option<i32>),
    /// Kind 107. So many bytes of its output are gone.
    OutputMissing(AttemptId, Option<u64>, OutputLossReason),
    /// Kind 108. The answer to a query.
    State(Vec<(AttemptId, Holding)>),
    /// Kind 109. The journal is synced, or `errno`.
    Synced(Option<i32>),
    /// Kind 110. Nothing of it runs until it is unpaused or stopped. Said again to who asks again.
    Paused(AttemptId, PausedBy),
    /// Kind 111. It is not paused: it was let go, it never was, or its end has begun.
    Unpaused(AttemptId),
    /// Kind 112. The size of the attempt's terminal, which the client now sees; `None`: it has
    /// none.
    Terminal(AttemptId, Option<WindowSize>),
    /// Kind 113. Bytes for the client's screen.
    Output(AttemptId, ByteString),
    /// Kind 114. So many bytes were not sent to a client that was too slow; the newest follow.
    Skipped(AttemptId, u64),
    /// Kind 115. So many bytes that this client typed have reached the terminal.
    InputTaken(AttemptId, u32),
    /// Kind 116. Its main process was stopped at its terminal; this client is the one that a shell
    /// would tell.
    Halted(AttemptId),
}

impl Start {
    /// What protocol 1 does not have stands after what it has, and only where it is asked for.
    fn to_frame(&self) -> Frame {
        if self.user.is_none() && self.sockets.is_empty() {
            return Frame::new(KIND_START, encode(self));
        }
        let payload = encode(&(self, &self.user, &self.sockets));
        Frame { protocol: 2, kind: KIND_START, payload }
    }

    fn from_frame(frame: &Frame) -> Result<Self, WireError> {
        if frame.protocol < 2 {
            return decode(&frame.payload);
        }
        let (start, user, sockets): (Self, _, _) = decode(&frame.payload)?;
        Ok(Self { user, sockets, ..start })
    }
}

impl ToShim {
    /// As it travels.
    pub fn to_frame(&self) -> Frame {
        let (kind, payload) = match self {
            Self::Start(start) => return start.to_frame(),
            Self::Stop(stop) => (2, encode(stop)),
            Self::Signal(id, signal) => (3, encode(&(id, signal))),
            Self::Query => (4, Vec::new()),
            Self::Forget(id) => (5, encode(id)),
            Self::Exit => (6, Vec::new()),
            Self::Sync => (7, Vec::new()),
            Self::Attach(id) => (8, encode(id)),
            Self::Pause(id) => (9, encode(id)),
            Self::Unpause(id) => (10, encode(id)),
            Self::View(id, request) => (11, encode(&(id, request))),
            Self::Input(id, bytes) => (12, encode(&(id, bytes))),
            Self::Resize(id, size) => (13, encode(&(id, size))),
            Self::InputEnd(id) => (14, encode(id)),
        };
        Frame::new(kind, payload)
    }

    /// The inverse.
    pub fn from_frame(frame: &Frame) -> Result<Self, WireError> {
        let payload = &frame.payload;
        Ok(match frame.kind {
            KIND_START => Self::Start(Box::new(Start::from_frame(frame)?)),
            2 => Self::Stop(decode(payload)?),
            3 => {
                let (id, signal) = decode(payload)?;
                Self::Signal(id, signal)
            }
            4 => Self::Query,
            5 => Self::Forget(decode(payload)?),
            6 => Self::Exit,
            7 => Self::Sync,
            8 => Self::Attach(decode(payload)?),
            9 => Self::Pause(decode(payload)?),
            10 => Self::Unpause(decode(payload)?),
            11 => {
                let (id, request) = decode(payload)?;
                Self::View(id, request)
            }
            12 => {
                let (id, bytes) = decode(payload)?;
                Self::Input(id, bytes)
            }
            13 => {
                let (id, size) = decode(payload)?;
                Self::Resize(id, size)
            }
            14 => Self::InputEnd(decode(payload)?),
            kind => return Err(WireError::UnknownKind(kind)),
        })
    }
}

impl FromShim {
    /// As it travels.
    pub fn to_frame(&self) -> Frame {
        let (kind, payload) = match self {
            Self::Hello(hello) => (101, encode(hello)),
            Self::Held(id) => (102, encode(id)),
            Self::Started(id, process) => (103, encode(&(id, process))),
            Self::Ended(id, end) => (104, encode(&(id, end))),
            Self::Withdrawn(id) => (105, encode(id)),
            Self::SignalSent(id, signal, errno) => (106, encode(&(id, signal, errno))),
            Self::OutputMissing(id, bytes, reason) => (107, encode(&(id, bytes, reason))),
            Self::State(holdings) => (108, encode(holdings)),
            Self::Synced(errno) => (109, encode(errno)),
            Self::Paused(id, by) => (110, encode(&(id, by))),
            Self::Unpaused(id) => (111, encode(id)),
            Self::Terminal(id, size) => (112, encode(&(id, size))),
            Self::Output(id, bytes) => (113, encode(&(id, bytes))),
            Self::Skipped(id, bytes) => (114, encode(&(id, bytes))),
            Self::InputTaken(id, bytes) => (115, encode(&(id, bytes))),
            Self::Halted(id) => {
                return Frame { protocol: 3, kind: 116, payload: encode(id) };
            }
        };
        Frame::new(kind, payload)
    }

    /// The inverse.
    pub fn from_frame(frame: &Frame) -> Result<Self, WireError> {
        let payload = &frame.payload;
        Ok(match frame.kind {
            101 => Self::Hello(decode(payload)?),
            102 => Self::Held(decode(payload)?),
            103 => {
                let (id, process) = decode(payload)?;
                Self::Started(id, process)
            }
            104 => {
                let (id, end) = decode(payload)?;
                Self::Ended(id, end)
            }
            105 => Self::Withdrawn(decode(payload)?),
            106 => {
                let (id, signal, errno) = decode(payload)?;
                Self::SignalSent(id, signal, errno)
            }
            107 => {
                let (id, bytes, reason) = decode(payload)?;
                Self::OutputMissing(id, bytes, reason)
            }
            108 => Self::State(decode(payload)?),
            109 => Self::Synced(decode(payload)?),
            110 => {
                let (id, by) = decode(payload)?;
                Self::Paused(id, by)
            }
            111 => Self::Unpaused(decode(payload)?),
            112 => {
                let (id, size) = decode(payload)?;
                Self::Terminal(id, size)
            }
            113 => {
                let (id, bytes) = decode(payload)?;
                Self::Output(id, bytes)
            }
            114 => {
                let (id, bytes) = decode(payload)?;
                Self::Skipped(id, bytes)
            }
            115 => {
                let (id, bytes) = decode(payload)?;
                Self::InputTaken(id, bytes)
            }
            116 => Self::Halted(decode(payload)?),
            kind => return Err(WireError::UnknownKind(kind)),
        })
    }

    /// The attempt that it is about.
    pub fn attempt(&self) -> Option<AttemptId> {
        match self {
            Self::Held(id)
            | Self::Started(id, _)
            | Self::Ended(id, _)
            | Self::Withdrawn(id)
            | Self::SignalSent(id, _, _)
            | Self::OutputMissing(id, _, _)
            | Self::Paused(id, _)
            | Self::Unpaused(id)
            | Self::Terminal(id, _)
            | Self::Output(id, _)
            | Self::Skipped(id, _)
            | Self::InputTaken(id, _)
            | Self::Halted(id) => Some(*id),
            Self::Hello(_) | Self::State(_) | Self::Synced(_) => None,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A start of nothing, of one run.
    pub(crate) fn start(attempt: u32) -> Start {
        Start {
            id: AttemptId { run: RunId::from_chance(1), attempt },
            command: Vec::new(),
            variables: Vec::new(),
            cwd: ByteString::default(),
            timeout_ms: None,
            stop_signal: Signal::TERM,
            grace_ms: 0,
            strays: Strays::Kill,
            output: ByteString::default(),
            umask: 0o022,
            output_bytes_max: 0,
            capture: Capture::File,
            limits: ResourceLimits::default(),
            attached: false,
            tty: None,
            user: None,
            sockets: Vec::new(),
        }
    }
    use crate::model::{ExitStatus, UnixMillis};

    #[test]
    fn a_start_is_as_protocol_1_has_it_unless_it_asks_for_more() {
        let mut start = start(7);
        let frame = ToShim::Start(Box::new(start.clone())).to_frame();
        assert_eq!((frame.protocol, frame.kind), (1, 1));
        assert_eq!(ToShim::from_frame(&frame), Ok(ToShim::Start(Box::new(start.clone()))));
        let old = frame.payload;
        start.user = Some("nobody".to_owned());
        let socket = PassedSocket { name: "http".to_owned(), host: None, port: 8_000 };
        start.sockets = vec![socket];
        let frame = ToShim::Start(Box::new(start.clone())).to_frame();
        assert_eq!((frame.protocol, frame.kind), (2, 1));
        assert!(frame.payload.starts_with(&old));
        assert_eq!(ToShim::from_frame(&frame), Ok(ToShim::Start(Box::new(start))));
        // As an older reader would take it for its own.
        let mislabelled = Frame::new(1, frame.payload);
        assert_eq!(ToShim::from_frame(&mislabelled), Err(WireError::Malformed));
    }

    #[test]
    fn every_message_reads_back() {
        let id = AttemptId { run: RunId::from_chance(99), attempt: 3 };
        let end = AttemptEnd::unmeasured(ExitStatus::Exited(7), UnixMillis(-5));
        let messages = [
            FromShim::Held(id),
            FromShim::Ended(id, end.clone()),
            FromShim::Withdrawn(id),
            FromShim::SignalSent(id, Signal::TERM, Some(3)),
            FromShim::OutputMissing(id, None, OutputLossReason::FileGone),
            FromShim::State(vec![(id, Holding::Ended(end)), (id, Holding::Held)]),
            FromShim::Synced(None),
            FromShim::Paused(id, PausedBy::Signal),
            FromShim::Unpaused(id),
            FromShim::Terminal(id, Some(WindowSize { rows: 24, columns: 80 })),
            FromShim::Output(id, ByteString::from(vec![0, 0xff, 0x1b])),
            FromShim::Skipped(id, u64::MAX),
            FromShim::InputTaken(id, 9),
            FromShim::Halted(id),
        ];
        for message in messages {
            assert_eq!(FromShim::from_frame(&message.to_frame()), Ok(message));
        }
        let viewer =
            ViewerRequest { size: None, read_only: true, output: false, awaits_start: true };
        let stop = Stop { id, signal: Signal::INT, grace_ms: 9 };
        for message in [
            ToShim::Stop(stop),
            ToShim::Signal(id, Signal::HUP),
            ToShim::Query,
            ToShim::Forget(id),
            ToShim::Exit,
            ToShim::Sync,
            ToShim::Attach(id),
            ToShim::Pause(id),
            ToShim::Unpause(id),
            ToShim::View(id, viewer),
            ToShim::Input(id, ByteString::from(vec![3])),
            ToShim::Resize(id, WindowSize { rows: 1, columns: 2 }),
            ToShim::InputEnd(id),
        ] {
            assert_eq!(ToShim::from_frame(&message.to_frame()), Ok(message));
        }
        let unknown = Frame::new(999, Vec::new());
        assert_eq!(ToShim::from_frame(&unknown), Err(WireError::UnknownKind(999)));
        let short = Frame::new(5, vec![1]);
        assert_eq!(ToShim::from_frame(&short), Err(WireError::Malformed));
    }
}
