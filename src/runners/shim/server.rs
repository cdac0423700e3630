//! The shim's one loop: it waits for children, clocks, daemons and clients, and never for anybody
//! in particular.

mod ready;

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::net::SocketFlags;

use ready::Ready;

use super::args::Args;
use super::book::{Answer, Book};
use super::bound::Bound;
use super::connection::{Connection, Role};
use super::journal::{self, Entry, Journal, Opened};
use super::passed::Passed;
use super::running::{Ground, Running};
use super::terminal_viewers::{self as viewers, Viewer};
use crate::limits;
use crate::model::event::PausedBy;
use crate::model::{AttemptEnd, Now};
use crate::runners::capture::recorder;
use crate::runners::linux::clock::{self, BoottimeTimer};
use crate::runners::linux::tree::Tree;
use crate::runners::linux::{fds, signals, text, wait};
use crate::runners::protocol::{AttemptId, FromShim, Hello, Holding, Start, ToShim, ViewerRequest};

/// Connections at once; more are closed.
const CONNECTIONS_MAX: usize = 64;
/// A start waits so long for company, so that a daemon hears of a short command once, not twice.
const NEWS_WAIT_MS: u64 = 2;
/// Clients whose standard input waits for their start.
const ATTACHMENTS_MAX: usize = 8;

/// What the setup has made.
pub(super) struct Parts {
    pub(super) args: Args,
    pub(super) lock: File,
    pub(super) hello: Hello,
    pub(super) opened: Opened,
    pub(super) journal: Journal,
    pub(super) listener: OwnedFd,
    pub(super) control: Option<OwnedFd>,
    pub(super) tree: Tree,
    pub(super) bound: Option<Bound>,
}

/// A running shim.
pub(super) struct Server {
    parts: Parts,
    null: File,
    children: OwnedFd,
    watcher: OwnedFd,
    timer: BoottimeTimer,
    connections: Vec<Connection>,
    book: Book,
    running: Option<Running>,
    passed: Passed,
    /// A start that is not told yet: most likely its end comes with it.
    news: Option<(u64, FromShim)>,
    /// Nothing has happened since it last let go of memory that it does not need while it waits.
    is_settled: bool,
    attachments: BTreeMap<AttemptId, Option<OwnedFd>>,
    /// Since when the first start waits for its client.
    attach_since_ms: Option<(AttemptId, u64)>,
    idle_since_ms: Option<u64>,
    is_exiting: bool,
}

impl Server {
    pub(super) fn new(mut parts: Parts) -> io::Result<Self> {
        let control = parts.control.take();
        let mut server = Self {
            parts,
            null: File::options().read(true).open("/dev/null")?,
            children: signals::child_signal_fd()?,
            watcher: recorder::watcher()?,
            timer: BoottimeTimer::new()?,
            connections: Vec::new(),
            book: Book::default(),
            running: None,
            passed: Passed::default(),
            news: None,
            is_settled: false,
            attachments: BTreeMap::new(),
            attach_since_ms: None,
            idle_since_ms: None,
            is_exiting: false,
        };
        if let Some(control) = control {
            server.connect(control);
            server.connections.iter_mut().for_each(|first| first.is_first = true);
        }
        Ok(server)
    }

    /// Until nothing is held and nobody wants more.
    pub(super) fn run(&mut self) -> io::Result<()> {
        while !self.is_exiting {
            self.timer.arm(self.deadline())?;
            let ready = self.wait()?;
            self.turn(&ready);
        }
        std::fs::remove_file(&self.parts.args.socket).ok();
        self.parts.tree.release();
        if let Some(leaf) = self.parts.tree.leaf() {
            leaf.remove().ok();
        }
        rustix::fs::flock(&self.parts.lock, rustix::fs::FlockOperation::Unlock)?;
        self.parts.bound.take().map_or(Ok(()), Bound::leave)
    }

    /// One pass over all that is ready, then over what follows from it.
    fn turn(&mut self, ready: &Ready) {
        let now = clock::now();
        self.is_settled = ready.quiet && self.news.is_none();
        if self.is_settled {
            text::let_go();
        }
        let is_stale = |(since_ms, _): &(u64, FromShim)| now.boottime_ms > since_ms + NEWS_WAIT_MS;
        if ready.quiet || self.news.as_ref().is_some_and(is_stale) {
            self.tell_news();
        }
        if ready.timer {
            self.timer.clear();
        }
        if ready.watcher {
            let watches = recorder::fired(&self.watcher);
            if let Some(running) = &mut self.running {
                running.recorder.on_events(&self.watcher, &watches, now);
            }
        }
        self.hear_report();
        if ready.children {
            self.reap(now);
        }
        if ready.listener {
            self.accept();
        }
        self.receive(&ready.connections, now);
        self.leave_with_first(now);
        if let Some(running) = &mut self.running {
            viewers::serve(running, &mut self.connections, now);
        }
        self.advance(now);
        self.start_next(now);
        self.leave_with_first(now);
        self.settle(now);
    }

    /// A bound shim stops all that it has once its first connection is gone: what is held never
    /// begins, what runs gets its ladder, and what was spared after its attempt is killed.
    fn leave_with_first(&mut self, now: Now) {
        let Some(bound) = &mut self.parts.bound else { return };
        if self.connections.iter().any(|one| one.is_first) {
            return;
        }
        self.book.drop_held();
        match &mut self.running {
            Some(running) => running.stop_as_asked(&self.parts.tree, now),
            None => self.is_exiting |= bound.end_tree(&self.parts.tree, now.boottime_ms),
        }
    }

    fn hear_report(&mut self) {
        let Some(running) = &mut self.running else { return };
        if let Some(process) = running.hear_report() {
            let id = running.id();
            self.parts.journal.record(&Entry::Started(id, process.clone()));
            self.news = Some((clock::boottime_ms(), FromShim::Started(id, process)));
        }
    }

    /// Says what was kept back for company.
    fn tell_news(&mut self) {
        if let Some((_, news)) = self.news.take() {
            self.broadcast(&news);
        }
    }

    fn reap(&mut self, now: Now) {
        let mut drained = [0_u8; 512];
        rustix::io::read(&self.children, &mut drained).ok();
        while let Some(reaped) = wait::reap() {
            // What it said before it died is there now.
            self.hear_report();
            if let Some(running) = &mut self.running {
                running.reaped(&reaped, now);
            }
        }
        if let Some(running) = &mut self.running {
            running.note_job_control();
        }
    }

    fn accept(&mut self) {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        while let Ok(fd) = rustix::net::accept_with(&self.parts.listener, flags) {
            if self.connections.len() < CONNECTIONS_MAX && fds::check_peer(&fd).is_ok() {
                self.connect(fd);
            }
        }
    }

    fn connect(&mut self, fd: OwnedFd) {
        let mut connection = Connection::new(fd);
        connection.send(&FromShim::Hello(self.parts.hello));
        for (id, end) in self.book.ended() {
            connection.send(&FromShim::Ended(*id, end.clone()));
        }
        self.connections.push(connection);
    }

    /// Reads and handles messages, the oldest connection first. A query is answered when all
    /// connections are read empty: what a daemon sent before it died counts as known.
    fn receive(&mut self, ready: &[bool], now: Now) {
        let mut queries = Vec::new();
        let mut is_complete = false;
        let mut ready = ready.to_vec();
        loop {
            for place in 0..self.connections.len() {
                if !ready.get(place).copied().unwrap_or(is_complete) {
                    continue;
                }
                self.connections[place].flush();
                for message in self.connections[place].receive() {
                    if matches!(message, ToShim::Query) {
                        queries.push(place);
                    } else {
                        self.handle(place, message, now);
                    }
                }
            }
            if is_complete || queries.is_empty() {
                break;
            }
            is_complete = true;
            ready = vec![true; self.connections.len()];
        }
        for place in queries {
            let state = FromShim::State(self.holdings());
            self.connections[place].send(&state);
        }
        self.connections.retain(|connection| !connection.is_closed());
    }

    fn handle(&mut self, from: usize, message: ToShim, now: Now) {
        match message {
            ToShim::Start(start) => self.on_start(from, *start),
            ToShim::Stop(stop) => match &mut self.running {
                Some(running) if running.id() == stop.id => {
                    running.stop(&self.parts.tree, stop.signal, stop.grace_ms, now);
                }
                _ => self.withdraw(from, stop.id),
            },
            ToShim::Pause(id) => match &mut self.running {
                Some(running) if running.id() == id => running.pause(),
                _ => self.withdraw(from, id),
            },
            ToShim::Unpause(id) => match &mut self.running {
                Some(running) if running.id() == id => running.resume(&self.parts.tree, now),
                _ => self.connections[from].send(&FromShim::Unpaused(id)),
            },
            ToShim::Signal(id, signal) => {
                let errno = match &mut self.running {
                    Some(running) if running.id() == id => running.signal(signal),
                    _ => Some(rustix::io::Errno::SRCH.raw_os_error()),
                };
                self.broadcast(&FromShim::SignalSent(id, signal, errno));
            }
            ToShim::Query => {}
            ToShim::Forget(id) => self.book.forget(id),
            ToShim::Exit => {
                self.parts.bound.iter_mut().for_each(Bound::see_off);
                if self.may_exit() {
                    self.is_exiting = true;
                    return;
                }
                let state = FromShim::State(self.holdings());
                self.connections[from].send(&state);
            }
            ToShim::Sync => {
                let synced = self.parts.journal.sync();
                let errno = synced.err().map(|error| error.raw_os_error().unwrap_or(0));
                self.connections[from].send(&FromShim::Synced(errno));
            }
            ToShim::Attach(id) => self.on_attach(from, id),
            ToShim::View(id, request) => self.on_view(from, id, request, now),
            ToShim::Input(_, bytes) => {
                let connection = &mut self.connections[from];
                if !connection.viewer.as_mut().is_some_and(|viewer| viewer.typed(&bytes)) {
                    connection.close();
                }
            }
            ToShim::Resize(_, size) => {
                self.connections[from].viewer.iter_mut().for_each(|viewer| viewer.resized(size));
            }
            ToShim::InputEnd(_) => {
                self.connections[from].viewer.iter_mut().for_each(Viewer::at_end);
            }
        }
    }

    fn on_start(&mut self, from: usize, start: Start) {
        let id = start.id;
        if let Some(running) = self.running.as_ref().filter(|running| running.id() == id) {
            match running.holding() {
                Holding::Running(process) | Holding::Paused(process, _) => {
                    self.connections[from].send(&FromShim::Started(id, process));
                }
                Holding::Held | Holding::Claimed | Holding::Ended(_) => {}
            }
            return;
        }
        // What begins at once is not announced as waiting.
        let is_next = self.is_idle() && !start.attached;
        match self.book.start(start, self.running.is_some()) {
            Answer::Held if is_next => {}
            answer => self.answer(from, id, answer),
        }
    }

    /// Gives back what has not begun.
    fn withdraw(&mut self, from: usize, id: AttemptId) {
        self.attachments.remove(&id);
        let answer = self.book.stop(id);
        self.answer(from, id, answer);
    }

    fn answer(&mut self, to: usize, id: AttemptId, answer: Answer) {
        match answer {
            Answer::Held => self.connections[to].send(&FromShim::Held(id)),
            Answer::Ended(end) => self.connections[to].send(&FromShim::Ended(id, end)),
            Answer::Refused { is_news } => {
                if is_news {
                    self.parts.journal.record(&Entry::Refused(id));
                }
                self.broadcast(&FromShim::Withdrawn(id));
            }
        }
    }

    fn on_attach(&mut self, from: usize, id: AttemptId) {
        let stdin = self.connections[from].take_passed();
        self.connections[from].role = Role::Client(id);
        let holding = self.holdings().into_iter().find(|(held, _)| *held == id);
        let news = match holding.map(|(_, holding)| holding) {
            Some(Holding::Running(process) | Holding::Paused(process, _)) => {
                Some(FromShim::Started(id, process))
            }
            Some(Holding::Ended(end)) => Some(FromShim::Ended(id, end)),
            Some(Holding::Claimed) => None,
            // It may come before its start.
            Some(Holding::Held) | None => {
                if self.attachments.len() < ATTACHMENTS_MAX {
                    self.attachments.insert(id, stdin);
                }
                Some(FromShim::Held(id))
            }
        };
        if let Some(news) = news {
            self.connections[from].send(&news);
        }
    }

    fn on_view(&mut self, from: usize, id: AttemptId, request: ViewerRequest, now: Now) {
        let is_held = self.book.held().any(|held| held == id);
        let connection = &mut self.connections[from];
        match &mut connection.viewer {
            Some(viewer) => viewer.renew(request),
            none => *none = Some(Viewer::new(request)),
        }
        match self.running.as_mut().filter(|running| running.id() == id) {
            Some(running) => {
                connection.role = Role::Client(id);
                viewers::welcome(running, connection, now);
            }
            None if request.awaits_start || self.book.ended().contains_key(&id) => {
                self.on_attach(from, id);
            }
            None => {
                connection.role = Role::Client(id);
                let known = if is_held { FromShim::Held(id) } else { FromShim::Withdrawn(id) };
                connection.send(&known);
            }
        }
    }

    fn holdings(&self) -> Vec<(AttemptId, Holding)> {
        let running = self.running.iter().map(|running| (running.id(), running.holding()));
        let held = self.book.held().map(|id| (id, Holding::Held));
        let ended = self.book.ended().iter().map(|(id, end)| (*id, Holding::Ended(end.clone())));
        running.chain(held).chain(ended).collect()
    }

    fn broadcast(&mut self, message: &FromShim) {
        for connection in &mut self.connections {
            connection.send(message);
        }
    }

    fn advance(&mut self, now: Now) {
        let Some(running) = &mut self.running else { return };
        let id = running.id();
        running.recorder.copy(now);
        let end = running.advance(&self.parts.tree, &self.watcher, now);
        let pause_news = running.take_pause_news();
        let missing = running.recorder.take_missing();
        if !pause_news.is_empty() {
            // Its start comes first.
            self.tell_news();
        }
        for news in pause_news {
            if let FromShim::Paused(_, PausedBy::Signal) = news {
                let members = self.parts.tree.identities();
                self.parts.journal.record(&Entry::Stopped(id, members));
            }
            self.broadcast(&news);
        }
        for missing in missing {
            self.broadcast(&FromShim::OutputMissing(id, missing.bytes, missing.reason));
        }
        if let Some(end) = end {
            if let Some(mut running) = self.running.take() {
                viewers::finish(&mut running, &mut self.connections, now);
            }
            self.finish(id, end);
        }
    }

    /// The exit record first, then the news.
    fn finish(&mut self, id: AttemptId, end: AttemptEnd) {
        self.parts.journal.record(&Entry::Ended(id, end.clone()));
        self.parts.tree.release();
        self.book.end(id, end.clone());
        if let Some((_, news)) = self.news.take() {
            for connection in &mut self.connections {
                connection.append(&news);
            }
        }
        self.broadcast(&FromShim::Ended(id, end));
    }

    /// Begins what is held, once nothing of the attempt before lives.
    fn start_next(&mut self, now: Now) {
        while self.running.is_none() {
            let Some(first) = self.book.first() else { return };
            let id = first.id;
            if !self.parts.tree.is_empty() || (first.attached && self.awaits_client(id, now)) {
                return;
            }
            let now_ms = now.boottime_ms;
            if self.book.first().is_some_and(|first| self.passed.awaits(first, now_ms)) {
                return;
            }
            let Some(start) = self.book.take_first() else { return };
            self.attach_since_ms = None;
            self.parts.tree.renew();
            self.shorten_journal();
            let stdin = self.attachments.remove(&id).flatten();
            let ground = Ground {
                tree: &mut self.parts.tree,
                journal: &mut self.parts.journal,
                hello: &self.parts.hello,
                watcher: &self.watcher,
                passed: &self.passed,
                stdin: stdin.as_ref().map_or(self.null.as_fd(), OwnedFd::as_fd),
            };
            match Running::begin(start, ground) {
                Ok(running) => {
                    let running = self.running.insert(running);
                    viewers::begun(running, &mut self.connections, now);
                }
                Err(end) => self.finish(id, *end),
            }
        }
    }

    /// Keeps who it is, and the ends that are not in the log yet.
    fn shorten_journal(&mut self) {
        if self.parts.journal.is_long() {
            let opened = Entry::Opened(self.parts.opened.clone());
            let ended = self.book.ended().iter();
            let ended = ended.map(|(id, end)| Entry::Ended(*id, end.clone()));
            let kept: Vec<Entry> = std::iter::once(opened).chain(ended).collect();
            let path = self.parts.args.dir.join(journal::FILE);
            // On a full disk the old one goes on.
            self.parts.journal.restart(&path, &kept).ok();
        }
    }

    fn awaits_client(&mut self, id: AttemptId, now: Now) -> bool {
        if self.attachments.contains_key(&id) {
            return false;
        }
        let since_ms = match self.attach_since_ms {
            Some((waiting, since_ms)) if waiting == id => since_ms,
            _ => now.boottime_ms,
        };
        self.attach_since_ms = Some((id, since_ms));
        now.boottime_ms < since_ms + limits::ATTACH_WAIT_MS
    }

    /// Nothing is held; of a bound one no stray lives either, which would outlive it.
    fn may_exit(&self) -> bool {
        self.is_idle() && (self.parts.bound.is_none() || self.parts.tree.is_empty())
    }

    fn is_idle(&self) -> bool {
        self.running.is_none() && self.book.holds_nothing()
    }

    /// What an idle shim does: keep its journal short, and end when it has been left.
    fn settle(&mut self, now: Now) {
        self.parts.journal.flush().ok();
        let running = self.running.as_ref().map(|running| running.id().run);
        let is_here = |run| running == Some(run) || self.book.has_any_of(run);
        self.passed.settle(self.book.held().next(), is_here);
        if !self.is_idle() {
            self.idle_since_ms = None;
            return;
        }
        self.attach_since_ms = None;
        self.shorten_journal();
        if self.connections.iter().any(|connection| connection.role == Role::Daemon) {
            self.idle_since_ms = None;
            return;
        }
        let since_ms = *self.idle_since_ms.get_or_insert(now.boottime_ms);
        if now.boottime_ms >= since_ms.saturating_add(self.parts.args.idle_exit_ms) {
            self.is_exiting = true;
        }
    }

    fn deadline(&self) -> Option<u64> {
        let idle = self.idle_since_ms.map(|at| at.saturating_add(self.parts.args.idle_exit_ms));
        let attach = self.attach_since_ms.map(|(_, at)| at + limits::ATTACH_WAIT_MS);
        let running = self.running.as_ref().and_then(Running::deadline);
        let leaving = self.parts.bound.as_ref().and_then(Bound::deadline);
        let ports = self.passed.deadline();
        // A stray that was left alone ends without a word to us where it is in no leaf.
        [idle, attach, running, leaving, ports].into_iter().flatten().min()
    }
}
