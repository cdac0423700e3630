//! The log, how much of it was verified, and the views beside it.

use crate::daemon::blobs::BlobFacts;
use crate::daemon::doctor::facts::Facts;
use crate::daemon::doctor::facts::log::{LogFacts, Source, Trouble, TroubleKind, ViewsFacts};
use crate::daemon::doctor::finding::{Finding, bytes, count, move_away, quoted, take_over};

/// Whether it can be read.
pub(super) fn log(facts: &Facts) -> Vec<Finding> {
    let Some(log) = facts.log.known() else { return Vec::new() };
    if let Some(trouble) = &log.trouble {
        return vec![troubled(facts, log, trouble)];
    }
    let finding = match log.source {
        Source::Absent => Finding::info("log", "nothing was recorded yet"),
        Source::Held => {
            let message =
                "whoever holds the environment does not answer, so the log was left alone";
            Finding::info("log", message)
        }
        Source::Daemon => Finding::ok("log", format!("the daemon is at record {}", log.head)),
        Source::Files => {
            let message = format!(
                "records {} to {} in {}, {}",
                log.first_seq,
                log.head,
                count(log.segments, "file"),
                bytes(log.file_bytes)
            );
            Finding::ok("log", message)
        }
    };
    let finding = finding.with("head", log.head).with("segments", log.segments);
    vec![finding.with("file_bytes", log.file_bytes).with("kept_from", log.kept_from)]
}

fn troubled(facts: &Facts, log: &LogFacts, trouble: &Trouble) -> Finding {
    let message = trouble.message.clone();
    let root = facts.place.known().map(|place| place.root.path.clone());
    let finding = match trouble.kind {
        TroubleKind::Damaged => {
            let message = format!("{message}. Nothing is written to it; keep a copy first");
            let fix = root.map(|root| {
                let copy = quoted(&format!("{root}.copy"));
                format!("cp -a {} {copy} && {} log verify", quoted(&root), facts.jr())
            });
            Finding::error("log", message).fix_if(fix)
        }
        TroubleKind::Newer => {
            Finding::error("log", format!("{message}; use the newer jr that wrote it"))
        }
        TroubleKind::Gone => {
            let fix = root.as_deref().map(move_away);
            let message = format!("{message}: put it back from a copy, or move both away");
            Finding::error("log", message).fix_if(fix)
        }
        TroubleKind::System if log.source == Source::Daemon => {
            let message = format!("the daemon was asked: {message}");
            Finding::warning("log", message).fix(format!("{} daemon status", facts.jr()))
        }
        TroubleKind::System => {
            let fix = trouble.no_file.as_deref().map(move_away);
            let fix = fix.or_else(|| root.map(|root| take_over(&format!("{root}/log"))));
            Finding::error("log", message).fix_if(fix)
        }
    };
    finding.with("seq", trouble.seq)
}

/// How far digests and chain were checked.
pub(super) fn chain(facts: &Facts) -> Vec<Finding> {
    let Some(log) = facts.log.known().filter(|log| log.trouble.is_none()) else {
        return Vec::new();
    };
    let jr = facts.jr();
    let finding = match (log.source, log.verified_from) {
        (Source::Absent | Source::Held, _) => return Vec::new(),
        (Source::Daemon, None) => {
            let message = "the daemon verified the newest records when it started";
            Finding::ok("log_chain", message)
        }
        // An empty newest segment, or an empty log.
        (Source::Files, None) => Finding::ok("log_chain", "the newest file has no record yet"),
        (_, Some(from)) if from <= log.first_seq => {
            let pages = if log.pages_verified { ", pages too" } else { "" };
            Finding::ok("log_chain", format!("all records verified, up to {}{pages}", log.head))
        }
        (_, Some(from)) => {
            let message =
                format!("records {from} to {} verified; the older ones were not", log.head);
            Finding::info("log_chain", message).fix(format!("{jr} log verify"))
        }
    };
    vec![finding.with("verified_from", log.verified_from).with("head", log.head)]
}

/// What records name by digest.
pub(super) fn blobs(facts: &Facts) -> Vec<Finding> {
    let Some(log) = facts.log.known().filter(|log| log.blobs.named > 0) else { return Vec::new() };
    let BlobFacts { named, lost, items } = &log.blobs;
    let finding = if *lost == 0 {
        Finding::ok("blobs", format!("{} that records name are there", many(*named, "blob")))
    } else {
        let message = format!(
            "{lost} of {} that records name are lost ({}): runs with them can be read, and not be \
             started again; put blobs/ back from a copy",
            many(*named, "blob"),
            items.first().map_or("", String::as_str)
        );
        Finding::warning("blobs", message).fix(format!("{} log verify", facts.jr()))
    };
    vec![finding.with("named", *named).with("lost", *lost).with("items", items.clone())]
}

fn many(number: u64, one: &str) -> String {
    count(usize::try_from(number).unwrap_or(usize::MAX), one)
}

/// The views can be made anew at any time: none of this is a loss.
pub(super) fn views(facts: &Facts) -> Vec<Finding> {
    let Some(log) = facts.log.known() else { return Vec::new() };
    let rebuild = format!("{} log rebuild", facts.jr());
    let finding = match &log.views {
        ViewsFacts::Unseen => return Vec::new(),
        ViewsFacts::Missing if log.head == 0 => return Vec::new(),
        ViewsFacts::Missing => {
            Finding::info("views", "no views yet; every reading folds the log").fix(rebuild)
        }
        ViewsFacts::Damaged(why) => {
            let message = format!("{why}; the log has everything, so they can be made anew");
            Finding::warning("views", message).fix(rebuild)
        }
        ViewsFacts::Stamp { is_current: false, .. } => {
            Finding::info("views", "another version of jr made the views; they are made anew")
                .fix(rebuild)
        }
        ViewsFacts::Stamp { is_of_this_boot: false, .. } => {
            let message = "the views are from before the machine restarted; they are made anew";
            Finding::info("views", message).fix(rebuild)
        }
        // Without the log there is nothing to compare with.
        ViewsFacts::Stamp { applied, .. } if log.trouble.is_some() => {
            Finding::info("views", format!("the views have record {applied}"))
        }
        ViewsFacts::Stamp { applied, .. } if *applied > log.head => {
            let message =
                format!("the views have record {applied}, and the log ends at {}", log.head);
            Finding::error("views", message).fix(format!("{} log verify", facts.jr()))
        }
        ViewsFacts::Stamp { applied, .. } if *applied < log.head => {
            let behind = log.head - applied;
            let message =
                format!("the views are {behind} records behind; a reading folds them in memory");
            Finding::info("views", message).fix(rebuild)
        }
        ViewsFacts::Stamp { applied, .. } => {
            Finding::ok("views", format!("the views have all, up to record {applied}"))
        }
    };
    vec![finding]
}

#[cfg(test)]
mod tests {
    use super::super::sound::{facts, is, known, only};
    use super::*;

    fn with(change: impl Fn(&mut LogFacts)) -> Facts {
        let mut facts = facts();
        change(known(&mut facts.log));
        facts
    }

    #[test]
    fn each_trouble_has_its_way_out() {
        let of = |kind, source| {
            let message = "x".to_owned();
            let trouble = Trouble { kind, message, seq: Some(4), no_file: None };
            only(&log(&with(|log| {
                log.trouble = Some(trouble.clone());
                log.source = source;
            })))
        };
        let copy = "cp -a /h/envs/local /h/envs/local.copy && jr log verify";
        assert_eq!(of(TroubleKind::Damaged, Source::Files), is("log", "error", Some(copy)));
        assert_eq!(of(TroubleKind::Newer, Source::Files), is("log", "error", None));
        let aside = "mv /h/envs/local /h/envs/local.aside";
        assert_eq!(of(TroubleKind::Gone, Source::Files), is("log", "error", Some(aside)));
        let fix = of(TroubleKind::System, Source::Files).2.expect("a fix");
        assert!(fix.ends_with("chmod -R u+rwX,go= /h/envs/local/log"), "{fix}");
        let status = Some("jr daemon status");
        assert_eq!(of(TroubleKind::System, Source::Daemon), is("log", "warning", status));
    }

    #[test]
    fn a_log_that_is_not_there_or_held_is_no_problem() {
        for source in [Source::Absent, Source::Held] {
            let facts = with(|log| log.source = source);
            assert_eq!(only(&log(&facts)), is("log", "info", None));
            assert!(chain(&facts).is_empty());
        }
    }

    #[test]
    fn what_was_not_verified_is_told_with_the_command_that_does_it() {
        assert_eq!(only(&chain(&facts())), is("log_chain", "ok", None));
        let part = with(|log| log.verified_from = Some(5));
        assert_eq!(only(&chain(&part)), is("log_chain", "info", Some("jr log verify")));
        let daemon = with(|log| {
            log.source = Source::Daemon;
            log.verified_from = None;
        });
        assert_eq!(only(&chain(&daemon)), is("log_chain", "ok", None));
        let mut other = part;
        other.environment = "ci".to_owned();
        assert_eq!(only(&chain(&other)).2.as_deref(), Some("jr -e ci log verify"));
    }

    #[test]
    fn blobs_that_are_lost_are_told() {
        let of = |lost| {
            let items = vec![format!("{} is missing", "ab".repeat(32))];
            let facts = with(|log| log.blobs = BlobFacts { named: 3, lost, items: items.clone() });
            only(&blobs(&facts))
        };
        assert_eq!(of(0), is("blobs", "ok", None));
        assert_eq!(of(2), is("blobs", "warning", Some("jr log verify")));
        assert_eq!(blobs(&facts()), []);
    }

    #[test]
    fn views_are_behind_or_broken_or_from_elsewhere_and_never_ahead() {
        let of = |views: ViewsFacts| only(&super::views(&with(|log| log.views = views.clone())));
        let stamp = |applied, is_current, is_of_this_boot| ViewsFacts::Stamp {
            applied,
            is_current,
            is_of_this_boot,
        };
        let rebuild = Some("jr log rebuild");
        assert_eq!(of(ViewsFacts::Missing), is("views", "info", rebuild));
        assert_eq!(of(ViewsFacts::Damaged("x".to_owned())), is("views", "warning", rebuild));
        assert_eq!(of(stamp(9, false, true)), is("views", "info", rebuild));
        assert_eq!(of(stamp(9, true, false)), is("views", "info", rebuild));
        assert_eq!(of(stamp(8, true, true)), is("views", "info", rebuild));
        assert_eq!(of(stamp(9, true, true)), is("views", "ok", None));
        assert_eq!(of(stamp(10, true, true)), is("views", "error", Some("jr log verify")));
    }
}
