//! Keeps the configuration in force up to date: follows the files of the latest resolution, and
//! when they change puts what they say then in force, or tells why that cannot be.
//!
//! ```text
//! a client's command ──document──▶ blob ──Configure──▶ config_resolved
//!                                    │ follow
//! files change ─▶ quiet ─▶ load, resolve ─▶ blob ─▶ ConfigChanged ─▶ config_resolved
//!                                       └─────────▶ ConfigRefused ─▶ config_rejected
//! ```
//! Dead after any step: the blob alone is swept by a prune; files that changed meanwhile are read
//! by the next daemon when it starts.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::admission::Admission;
use super::mailbox::Mailbox;
use super::message::ToEngine;
use crate::config::document::{Document, Parts};
use crate::config::load::load;
use crate::config::locate::Search;
use crate::config::problem::Severity;
use crate::config::resolve::resolve;
use crate::config::select::select;
use crate::config::watch::Watch;
use crate::limits;
use crate::model::{Digest, Observation, Resolution};
use crate::projections::Policy;
use crate::runners::linux::clock;

/// To this thread.
#[derive(Debug)]
pub enum ToConfiguring {
    /// From now on what this one was made of.
    Follow(Box<Document>),
    /// Something happened to the files.
    Changed,
    /// The daemon ends.
    End,
}

/// What is in force, as far as others than the engine have to know.
#[derive(Clone, Debug, Default)]
pub struct InForce(Arc<Mutex<Known>>);

#[derive(Debug, Default)]
struct Known {
    /// What the latest command of this daemon put in force.
    told: Told,
    /// How much history is kept.
    retention: Option<Policy>,
    /// Whether interrupted work goes on by itself.
    resumes: bool,
}

/// What is known of what clients bring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Told {
    /// Files may have changed since.
    #[default]
    Unknown,
    /// That, or what jr brings along.
    Of(Option<Digest>),
}

impl InForce {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a client's configuration is known to be in force.
    pub fn is(&self, config: Option<Digest>) -> bool {
        self.known().told == Told::Of(config)
    }

    /// A client's configuration is in force.
    pub fn told(&self, config: Option<Digest>) {
        self.known().told = Told::Of(config);
    }

    /// How much history is kept.
    pub fn retention(&self) -> Option<Policy> {
        self.known().retention
    }

    /// Whether interrupted work goes on by itself.
    pub fn resumes(&self) -> bool {
        self.known().resumes
    }

    /// What a document says; nothing, where no file says anything.
    pub fn take(&self, document: Option<&Document>) {
        let value = |path: &str| document.and_then(|document| document.tree.values.pointer(path));
        let number = |path| value(path).and_then(serde_json::Value::as_u64);
        let days = number("/retention/keep_days").and_then(|days| u32::try_from(days).ok());
        let runs = number("/retention/keep_runs");
        let says = days.is_some() || runs.is_some();
        let mut known = self.known();
        known.retention = says.then_some(Policy { days, runs });
        known.resumes = document.is_some_and(resumes);
    }
}

/// Whether a document says that interrupted work goes on by itself.
pub(super) fn resumes(document: &Document) -> bool {
    let value = document.tree.values.get("resume_on_start");
    value.and_then(serde_json::Value::as_bool) == Some(true)
}

/// The thread.
pub struct Configuring {
    /// Where it is told.
    pub inbox: Mailbox<ToConfiguring>,
    /// Forgotten when files change.
    pub in_force: InForce,
    engine: Mailbox<ToEngine>,
    admission: Admission,
    /// A change is told once until it is looked at.
    is_told: Arc<AtomicBool>,
    watch: Option<Watch>,
    followed: Option<Document>,
}

impl Configuring {
    /// Follows nothing yet.
    pub fn new(engine: Mailbox<ToEngine>, admission: Admission) -> Self {
        let (inbox, is_told) = (Mailbox::new(), Arc::new(AtomicBool::new(false)));
        let in_force = InForce::default();
        Self { inbox, in_force, engine, admission, is_told, watch: None, followed: None }
    }

    /// Until the daemon ends.
    pub fn run(mut self) {
        loop {
            let mut changed = false;
            for message in self.inbox.take() {
                match message {
                    ToConfiguring::Follow(document) => self.follow(*document),
                    ToConfiguring::Changed => changed = true,
                    ToConfiguring::End => return,
                }
            }
            if changed && self.settle() {
                return;
            }
            if changed {
                self.look();
            }
        }
    }

    /// Waits until nobody writes any more, for a while at most; whether the daemon ends.
    fn settle(&mut self) -> bool {
        let began = clock::boottime_ms();
        while clock::boottime_ms() < began + limits::CONFIG_SETTLE_MS {
            // Before it is looked at: what happens from now on is told again.
            self.is_told.store(false, Ordering::Relaxed);
            let messages = self.inbox.take_within(Duration::from_millis(limits::CONFIG_QUIET_MS));
            if messages.is_empty() {
                return false;
            }
            for message in messages {
                match message {
                    ToConfiguring::Follow(document) => self.follow(*document),
                    ToConfiguring::Changed => {}
                    ToConfiguring::End => return true,
                }
            }
        }
        self.is_told.store(false, Ordering::Relaxed);
        false
    }

    fn follow(&mut self, document: Document) {
        if self.watch.is_none() {
            let (inbox, is_told) = (self.inbox.clone(), Arc::clone(&self.is_told));
            let watch = Watch::new(move || {
                if !is_told.swap(true, Ordering::Relaxed) {
                    inbox.post(ToConfiguring::Changed);
                }
            });
            // Without one, the next command brings what it finds.
            self.watch = watch.ok();
        }
        let search = Search::again(&document);
        self.watch_over(&search);
        self.in_force.take(Some(&document));
        self.followed = Some(document);
    }

    fn watch_over(&mut self, search: &Search) {
        if let Some(watch) = &mut self.watch {
            let files = search.locate().files.into_iter().map(|found| found.path);
            watch.follow(&search.directories(), &files.collect::<Vec<_>>());
        }
    }

    /// Reads everything anew.
    fn look(&mut self) {
        let Some(followed) = self.followed.clone() else { return };
        let search = Search::again(&followed);
        // Something may have come; what changes from now on is told again.
        self.watch_over(&search);
        let loaded = load(&search);
        let Ok(selection) = select(&loaded, Some(&followed.environment), None) else { return };
        let (resolved, problems) = resolve(&loaded, &selection);
        let mut all = loaded.problems.iter().chain(&problems);
        if let Some(bad) = all.find(|problem| problem.severity == Severity::Error) {
            let source = bad.place(&loaded.sources).unwrap_or_else(|| "configuration".to_owned());
            let reason = bad.message.clone();
            self.tell(Observation::ConfigRefused { source, reason });
            return;
        }
        if loaded.is_packaged_only() {
            // All files are gone, perhaps for a moment: what is looked at stays.
            self.in_force.take(None);
            self.tell(Observation::ConfigChanged { resolution: Arc::default() });
            return;
        }
        let document = Document::new(&Parts {
            loaded: &loaded,
            search: &search,
            resolved: &resolved,
            problems: &problems,
            path: Some(self.admission.root()),
        });
        // Also if it is as before: a rejection may have been told since.
        let stored = self.admission.store_configuration(&document.to_bytes());
        if let Ok(config) = stored {
            let resolution = Resolution { config: Some(config), ..document.resolution() };
            self.in_force.take(Some(&document));
            self.tell(Observation::ConfigChanged { resolution: Arc::new(resolution) });
        }
    }

    fn tell(&self, observation: Observation) {
        self.in_force.known().told = Told::Unknown;
        self.engine.post(ToEngine::Observed(vec![observation]));
    }
}
