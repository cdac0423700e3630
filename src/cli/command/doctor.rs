//! `jr doctor`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use super::Runnable;
use crate::cli::context::Context;
use crate::cli::error::CommandError;
use crate::cli::table::{Medium, Style};
use crate::cli::ui::Ui;
use crate::cli::{exit, repo, text};
use crate::daemon::doctor::{self, Depth, Finding, Severity};

/// Of writing to it.
const FITS: &str = "a String takes everything";
/// Below the options.
const HELP: &str = "\
Examples:
  jr doctor
  jr doctor -q          # only what is wrong
  jr doctor --deep      # with all records and pages of the log
  jr doctor --repo .    # is this directory ready?
  jr --json doctor | jq '.items[] | select(.severity == \"error\")'

Exit codes:
  0; 1 a check of severity error failed: warnings leave 0";

/// Check that all is as it should be, and tell how to mend what is not
///
/// It only looks: it changes no file, starts no daemon, sends no signal, and waits for nobody. Each
/// check stands by itself, so that it works with everything else broken.
#[derive(clap::Args, Debug)]
#[command(after_help = HELP)]
pub struct DoctorArgs {
    /// Verify all records and pages of the log, however long that takes
    #[arg(long)]
    deep: bool,
    /// Check a directory instead: its configuration, the programs it names, the ports it wants
    #[arg(long, value_name = "PATH", conflicts_with = "deep")]
    repo: Option<PathBuf>,
}

/// Of `--json`.
#[derive(serde::Serialize)]
struct Document<'a> {
    schema: &'static str,
    environment: Option<&'a str>,
    home: Option<String>,
    version: &'static str,
    ok: bool,
    items: &'a [Finding],
}

impl Runnable for DoctorArgs {
    const NAME: &'static str = NAME;

    fn run(self, context: &mut Context) -> Result<u8, CommandError> {
        if let Some(path) = &self.repo {
            return examine_repo(context, path);
        }
        let (_, mut findings) = doctor::examine(&context.place, Depth { whole_log: self.deep });
        findings.extend(repo::configuration(&context.configuration));
        let home = context.place.home.display().to_string();
        let id = context.place.id.to_string();
        Ok(print(&mut context.ui, Some((&id, home)), &findings))
    }
}

fn examine_repo(context: &mut Context, path: &Path) -> Result<u8, CommandError> {
    std::env::set_current_dir(path).map_err(|error| {
        CommandError::new("directory", exit::USAGE, format!("{}: {error}", path.display()))
    })?;
    let configuration = context.configuration.again()?;
    let findings = repo::examine(&configuration, &context.place);
    let id = configuration.selection().map(|chosen| chosen.id.to_string()).unwrap_or_default();
    let home = context.place.home.display().to_string();
    Ok(print(&mut context.ui, Some((&id, home)), &findings))
}

/// The word.
pub const NAME: &str = "doctor";

/// Where not even the place of the environment is known, which is a finding too; `None` if the
/// words of the command are to blame.
pub fn without_place(error: &CommandError, ui: &mut Ui) -> Option<u8> {
    let fix = match &*error.code {
        "place" => "export JR_HOME=\"$HOME\"/.local/state/jr",
        // The message begins with the name; one that was typed is a mistake of usage.
        "bad_config" | "several_defaults" | "environment_not_found" => "jr config check",
        "bad_environment" if error.message.starts_with(&own_environment()) => "unset JR_ENV",
        _ => return None,
    };
    let finding = Finding::error("environment", error.message.clone()).fix(fix);
    Some(print(ui, None, &[Finding { group: "environment", ..finding }]))
}

/// What `JR_ENV` says, as messages quote it.
fn own_environment() -> String {
    format!("{:?} ", std::env::var("JR_ENV").unwrap_or_default())
}

fn print(ui: &mut Ui, place: Option<(&str, String)>, findings: &[Finding]) -> u8 {
    let ok = findings.iter().all(|finding| finding.severity < Severity::Error);
    let (environment, home) = place.unzip();
    if ui.json {
        let (schema, version) = ("jr.doctor/1", env!("CARGO_PKG_VERSION"));
        ui.json(&Document { schema, environment, home, version, ok, items: findings });
    } else {
        let look = Look {
            medium: ui.medium(),
            letters: ui.is_utf8(),
            problems_only: ui.quiet,
            evidence: ui.verbose,
        };
        let report = report(findings, look);
        ui.data(&report);
        // Above the summary, which goes to another stream.
        if let Err(error) = ui.flush() {
            return error.exit;
        }
        ui.status(&summary(findings));
    }
    if ok { exit::OK } else { exit::FAILED }
}

/// How the report is to look.
#[derive(Clone, Copy, Debug)]
struct Look {
    medium: Medium,
    /// Letters beyond ASCII are understood.
    letters: bool,
    problems_only: bool,
    evidence: bool,
}

/// Group by group, a line each, with what to type below.
fn report(findings: &[Finding], look: Look) -> String {
    let mut out = String::new();
    let mut group = "";
    let color = look.medium.color;
    for finding in findings.iter().filter(|finding| !look.problems_only || finding.is_problem()) {
        if finding.group != group {
            group = finding.group;
            out.push_str(group);
            out.push('\n');
        }
        let (mark, style) = mark(finding.severity, look.letters);
        push_wrapped(&mut out, &style.paint(mark, color), &finding.message, look);
        if let Some(fix) = &finding.fix {
            // On one line, however long: it is there to be copied.
            let fix = text::line(fix);
            writeln!(out, "      {} {fix}", Style::Dim.paint("fix:", color)).expect(FITS);
        }
        if look.evidence {
            let of = |name: &str, value: String| format!("{name}: {value}");
            let check = of("check", finding.check.to_string());
            let figures = finding.evidence.iter().map(|(name, value)| of(name, value.to_string()));
            for line in std::iter::once(check).chain(figures) {
                let line = Style::Dim.paint(&text::line(&line), color);
                writeln!(out, "      {line}").expect(FITS);
            }
        }
    }
    out
}

/// The mark, and the message in as many lines as the terminal needs.
fn push_wrapped(out: &mut String, mark: &str, message: &str, look: Look) {
    let message = text::line(message);
    let columns = look.medium.width.map_or(usize::MAX, |width| width.saturating_sub(4).max(20));
    for (place, line) in text::wrap(&message, columns).into_iter().enumerate() {
        out.push_str("  ");
        out.push_str(if place == 0 { mark } else { " " });
        out.push(' ');
        out.push_str(line);
        out.push('\n');
    }
}

fn mark(severity: Severity, letters: bool) -> (&'static str, Style) {
    let (mark, plain, style) = match severity {
        Severity::Ok => ("✓", "+", Style::Good),
        Severity::Info => ("·", "-", Style::Dim),
        Severity::Warning => ("!", "!", Style::Busy),
        Severity::Error => ("✗", "x", Style::Bad),
    };
    (if letters { mark } else { plain }, style)
}

fn summary(findings: &[Finding]) -> String {
    let number = |severity| findings.iter().filter(|finding| finding.severity == severity).count();
    let (errors, warnings) = (number(Severity::Error), number(Severity::Warning));
    let many = |number: usize, word: &str| {
        let ending = if number == 1 { "" } else { "s" };
        format!("{number} {word}{ending}")
    };
    let checks = many(findings.len(), "finding");
    format!("{}, {} in {checks}", many(errors, "error"), many(warnings, "warning"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOK: Look = Look {
        medium: Medium { width: None, color: false },
        letters: true,
        problems_only: false,
        evidence: false,
    };

    fn findings() -> Vec<Finding> {
        let of = |group, finding: Finding| Finding { group, ..finding };
        vec![
            of("disk", Finding::ok("disk_space", "much room")),
            of("disk", Finding::warning("disk_kind", "a\u{1b}[2J disk").fix("mount x")),
            of("log", Finding::error("log", "damaged").with("seq", 4)),
            of("log", Finding::info("views", "behind")),
        ]
    }

    #[test]
    fn a_report_has_groups_marks_and_fixes_and_no_control_characters() {
        let text = "disk\n  ✓ much room\n  ! a\\x1b[2J disk\n      fix: mount x\n\
                    log\n  ✗ damaged\n  · behind\n";
        assert_eq!(report(&findings(), LOOK), text);
        assert_eq!(summary(&findings()), "1 error, 1 warning in 4 findings");
    }

    #[test]
    fn without_letters_and_quietly_it_is_still_readable() {
        let look = Look { letters: false, problems_only: true, evidence: true, ..LOOK };
        let text = "disk\n  ! a\\x1b[2J disk\n      fix: mount x\n      check: disk_kind\n\
                    log\n  x damaged\n      check: log\n      seq: 4\n";
        assert_eq!(report(&findings(), look), text);
    }

    #[test]
    fn long_messages_are_wrapped_and_fixes_are_not() {
        let long = "word ".repeat(20);
        let finding = Finding::error("x", long.trim()).fix("c ".repeat(40).trim());
        let look = Look { medium: Medium { width: Some(40), color: false }, ..LOOK };
        let text = report(&[finding], look);
        let (fixes, lines): (Vec<&str>, Vec<&str>) =
            text.lines().partition(|line| line.contains("fix:"));
        assert_eq!(fixes.len(), 1);
        assert!(lines.iter().all(|line| text::width(line) <= 40), "{text}");
    }
}
