//! Exit codes; docs/cli.md has the table for people.

use std::process::ExitCode;

use crate::projections::view::RunView;

/// All is well.
pub const OK: u8 = 0;
/// Something that was selected failed, or a general error.
pub const FAILED: u8 = 1;
/// Usage, an ambiguous selector, bad configuration.
pub const USAGE: u8 = 2;
/// No such run, or nothing runs.
pub const NOT_FOUND: u8 = 3;
/// There is nothing to do, where that is an error.
pub const NOTHING_TO_DO: u8 = 4;
/// No daemon answers, or a newer one does (sysexits `EX_UNAVAILABLE`).
pub const UNAVAILABLE: u8 = 69;
/// Busy, try again (sysexits `EX_TEMPFAIL`).
pub const BUSY: u8 = 75;
/// Not permitted (sysexits `EX_NOPERM`).
pub const NOT_PERMITTED: u8 = 77;
/// A time limit was reached, as timeout(1) says it.
pub const TIMED_OUT: u8 = 124;
/// jr could not start it, or nobody knows how it ended.
pub const NOT_STARTED: u8 = 125;
/// It is not executable.
pub const NOT_EXECUTABLE: u8 = 126;
/// There is no such program.
pub const NOT_A_COMMAND: u8 = 127;
/// A second Ctrl-C.
pub const INTERRUPTED: u8 = 130;
/// Nobody reads standard output any more, as a shell shows SIGPIPE.
pub const PIPE: u8 = 141;

/// SIGTERM, with which a stop begins.
const TERM: i32 = 15;

/// What a shell shows for a process that a signal ended.
pub fn of_signal(signal: i32) -> u8 {
    u8::try_from(128 + signal).unwrap_or(FAILED)
}

/// What `jr run` in the foreground and `jr wait ONE` end with.
pub fn of_run(run: &RunView) -> u8 {
    let by_signal = || of_signal(run.signal.unwrap_or(TERM));
    match run.outcome.as_deref() {
        // Its own, which `--ok` may have accepted.
        Some("succeeded") => {
            run.exit_code.map_or(OK, |code| u8::try_from(code & 0xff).unwrap_or(OK))
        }
        Some("failed") => match (run.exit_code, run.reason.as_deref()) {
            // Only the low byte reaches a parent; an exit code is never more.
            (Some(code), _) => u8::try_from(code & 0xff).unwrap_or(FAILED),
            (None, Some("not_found")) => NOT_A_COMMAND,
            (None, Some("not_executable")) => NOT_EXECUTABLE,
            (None, _) if run.kind == "batch" => FAILED,
            (None, _) => NOT_STARTED,
        },
        Some("signalled" | "stopped") => by_signal(),
        Some("lost" | "rejected") => NOT_STARTED,
        // What has not ended was not waited for to its end.
        Some("timed_out") | None => TIMED_OUT,
        Some(_) => FAILED,
    }
}

/// As main returns it.
pub fn code(number: u8) -> ExitCode {
    ExitCode::from(number)
}

#[cfg(test)]
mod tests {
    use super::super::render::tests::view;
    use super::*;

    #[test]
    fn a_run_ends_jr_as_its_command_would_have_ended() {
        let run = |outcome: &str, exit_code, signal, reason: Option<&str>| {
            let mut run = view("aaaaaaaaaaaa", "x");
            run.outcome = Some(outcome.to_owned());
            run.exit_code = exit_code;
            run.signal = signal;
            run.reason = reason.map(str::to_owned);
            of_run(&run)
        };
        assert_eq!(run("succeeded", Some(0), None, None), 0);
        assert_eq!(run("failed", Some(7), None, None), 7);
        assert_eq!(run("failed", None, None, Some("not_found")), 127);
        assert_eq!(run("failed", None, None, Some("not_executable")), 126);
        assert_eq!(run("failed", None, None, Some("spawn:E2BIG")), 125);
        assert_eq!(run("signalled", None, Some(9), None), 137);
        assert_eq!(run("stopped", None, Some(15), None), 143);
        assert_eq!(run("stopped", Some(0), None, None), 143);
        assert_eq!(run("timed_out", None, Some(15), None), 124);
        assert_eq!(run("lost", None, None, Some("shim_died")), 125);
        assert_eq!(run("cancelled", None, None, None), 1);
    }
}
