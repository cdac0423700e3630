//! Kinds of records and their versions. A number is given once and never again.
//!
//! To add an event or a version of one: docs/log-format.md, "Adding an event or a version".

mod bytes;
pub mod v1;
pub mod v2;

pub use self::bytes::Bytes;

/// One line of the table of kinds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KindLine {
    /// The number in a record's label.
    pub number: u16,
    /// The word of `jr events`.
    pub name: &'static str,
    /// Versions that this jr reads; the last is the one that it writes. None: reserved.
    pub versions: &'static [u16],
}

const fn line(number: u16, name: &'static str, versions: &'static [u16]) -> KindLine {
    KindLine { number, name, versions }
}

/// All kinds, reserved ones too, by number. The same table stands in docs/log-format.md.
pub const KINDS: [KindLine; 45] = [
    line(1, "environment_created", &[1]),
    line(2, "config_resolved", &[1]),
    line(3, "daemon_started", &[1]),
    line(4, "daemon_stopped", &[1]),
    line(5, "recovery_finished", &[1]),
    line(6, "clock_jumped", &[1]),
    line(7, "run_admitted", &[1, 2]),
    line(8, "run_rejected", &[]),
    line(9, "attempt_intended", &[1]),
    line(10, "attempt_started", &[1]),
    line(11, "attempt_ended", &[1]),
    line(12, "run_ended", &[1]),
    line(13, "stop_requested", &[1]),
    line(14, "signal_sent", &[1]),
    line(15, "run_paused", &[1]),
    line(16, "run_unpaused", &[1]),
    line(17, "run_slept", &[]),
    line(18, "run_woken", &[]),
    line(19, "restart_scheduled", &[1]),
    line(20, "port_assigned", &[1]),
    line(21, "port_released", &[1]),
    line(22, "service_wanted", &[1]),
    line(23, "service_unwanted", &[1]),
    line(24, "health_changed", &[1]),
    line(25, "bundle_published", &[]),
    line(26, "bundle_withdrawn", &[]),
    line(27, "image_registered", &[]),
    line(28, "image_deleted", &[]),
    line(29, "tests_recorded", &[]),
    line(30, "output_lost", &[1]),
    line(31, "signal_requested", &[1]),
    line(32, "queue_set", &[1]),
    line(33, "run_queued", &[1, 2]),
    line(34, "pause_requested", &[1]),
    line(35, "unpause_requested", &[1]),
    line(36, "queue_paused", &[1, 2]),
    line(37, "queue_unpaused", &[1, 2]),
    line(38, "prune_requested", &[1]),
    line(39, "runs_pruned", &[1]),
    line(40, "run_pinned", &[1]),
    line(41, "config_rejected", &[1]),
    line(42, "service_declared", &[1, 2]),
    line(43, "service_forgotten", &[1]),
    line(44, "port_conflict", &[1]),
    line(45, "restart_requested", &[1]),
];

/// The line of a kind number.
pub fn kind(number: u16) -> Option<&'static KindLine> {
    KINDS.get(usize::from(number).checked_sub(1)?)
}

/// Whether this jr can read records with that label.
pub fn is_known(number: u16, version: u16) -> bool {
    kind(number).is_some_and(|line| line.versions.contains(&version))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_dense_and_names_are_unique() {
        for (place, line) in KINDS.iter().enumerate() {
            assert_eq!(usize::from(line.number), place + 1);
            assert_eq!(kind(line.number), Some(line));
            assert_eq!(KINDS.iter().filter(|other| other.name == line.name).count(), 1);
        }
        assert_eq!((kind(0), kind(46)), (None, None));
        assert!(
            is_known(7, 1)
                && is_known(7, 2)
                && !is_known(7, 3)
                && !is_known(8, 1)
                && !is_known(0, 1)
        );
    }
}
