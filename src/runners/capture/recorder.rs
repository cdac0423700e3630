//! Follows the two output files of a running attempt without touching what is written to them, or
//! writes them from pipes.
//!
//! A watch that stays armed slows the writer by half, so each watch fires once and is armed again
//! from a budget; above it the files are looked at in ticks. Bytes count against the budget too:
//! order matters among lines, and a flood of blocks is not held up by following each of them.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::inotify;

use super::StreamName;
use super::index::{Entry, IndexWriter};
use super::stream::{Missing, Stream};
use crate::model::event::{OutputEnd, OutputLossReason};
use crate::model::{Capture, Now};
use crate::runners::linux::packets::PacketPipes;

/// What watches armed again may cost in one second, before ticks take over: each costs one, and
/// another one for so many bytes that were written since the last.
const FOLLOW_COST_PER_SECOND: u64 = 2_000;
const FOLLOW_BYTES_PER_COST: u64 = 1 << 10;
/// Between two looks at a file above that budget.
const TICK_MS: u64 = 50;
/// A file that nothing watches and nobody writes to is looked at ever more seldom: each look costs
/// a wake, and there may be hundreds of such attempts. The longest wait is this many doublings.
const QUIET_DOUBLINGS: u32 = 3;
/// The same where the bound was exceeded in one tick.
const FLOOD_TICK_MS: u64 = 5;
/// The smallest hole worth making while it runs.
const SLACK_BYTES: u64 = 64 << 10;
/// Copied from pipes in one turn of the shim, which has others to listen to.
const TURN_BYTES: usize = 1 << 20;
/// What still lies in two pipes when nothing lives that could write more.
const REST_BYTES: usize = 4 << 20;
/// What lies in a pipe without news of it is left there for so long: news may be on their way.
const REST_MS: u64 = 2;
/// Gathered from one pipe before it is written.
const GATHER_BYTES: usize = 64 << 10;

/// The watch descriptor that all attempts of a shim share.
///
/// A user has few of them (`fs.inotify.max_user_instances` is 128): who gets none gets one that
/// takes no watch and never fires, and looks by the tick.
pub fn watcher() -> io::Result<OwnedFd> {
    let flags = inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK;
    inotify::init(flags).or_else(|_| {
        let flags = rustix::event::EventfdFlags::CLOEXEC | rustix::event::EventfdFlags::NONBLOCK;
        Ok(rustix::event::eventfd(0, flags)?)
    })
}

/// The output of one attempt.
#[derive(Debug)]
pub struct Recorder {
    streams: [Stream; 2],
    index: IndexWriter,
    /// With `Capture::Pipe`.
    pipes: Option<PacketPipes>,
    child_ends: Option<[OwnedFd; 2]>,
    bytes_max: u64,
    missing: Vec<Missing>,
    told: [bool; 4],
    told_pruned: u64,
    told_dropped: u64,
    window_ms: u64,
    /// Of [`FOLLOW_COST_PER_SECOND`], in this window.
    spent: u64,
    tick_at: Option<u64>,
    /// Looks by the tick in a row that found nothing new.
    quiet: u32,
    /// [`Self::total`] when it was followed last.
    followed: u64,
}

impl Recorder {
    /// Makes the files of `base`.
    pub fn create(base: &Path, bytes_max: u64, capture: Capture) -> io::Result<Self> {
        let (pipes, child_ends) = match capture {
            Capture::File => (None, None),
            Capture::Pipe => PacketPipes::new().map(|(pipes, ends)| (Some(pipes), Some(ends)))?,
        };
        let (stdout, lost) = Stream::create(&StreamName::Stdout.path(base))?;
        let (stderr, lost_too) = Stream::create(&StreamName::Stderr.path(base))?;
        let mut recorder = Self {
            streams: [stdout, stderr],
            index: IndexWriter::new(base),
            pipes,
            child_ends,
            bytes_max,
            missing: Vec::new(),
            told: [false; 4],
            told_pruned: 0,
            told_dropped: 0,
            window_ms: 0,
            spent: 0,
            tick_at: None,
            quiet: 0,
            followed: 0,
        };
        for missing in lost.into_iter().chain(lost_too) {
            recorder.tell_once(missing);
        }
        Ok(recorder)
    }

    /// stdout and stderr of the child.
    pub fn fds(&self) -> [BorrowedFd<'_>; 2] {
        match &self.child_ends {
            Some([stdout, stderr]) => [stdout.as_fd(), stderr.as_fd()],
            None => [self.streams[0].fd(), self.streams[1].fd()],
        }
    }

    /// The child has them now: a pipe is at its end when all its writers are gone.
    pub fn close_child_ends(&mut self) {
        self.child_ends = None;
    }

    /// Readable when there is something for [`Self::copy`].
    pub fn pipes(&self) -> Option<BorrowedFd<'_>> {
        self.pipes.as_ref().map(AsFd::as_fd)
    }

    /// Copies what was written to the pipes, if there are any.
    pub fn copy(&mut self, now: Now) {
        let Some(mut pipes) = self.pipes.take() else { return };
        if pipes.has_news() {
            self.copy_some(&mut pipes, TURN_BYTES, now);
            self.look(now);
            if pipes.has_news() {
                self.tick_at = Some(now.boottime_ms);
            } else if pipes.has_rest() {
                self.tick_at = Some(now.boottime_ms + REST_MS);
            }
        }
        self.pipes = Some(pipes);
    }

    /// In the order of the writes: what follows from one pipe goes to its file at once, with one
    /// entry of the index.
    fn copy_some(&mut self, pipes: &mut PacketPipes, bytes_max: usize, now: Now) {
        let mut gathered = vec![0; GATHER_BYTES + pipes.piece_bytes()];
        let (mut filled, mut from, mut copied) = (0, 0, 0);
        while copied < bytes_max {
            let Some((place, length)) = pipes.read(&mut gathered[filled..]) else { break };
            copied += length;
            if place == from {
                filled += length;
            } else {
                // The new piece lies behind what was gathered from the other pipe.
                self.append(from, &gathered[..filled], now);
                gathered.copy_within(filled..filled + length, 0);
                (filled, from) = (length, place);
            }
            if filled >= GATHER_BYTES {
                self.append(from, &gathered[..filled], now);
                filled = 0;
            }
        }
        self.append(from, &gathered[..filled], now);
    }

    fn append(&mut self, place: usize, bytes: &[u8], now: Now) {
        if bytes.is_empty() {
            return;
        }
        if let Some(missing) = self.streams[place].append(bytes)
            && self.tell_once(missing)
        {
            self.told_dropped = missing.bytes.unwrap_or(0);
        }
        self.index.note(self.entry(now), false);
        self.streams[place].prune(self.bytes_max, self.slack());
    }

    fn slack(&self) -> u64 {
        SLACK_BYTES.max(self.bytes_max / 8)
    }

    /// Writes what came another way than through [`Self::fds`]; what there is no room for is
    /// lost, and told.
    pub fn record(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            match rustix::io::write(self.streams[0].fd(), bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(rustix::io::Errno::INTR) => {}
                Err(_) => {
                    self.tell_once(Missing { bytes: None, reason: OutputLossReason::NoSpace });
                    return;
                }
            }
        }
    }

    /// Whether anything was written.
    pub fn has_recorded(&self) -> bool {
        rustix::fs::fstat(self.streams[0].fd()).is_ok_and(|stat| stat.st_size > 0)
    }

    /// Begins to follow.
    pub fn arm(&mut self, watcher: BorrowedFd<'_>, now: Now) {
        if self.pipes.is_some() {
            return;
        }
        for stream in &mut self.streams {
            stream.arm(watcher);
        }
        if !self.streams.iter().all(Stream::is_armed) {
            let wait_ms = TICK_MS << self.quiet.min(QUIET_DOUBLINGS);
            self.tick_at = Some(now.boottime_ms + wait_ms);
        }
    }

    /// Watches that have fired.
    pub fn on_events(&mut self, watcher: &OwnedFd, watches: &[i32], now: Now) {
        let mut fired = false;
        for watch in watches {
            for stream in &mut self.streams {
                fired |= stream.fired(*watch);
            }
        }
        if fired {
            self.look(now);
            self.follow(watcher, now);
        }
    }

    /// The time of [`Self::next_tick`] has come, or has not.
    pub fn on_time(&mut self, watcher: &OwnedFd, now: Now) {
        if self.tick_at.is_some_and(|at| at <= now.boottime_ms) {
            self.tick_at = None;
            if let Some(pipes) = &mut self.pipes {
                if !pipes.has_news() && pipes.has_rest() {
                    pipes.read_all();
                }
                return self.copy(now);
            }
            let before = self.total();
            self.look(now);
            self.quiet = if self.total() == before { self.quiet.saturating_add(1) } else { 0 };
            for place in 0..self.streams.len() {
                if let Some(missing) = self.streams[place].check_path() {
                    self.tell_once(missing);
                }
            }
            self.follow(watcher, now);
        }
    }

    /// When it wants to look again.
    pub fn next_tick(&self) -> Option<u64> {
        self.tick_at
    }

    /// What was lost and not told yet.
    pub fn take_missing(&mut self) -> Vec<Missing> {
        std::mem::take(&mut self.missing)
    }

    /// The last look, when nothing of the attempt lives.
    pub fn finish(&mut self, watcher: BorrowedFd<'_>, now: Now) -> OutputEnd {
        for stream in &mut self.streams {
            stream.disarm(watcher);
        }
        if let Some(mut pipes) = self.pipes.take() {
            self.copy_some(&mut pipes, REST_BYTES, now);
            pipes.read_all();
            self.copy_some(&mut pipes, REST_BYTES, now);
        }
        self.observe();
        for place in 0..self.streams.len() {
            self.streams[place].prune(self.bytes_max, 0);
            if let Some(missing) = self.streams[place].check_path() {
                self.tell_once(missing);
            }
        }
        let pruned = self.pruned();
        if pruned > self.told_pruned {
            let reason = OutputLossReason::OverLimit;
            self.missing.push(Missing { bytes: Some(pruned), reason });
        }
        let dropped: u64 = self.streams.iter().map(Stream::dropped).sum();
        if dropped > self.told_dropped {
            let is_full = self.told[place_of(OutputLossReason::NoSpace)];
            let reason =
                if is_full { OutputLossReason::NoSpace } else { OutputLossReason::FileGone };
            self.missing.push(Missing { bytes: Some(dropped), reason });
        }
        self.index.note(self.entry(now), true);
        let [stdout, stderr] = &self.streams;
        OutputEnd {
            stdout_bytes: stdout.written(),
            stderr_bytes: stderr.written(),
            stdout_digest: stdout.digest(),
            stderr_digest: stderr.digest(),
        }
    }

    fn look(&mut self, now: Now) {
        self.observe();
        let slack = self.slack();
        for stream in &mut self.streams {
            stream.prune(self.bytes_max, slack);
        }
        let pruned = self.pruned();
        if pruned > 0 {
            let reason = OutputLossReason::OverLimit;
            if self.tell_once(Missing { bytes: Some(pruned), reason }) {
                self.told_pruned = pruned;
            }
        }
        self.index.note(self.entry(now), false);
    }

    /// Looks at both files; true if one has changed.
    fn observe(&mut self) -> bool {
        let mut changed = false;
        for place in 0..self.streams.len() {
            let (grew, missing) = self.streams[place].observe();
            changed |= grew;
            if let Some(missing) = missing {
                self.tell_once(missing);
            }
        }
        changed
    }

    /// Arms again within the budget, else asks for a tick.
    fn follow(&mut self, watcher: &OwnedFd, now: Now) {
        if now.boottime_ms.saturating_sub(self.window_ms) >= 1_000 {
            self.window_ms = now.boottime_ms;
            self.spent = 0;
        }
        let mut grown = self.take_growth();
        while self.spent < FOLLOW_COST_PER_SECOND {
            self.spent += 1 + grown / FOLLOW_BYTES_PER_COST;
            self.arm(watcher.as_fd(), now);
            // What was written between the look and the arming raises no event.
            if !self.observe() {
                return;
            }
            self.look(now);
            grown = self.take_growth();
        }
        let is_flood = grown > self.bytes_max / 4;
        let wait_ms = if is_flood { FLOOD_TICK_MS } else { TICK_MS };
        self.tick_at = Some(now.boottime_ms + wait_ms);
    }

    /// Bytes written since the last call.
    fn take_growth(&mut self) -> u64 {
        let total = self.total();
        total.saturating_sub(std::mem::replace(&mut self.followed, total))
    }

    /// Bytes written to both files so far.
    fn total(&self) -> u64 {
        self.streams.iter().map(Stream::written).sum()
    }

    fn entry(&self, at: Now) -> Entry {
        Entry { at, lengths: [self.streams[0].length(), self.streams[1].length()] }
    }

    fn pruned(&self) -> u64 {
        self.streams.iter().map(Stream::pruned).sum()
    }

    /// Each kind of loss is told when it is first seen; true if it was.
    fn tell_once(&mut self, missing: Missing) -> bool {
        let is_news = !std::mem::replace(&mut self.told[place_of(missing.reason)], true);
        if is_news {
            self.missing.push(missing);
        }
        is_news
    }
}

fn place_of(reason: OutputLossReason) -> usize {
    match reason {
        OutputLossReason::FileGone => 0,
        OutputLossReason::NoSpace => 1,
        OutputLossReason::OverLimit => 2,
        OutputLossReason::Truncated => 3,
    }
}

/// The watches that have fired since the last call.
pub fn fired(watcher: &OwnedFd) -> Vec<i32> {
    let mut space = [MaybeUninit::uninit(); 1024];
    let mut reader = inotify::Reader::new(watcher, &mut space);
    let mut watches = Vec::new();
    while let Ok(event) = reader.next() {
        watches.push(event.wd());
    }
    watches
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::UnixMillis;
    use std::fs::File;
    use std::io::Write as _;

    /// Writes `piece` again and again, each time followed by what the shim does then, until it
    /// looks by the tick: how many writes were followed one by one.
    fn writes_followed(piece: &[u8], writes_max: usize) -> usize {
        let directory = tempfile::tempdir().expect("a directory");
        let base = directory.path().join("run.1");
        let mut recorder = Recorder::create(&base, u64::MAX, Capture::File).expect("files");
        let watcher = watcher().expect("a watcher");
        let now = Now { wall: UnixMillis(0), boottime_ms: 500 };
        recorder.arm(watcher.as_fd(), now);
        let mut child = File::from(recorder.fds()[0].try_clone_to_owned().expect("a descriptor"));
        (0..writes_max)
            .find(|_| {
                child.write_all(piece).expect("written");
                recorder.on_events(&watcher, &fired(&watcher), now);
                recorder.next_tick().is_some()
            })
            .unwrap_or(writes_max)
    }

    #[test]
    fn lines_are_followed_one_by_one_and_a_flood_of_blocks_is_not() {
        assert_eq!(writes_followed(b"a line\n", 1_500), 1_500);
        assert_eq!(writes_followed(&vec![b'x'; 1 << 16], 1_500), 31);
    }

    #[test]
    fn what_nobody_writes_to_is_looked_at_ever_more_seldom_where_nothing_can_be_watched() {
        let directory = tempfile::tempdir().expect("a directory");
        let base = directory.path().join("run.1");
        let mut recorder = Recorder::create(&base, u64::MAX, Capture::File).expect("files");
        let flags = rustix::event::EventfdFlags::CLOEXEC;
        let no_watcher = rustix::event::eventfd(0, flags).expect("an eventfd");
        let at = |boottime_ms: u64| Now { wall: UnixMillis(0), boottime_ms };
        let mut now_ms = 1_000;
        recorder.arm(no_watcher.as_fd(), at(now_ms));
        let mut waits = Vec::new();
        for look in 0..8 {
            if look == 6 {
                let path = StreamName::Stdout.path(&base);
                let file = std::fs::File::options().append(true).open(path);
                file.expect("there").write_all(b"news").expect("written");
            }
            let next_ms = recorder.next_tick().expect("it looks again");
            waits.push(next_ms - now_ms);
            now_ms = next_ms;
            recorder.on_time(&no_watcher, at(now_ms));
        }
        assert_eq!(waits, [50, 100, 200, 400, 400, 400, 400, 50]);
    }
}
