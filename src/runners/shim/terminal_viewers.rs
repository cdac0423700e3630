//! Clients that look at the terminal of what runs: what they type, what they are shown, and how
//! large their windows are.

use super::connection::{Connection, Role};
use super::running::Running;
use super::terminal::{Halt, Terminal};
use super::terminal_replay::replay;
use crate::limits;
use crate::model::spec::WindowSize;
use crate::model::{ByteString, Now, Signal};
use crate::runners::capture::recorder::Recorder;
use crate::runners::protocol::{AttemptId, FromShim, ViewerRequest};

/// Bytes of one message.
const CHUNK_BYTES: usize = 32 << 10;
/// Who sends more than its credit does not keep to the protocol.
const TYPED_BYTES_MAX: usize = 2 * limits::TYPED_BYTES;

/// What a connection is as a viewer.
#[derive(Debug)]
pub(super) struct Viewer {
    request: ViewerRequest,
    typed: Vec<u8>,
    is_at_end: bool,
    /// Bytes that it was not shown since its backlog was full.
    skipped: u64,
    /// When it typed last, counted over all that type.
    turn: u64,
    /// It was told that the main process is stopped, and waits with it.
    waits: bool,
}

impl Viewer {
    pub(super) fn new(request: ViewerRequest) -> Self {
        Self { request, typed: Vec::new(), is_at_end: false, skipped: 0, turn: 0, waits: false }
    }

    /// It looks in another way, or wants to see all of it once more.
    pub(super) fn renew(&mut self, request: ViewerRequest) {
        self.request = request;
    }

    /// Takes what was typed; false if it is more than a client may send ahead.
    pub(super) fn typed(&mut self, bytes: &ByteString) -> bool {
        if !self.request.read_only {
            self.typed.extend_from_slice(bytes.as_bytes());
        }
        self.typed.len() <= TYPED_BYTES_MAX
    }

    pub(super) fn at_end(&mut self) {
        self.is_at_end = !self.request.read_only;
    }

    pub(super) fn resized(&mut self, size: WindowSize) {
        self.request.size = is_drawable(size).then_some(size);
    }
}

fn is_drawable(size: WindowSize) -> bool {
    size.rows > 0 && size.columns > 0
}

/// Whether something typed waits for the terminal.
pub(super) fn wants_write(connections: &[Connection]) -> bool {
    let mut viewers = connections.iter().filter_map(|connection| connection.viewer.as_ref());
    viewers.any(|viewer| !viewer.typed.is_empty())
}

/// Shows a newcomer what there is; it hears of the size of the terminal, or that there is none.
pub(super) fn welcome(running: &mut Running, connection: &mut Connection, now: Now) {
    let (id, bytes_max) = (running.id(), running.output_bytes_max());
    let Some(terminal) = &mut running.terminal else {
        connection.send(&FromShim::Terminal(id, None));
        return;
    };
    let Some(viewer) = &connection.viewer else { return };
    let ViewerRequest { read_only, output, .. } = viewer.request;
    if !read_only {
        terminal.resume_input();
    }
    // Stopped while nobody was there: to come is what `fg` is in a shell.
    let goes_on = !read_only && matches!(terminal.halt, Some(Halt::By(_)));
    connection.send(&FromShim::Terminal(id, Some(terminal.size())));
    if output && running.recorder.has_recorded() {
        let shown = replay(running.recorder.fds()[0], bytes_max, &terminal.modes);
        send_output(connection, id, &shown);
        terminal.nudge(now.boottime_ms);
    }
    if goes_on {
        running.signal(Signal::CONT);
    }
}

/// Tells those who were there before it began.
pub(super) fn begun(running: &mut Running, connections: &mut [Connection], now: Now) {
    let id = running.id();
    for connection in of(connections, id) {
        welcome(running, connection, now);
    }
}

/// One turn: sizes, what is typed, what is printed.
pub(super) fn serve(running: &mut Running, connections: &mut [Connection], now: Now) {
    let id = running.id();
    let Some(terminal) = &mut running.terminal else { return };
    terminal.fit(smallest(connections, id));
    enter(terminal, connections, id, now);
    if has_been_left(terminal, connections, id) {
        running.signal(Signal::CONT);
    }
    let Some(terminal) = &mut running.terminal else { return };
    terminal.read(&mut running.recorder);
    terminal.on_time(now.boottime_ms);
    show(running, connections, false, now);
}

/// The last turn, when nothing of the attempt lives any more.
pub(super) fn finish(running: &mut Running, connections: &mut [Connection], now: Now) {
    show(running, connections, true, now);
}

fn of(connections: &mut [Connection], id: AttemptId) -> impl Iterator<Item = &mut Connection> {
    connections.iter_mut().filter(move |connection| {
        connection.role == Role::Client(id) && connection.viewer.is_some()
    })
}

/// The smallest of all that type, in each direction: all of it is seen by each of them.
fn smallest(connections: &[Connection], id: AttemptId) -> Option<WindowSize> {
    let viewers = connections.iter().filter(|connection| connection.role == Role::Client(id));
    let requests = viewers.filter_map(|connection| connection.viewer.as_ref());
    let requests = requests.map(|viewer| viewer.request).filter(|request| !request.read_only);
    let sizes = requests.filter_map(|request| request.size.filter(|size| is_drawable(*size)));
    sizes.reduce(|one, other| WindowSize {
        rows: one.rows.min(other.rows),
        columns: one.columns.min(other.columns),
    })
}

/// Tells who typed last that the main process is stopped, so that it stops with it and the shell
/// behind it asks for the next command. True if nobody would let the run go on: that client is
/// gone, or there was none. SIGSTOP is what somebody sends who wants it to stand still; the others
/// the kernel would discard where no shell is.
fn has_been_left(terminal: &mut Terminal, connections: &mut [Connection], id: AttemptId) -> bool {
    let mut viewers = of(connections, id).filter_map(|connection| connection.viewer.as_mut());
    match terminal.halt {
        None => viewers.for_each(|viewer| viewer.waits = false),
        Some(Halt::Told) => return !viewers.any(|viewer| viewer.waits),
        Some(Halt::By(signal)) => {
            drop(viewers);
            return !tell_halted(terminal, connections, id) && signal != Signal::STOP;
        }
    }
    false
}

/// False if nobody is there who types.
fn tell_halted(terminal: &mut Terminal, connections: &mut [Connection], id: AttemptId) -> bool {
    let typing = of(connections, id)
        .filter(|one| one.viewer.as_ref().is_some_and(|viewer| !viewer.request.read_only));
    let last = typing.max_by_key(|one| one.viewer.as_ref().map(|viewer| viewer.turn));
    let Some(connection) = last else { return false };
    connection.viewer.iter_mut().for_each(|viewer| viewer.waits = true);
    connection.send(&FromShim::Halted(id));
    terminal.halt = Some(Halt::Told);
    true
}

fn enter(terminal: &mut Terminal, connections: &mut [Connection], id: AttemptId, now: Now) {
    for connection in of(connections, id) {
        let Some(viewer) = &mut connection.viewer else { continue };
        if !viewer.typed.is_empty() {
            let (taken, turn) = terminal.write(&viewer.typed);
            viewer.typed.drain(..taken);
            viewer.turn = turn;
            let is_full = !viewer.typed.is_empty();
            if taken > 0 {
                let taken = u32::try_from(taken).unwrap_or(u32::MAX);
                connection.send(&FromShim::InputTaken(id, taken));
            }
            if is_full {
                // Nobody else gets in between.
                return;
            }
        }
        if let Some(viewer) = &mut connection.viewer
            && std::mem::take(&mut viewer.is_at_end)
        {
            terminal.end_input(now.boottime_ms);
        }
    }
}

fn show(running: &mut Running, connections: &mut [Connection], is_last: bool, now: Now) {
    let (id, bytes_max) = (running.id(), running.output_bytes_max());
    let Some(terminal) = &mut running.terminal else { return };
    let fresh = terminal.take_fresh();
    let mut is_nudged = false;
    for connection in of(connections, id) {
        let backlog = connection.backlog();
        let Some(viewer) = connection.viewer.as_mut().filter(|viewer| viewer.request.output) else {
            continue;
        };
        if viewer.skipped > 0 || backlog + fresh.len() > limits::SCREEN_BYTES {
            viewer.skipped += fresh.len() as u64;
            if viewer.skipped > 0 && (backlog == 0 || is_last) {
                let skipped = std::mem::take(&mut viewer.skipped);
                resume(&running.recorder, terminal, connection, (id, skipped, bytes_max));
                is_nudged = true;
            }
        } else if !fresh.is_empty() {
            send_output(connection, id, &fresh);
        }
    }
    if is_nudged && !is_last {
        terminal.nudge(now.boottime_ms);
    }
}

/// Somebody has caught up, or gets no other chance: what was not sent is in the recording.
fn resume(
    recorder: &Recorder,
    terminal: &Terminal,
    connection: &mut Connection,
    (id, skipped, bytes_max): (AttemptId, u64, u64),
) {
    connection.send(&FromShim::Skipped(id, skipped));
    let shown = replay(recorder.fds()[0], bytes_max, &terminal.modes);
    send_output(connection, id, &shown);
}

fn send_output(connection: &mut Connection, id: AttemptId, bytes: &[u8]) {
    for chunk in bytes.chunks(CHUNK_BYTES) {
        connection.append(&FromShim::Output(id, ByteString::from(chunk.to_vec())));
    }
    connection.flush();
}
