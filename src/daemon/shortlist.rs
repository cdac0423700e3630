//! The shortlist of an environment: what shells are offered most, in a file beside its views.
//!
//! A daemon writes it when it has had nothing to do for a moment, and when it ends; whoever
//! completes a word reads it without a daemon, a lock or a database. It is no ground for anything
//! else: clocks may lie about which file is newer, and then what a shell offers is a moment old.
//!
//! | jr dies | then |
//! |---|---|
//! | before it is written, or while it is | the log is newer: views or daemon are asked |
//! | after that | it has all that the log has |

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::place::Place;
use crate::log::segments;
use crate::model::BootId;
use crate::projections::Views;
use crate::projections::candidates::shortlist;
use crate::projections::query::CandidatesQuery;
use crate::projections::view::{CandidateView, List};
use crate::runners::linux::clock;
use crate::sys::regular;

/// A list that is newer than the log by this has all of it: it is written when nothing was appended
/// for a second (`limits::VIEWS_IDLE_MS`), or at the end.
const NEWER: Duration = Duration::from_millis(500);
/// By how much a daemon that ends in good order makes its list newer than its log.
const AHEAD: Duration = Duration::from_secs(2);

/// Writes down what there is to offer. Where that fails, shells are slower, no more.
pub fn write(place: &Place, boot: BootId, views: &Views) {
    let text = shortlist::write(views, boot);
    if text.is_ok_and(|text| replace(&place.shortlist(), &text).is_ok()) {
        return;
    }
    forget(place);
}

fn replace(path: &Path, text: &str) -> io::Result<()> {
    let fresh = path.with_extension("new");
    let mut options = File::options();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(&fresh);
    file?.write_all(text.as_bytes())?;
    fs::rename(&fresh, path)
}

/// Lets nobody read it: from now on it is behind the log at any time.
pub fn forget(place: &Place) {
    let _none = fs::remove_file(place.shortlist());
}

/// Makes it newer than the log, which is written to once more when it is closed.
pub fn complete(place: &Place) {
    let now = Duration::from_millis(clock::now().wall.0.unsigned_abs());
    let times = fs::FileTimes::new().set_modified(SystemTime::UNIX_EPOCH + now + AHEAD);
    let mut options = File::options();
    let file = regular::open_with(options.write(true), &place.shortlist());
    let _slower = file.and_then(|file| file.set_times(times));
}

/// What it answers; `None` where it knows too little, or may.
pub fn ask(place: &Place, query: &CandidatesQuery) -> Option<List<CandidateView>> {
    let mut file = regular::open(&place.shortlist()).ok()?;
    let written = file.metadata().ok()?.modified().ok()?;
    let (_, hot) = segments::list(&place.log()).ok()?.pop()?;
    let appended = hot.metadata().ok()?.modified().ok()?;
    if appended + NEWER > written {
        return None;
    }
    let mut text = String::new();
    file.read_to_string(&mut text).ok()?;
    shortlist::answer(&text, clock::boot_id().ok()?, query)
}
