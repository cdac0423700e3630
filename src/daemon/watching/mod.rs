//! Follows the files that live services watch, on a thread of its own that is made with the first
//! of them, and tells the engine when what they hold has changed.
//!
//! ```text
//! engine ──Watch──▶ pool ──▶ Watching: the files as they are
//!    files change ─▶ bell ─▶ quiet ─▶ look ─▶ other contents? ──FilesChanged──▶ engine
//! engine ──Forget─▶ pool ──▶ taken anew; ──Start──▶ changes are kept ──Watch──▶ and told
//! ```
//! Between two attempts a change is told too, so that the next one does not wait: what made the
//! last one fail may be mended. What the attempt itself wrote before its end does not count. What
//! changes after a start and before it is known to run is told once it is.
//!
//! Dead after any step: the next daemon is told of the attempt again and takes the files as they
//! are then.

mod bell;
mod contents;
mod ground;
mod rules;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

use bell::Bell;
use contents::{Contents, print_of};
use ground::Ground;

use super::mailbox::Mailbox;
use super::message::ToEngine;
use crate::limits;
use crate::model::action::Watch;
use crate::model::id::ServiceName;
use crate::model::{ByteString, Observation, secret};
use crate::runners::linux::clock;
use crate::runners::protocol::AttemptId;

/// To the thread.
enum ToWatcher {
    Watch {
        service: ServiceName,
        attempt: AttemptId,
        roots: Vec<PathBuf>,
    },
    /// An attempt of it is about to begin.
    Starts(ServiceName),
    Forget(AttemptId),
    /// Something happened in a directory.
    Rung,
    End,
}

/// The way to that thread.
pub(super) struct Watching {
    apart: PathBuf,
    engine: Mailbox<ToEngine>,
    watcher: Option<(Mailbox<ToWatcher>, JoinHandle<()>)>,
}

impl Watching {
    /// Nothing is followed yet; what lies in `apart` never counts.
    pub(super) fn new(apart: &Path, engine: Mailbox<ToEngine>) -> Self {
        Self { apart: apart.to_owned(), engine, watcher: None }
    }

    /// An attempt runs; follows what its service watches.
    pub(super) fn watch(&mut self, watch: &Watch) {
        let path = |path: &ByteString| PathBuf::from(path.as_os_str());
        let roots: Vec<PathBuf> = watch.supervision.watch.iter().map(path).collect();
        let Some(role) = watch.spec.role.as_ref().filter(|_| !roots.is_empty()) else { return };
        let attempt = AttemptId { run: watch.run, attempt: watch.attempt };
        if self.watcher.is_none() {
            self.begin();
        }
        self.tell(ToWatcher::Watch { service: role.service.clone(), attempt, roots });
    }

    fn begin(&mut self) {
        let inbox = Mailbox::new();
        let watcher = Watcher {
            apart: self.apart.canonicalize().unwrap_or_else(|_| self.apart.clone()),
            engine: self.engine.clone(),
            inbox: inbox.clone(),
            services: BTreeMap::new(),
            bell: None,
            told: BTreeSet::new(),
        };
        let thread = std::thread::Builder::new().name("jr-watch".to_owned());
        match thread.spawn(move || watcher.run()) {
            Ok(thread) => self.watcher = Some((inbox, thread)),
            Err(error) => say(&format!("watched files are not followed: {error}")),
        }
    }

    /// What changes from now on may come too late for the attempt that is about to begin.
    pub(super) fn starts(&self, service: &ServiceName) {
        if self.watcher.is_some() {
            self.tell(ToWatcher::Starts(service.clone()));
        }
    }

    /// The attempt is over.
    pub(super) fn forget(&self, attempt: AttemptId) {
        self.tell(ToWatcher::Forget(attempt));
    }

    fn tell(&self, message: ToWatcher) {
        if let Some((inbox, _)) = &self.watcher {
            inbox.post(message);
        }
    }

    /// Follows nothing any more.
    pub(super) fn end(self) {
        if let Some((inbox, thread)) = self.watcher {
            inbox.post(ToWatcher::End);
            let _panicked = thread.join();
        }
    }
}

/// Whether a change concerns anybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// An attempt runs.
    Live,
    /// Between two attempts, or after the last.
    Between { since_ms: u64 },
    /// An attempt is about to run.
    Starting { since_ms: u64 },
}

/// A service whose files are followed.
struct Followed {
    roots: Vec<PathBuf>,
    live: BTreeSet<AttemptId>,
    standing: Standing,
    ground: Ground,
    contents: Contents,
    /// Where something happened that was not looked at yet, the first first.
    touched: Vec<PathBuf>,
    is_touched: bool,
}

/// The thread.
struct Watcher {
    apart: PathBuf,
    engine: Mailbox<ToEngine>,
    inbox: Mailbox<ToWatcher>,
    services: BTreeMap<ServiceName, Followed>,
    /// There while anything is followed.
    bell: Option<Bell>,
    /// What the daemon's log has already.
    told: BTreeSet<String>,
}

impl Watcher {
    /// Until the daemon ends.
    fn run(mut self) {
        loop {
            let is_kept = self.services.values().any(|service| service.standing != Standing::Live);
            let messages = if is_kept {
                self.inbox.take_within(Duration::from_millis(limits::WATCH_KEEP_MS))
            } else {
                self.inbox.take()
            };
            if self.obey_all(messages) || self.gather() {
                return;
            }
            self.look_at_touched();
            self.drop_idle();
        }
    }

    fn obey_all(&mut self, messages: Vec<ToWatcher>) -> bool {
        messages.into_iter().any(|message| self.obey(message))
    }

    /// Whether the daemon ends.
    fn obey(&mut self, message: ToWatcher) -> bool {
        match message {
            ToWatcher::Watch { service, attempt, roots } => self.watch(&service, attempt, roots),
            ToWatcher::Starts(service) => self.starts(&service),
            ToWatcher::Forget(attempt) => self.forget(attempt),
            ToWatcher::Rung => {}
            ToWatcher::End => return true,
        }
        false
    }

    fn watch(&mut self, service: &ServiceName, attempt: AttemptId, roots: Vec<PathBuf>) {
        self.sort_out();
        let mut live = BTreeSet::from([attempt]);
        if let Some(followed) = self.services.get_mut(service) {
            if followed.roots == roots {
                followed.live.insert(attempt);
                let before = std::mem::replace(&mut followed.standing, Standing::Live);
                if matches!(before, Standing::Between { .. }) {
                    self.look(service);
                }
                return;
            }
            live.append(&mut followed.live);
        }
        let (ground, contents) = (Ground::default(), Contents::default());
        let (touched, is_touched, standing) = (Vec::new(), false, Standing::Live);
        let followed = Followed { roots, live, standing, ground, contents, touched, is_touched };
        self.services.insert(service.clone(), followed);
        self.look(service);
    }

    fn starts(&mut self, service: &ServiceName) {
        self.sort_out();
        let Some(followed) = self.services.get_mut(service) else { return };
        if followed.live.is_empty() {
            followed.standing = Standing::Starting { since_ms: clock::boottime_ms() };
            if followed.is_touched {
                // It will read what is there now.
                self.look(service);
            }
        }
    }

    fn forget(&mut self, attempt: AttemptId) {
        self.sort_out();
        let since_ms = clock::boottime_ms();
        let mut written = Vec::new();
        for (service, followed) in &mut self.services {
            let was_last = followed.live.remove(&attempt) && followed.live.is_empty();
            if was_last {
                followed.standing = Standing::Between { since_ms };
                if followed.is_touched {
                    written.push(service.clone());
                }
            }
        }
        for service in written {
            self.look(&service);
        }
    }

    /// What the bell knows, to whom it concerns; whether it concerns anybody.
    fn sort_out(&mut self) -> bool {
        let Some(bell) = &mut self.bell else { return false };
        let rung = bell.take();
        let mut concerns = false;
        for followed in self.services.values_mut() {
            let places = rung.paths.iter().filter_map(|path| followed.ground.place(path));
            let room = limits::WATCHED_PATHS.saturating_sub(followed.touched.len());
            let before = followed.touched.len();
            followed.touched.extend(places.take(room));
            let is_touched = followed.touched.len() > before || room == 0 || rung.is_cut;
            followed.is_touched |= is_touched;
            concerns |= is_touched;
        }
        concerns
    }

    /// Waits until nobody changes anything any more, for a while at most; whether the daemon ends.
    fn gather(&mut self) -> bool {
        if !self.sort_out() && !self.services.values().any(Followed::is_due) {
            return false;
        }
        let began = clock::boottime_ms();
        let mut last = began;
        loop {
            let now = clock::boottime_ms();
            let until = (last + limits::WATCH_QUIET_MS).min(began + limits::WATCH_SETTLE_MS);
            if now >= until {
                return false;
            }
            let messages = self.inbox.take_within(Duration::from_millis(until - now));
            if self.obey_all(messages) {
                return true;
            }
            if self.sort_out() {
                last = clock::boottime_ms();
            }
        }
    }

    fn look_at_touched(&mut self) {
        let due = self.services.iter().filter(|(_, followed)| followed.is_due());
        let due: Vec<ServiceName> = due.map(|(service, _)| service.clone()).collect();
        for service in due {
            if let Some(path) = self.look(&service) {
                let path = shown(&path);
                self.engine
                    .post(ToEngine::Observed(vec![Observation::FilesChanged { service, path }]));
            }
        }
    }

    /// Takes what is there now; the first path where it differs from before.
    fn look(&mut self, service: &ServiceName) -> Option<PathBuf> {
        let mut failure = None;
        if self.bell.is_none() {
            let inbox = self.inbox.clone();
            match Bell::new(move || inbox.post(ToWatcher::Rung)) {
                Ok(bell) => self.bell = Some(bell),
                Err(error) => failure = Some(error.to_string()),
            }
        }
        let followed = self.services.get_mut(service)?;
        followed.is_touched = false;
        let touched = std::mem::take(&mut followed.touched);
        followed.ground = Ground::look(&followed.roots, &self.apart, |directory| {
            if let Some(bell) = &mut self.bell
                && let Err(error) = bell.follow(directory)
            {
                failure = Some(error.to_string());
            }
        });
        let now_ms = clock::now().wall.0;
        let changed = followed.contents.update(&followed.ground.files, now_ms, print_of);
        let is_cut = followed.ground.is_cut;
        self.keep_needed();
        if is_cut {
            let most = limits::WATCHED_FILES;
            self.say_once(&format!(
                "service {service} watches more than {most} files: the rest is not followed"
            ));
        }
        if let Some(failure) = failure {
            self.say_once(&format!(
                "not all that service {service} watches is followed: {failure}"
            ));
        }
        let first = touched.into_iter().find(|path| changed.contains(path));
        first.or_else(|| changed.into_iter().next())
    }

    fn keep_needed(&mut self) {
        let Some(bell) = &mut self.bell else { return };
        let needed = self.services.values().flat_map(|followed| followed.ground.followed.iter());
        bell.keep(&needed.cloned().collect());
    }

    /// What no attempt has come back to for a while is let go of, with the last the bell too.
    fn drop_idle(&mut self) {
        let now = clock::boottime_ms();
        let before = self.services.len();
        self.services.retain(|_, followed| match followed.standing {
            Standing::Live => true,
            Standing::Between { since_ms } | Standing::Starting { since_ms } => {
                now < since_ms + limits::WATCH_KEEP_MS
            }
        });
        if self.services.is_empty() {
            self.bell = None;
        } else if self.services.len() < before {
            self.keep_needed();
        }
    }

    fn say_once(&mut self, text: &str) {
        if self.told.len() < limits::WATCHED_PATHS && self.told.insert(text.to_owned()) {
            say(text);
        }
    }
}

impl Followed {
    /// Whether it is to be looked at: while an attempt is about to run, changes wait for it.
    fn is_due(&self) -> bool {
        self.is_touched && !matches!(self.standing, Standing::Starting { .. })
    }
}

/// To the daemon's log.
fn say(text: &str) {
    // Who cannot be told is not kept from the rest.
    writeln!(std::io::stderr(), "jr daemon: {text}").ok();
}

/// A path for people, on one line, without secrets. Of a long one the end tells more.
fn shown(path: &Path) -> String {
    const CUT: &str = "…";
    let text = secret::mask_line(ByteString::from(path.as_os_str().to_owned())).values.to_text();
    let escape = |letter: char| {
        if letter.is_control() { letter.escape_default().collect() } else { letter.to_string() }
    };
    let text: String = text.chars().map(escape).collect();
    if text.len() <= limits::WATCHED_PATH_BYTES {
        return text;
    }
    let least = text.len() - (limits::WATCHED_PATH_BYTES - CUT.len());
    let start = (least..=text.len()).find(|at| text.is_char_boundary(*at));
    format!("{CUT}{}", &text[start.unwrap_or(text.len())..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_shown_on_one_short_line() {
        assert_eq!(shown(Path::new("/p/src/main.rs")), "/p/src/main.rs");
        assert_eq!(shown(Path::new("/p/a\nb\u{1b}[31m\u{7f}")), "/p/a\\nb\\u{1b}[31m\\u{7f}");
        let long = format!("/p/{}/main.rs", "ü".repeat(150));
        let cut = shown(Path::new(&long));
        assert!(
            cut.len() <= limits::WATCHED_PATH_BYTES && cut.len() > limits::WATCHED_PATH_BYTES - 4
        );
        assert!(cut.starts_with("…ü") && cut.ends_with("ü/main.rs"), "{cut}");
    }
}
