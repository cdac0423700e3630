//! Runs the README's two-minute tour in one shell and compares what it shows.
//!
//! A `console` block holds `$ command` lines (`> ` goes on with one) and below each the lines that
//! it shows. `# exit N` at the end of a command is the status to expect, else 0. `…` stands for
//! any text, a line of only `…` for any line; lines in between may be missing from the README.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// A session hangs if it takes longer; seconds.
const SESSION_S_MAX: &str = "120";

/// One command of the tour and what it should show.
#[derive(Debug, PartialEq, Eq)]
struct Step {
    line: usize,
    command: String,
    exit: i32,
    shown: Vec<String>,
}

/// What a command did.
#[derive(Debug)]
struct Outcome {
    exit: i32,
    output: String,
}

/// The steps in the `console` blocks between the heading and the next one of its level.
fn steps(page: &str, heading: &str) -> Vec<Step> {
    let (mut out, mut in_part, mut in_block) = (Vec::<Step>::new(), false, false);
    for (line, number) in page.lines().zip(1..) {
        if !in_block && line.starts_with("## ") {
            in_part = line == format!("## {heading}");
        } else if line.starts_with("```") {
            in_block = in_part && line == "```console";
        } else if in_block {
            read_line(line, number, &mut out);
        }
    }
    out
}

fn read_line(line: &str, number: usize, out: &mut Vec<Step>) {
    if let Some(command) = line.strip_prefix("$ ") {
        let (_, after) = command.rsplit_once("# exit ").unwrap_or_default();
        let exit = after.trim().parse().unwrap_or(0);
        out.push(Step { line: number, command: command.to_owned(), exit, shown: Vec::new() });
    } else if let Some(step) = out.last_mut() {
        match line.strip_prefix("> ") {
            Some(more) => write!(step.command, "\n{more}").expect("a string takes all"),
            None if line.trim().is_empty() => {}
            None => step.shown.push(line.to_owned()),
        }
    } else {
        panic!("line {number}: a block begins with a command");
    }
}

/// Does `line` fit `pattern`, in which `…` stands for any text?
fn fits(pattern: &str, line: &str) -> bool {
    let mut parts = pattern.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// The first shown line that does not come, in order, in the output.
fn missing<'a>(shown: &'a [String], output: &str) -> Option<&'a str> {
    let mut lines = output.lines().map(str::trim_end);
    let mut comes = |pattern: &str| lines.any(|line| fits(pattern.trim_end(), line));
    let mut wanted = shown.iter().map(String::as_str).filter(|pattern| pattern.trim() != "…");
    wanted.find(|pattern| !comes(pattern))
}

/// Runs the steps in one shell, with a home of its own and `programs` first on the `PATH`.
fn run(steps: &[Step], programs: &Path) -> Vec<Outcome> {
    let home = tempfile::tempdir().expect("a temporary directory can be made");
    let at = |name: &str| home.path().join(name);
    for name in ["run", "work", "out"] {
        fs::create_dir(at(name)).expect("a directory can be made");
    }
    let mut script = String::from("cd \"$HOME/work\" || exit\n");
    for (step, n) in steps.iter().zip(0..) {
        let Step { command, .. } = step;
        write!(script, "{{ {command}\n}} >~/out/{n} 2>&1 </dev/null; echo $? >~/out/{n}.exit\n")
            .expect("a string takes all");
    }
    fs::write(at("script"), script).expect("a file can be written");
    let session = |program: &str| {
        let mut command = Command::new(program);
        command.env_clear().env("HOME", home.path()).env("JR_HOME", at("jr"));
        command.env("XDG_RUNTIME_DIR", at("run")).env("LANG", "C.UTF-8").env("TERM", "dumb");
        command.env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", programs.display()));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.current_dir(at("work"));
        command
    };
    let ended = session("timeout").args([SESSION_S_MAX, "bash"]).arg(at("script")).status();
    // Whatever became of the tour, no daemon of its home stays behind.
    drop(session("jr").args(["daemon", "stop"]).status());
    let ended = ended.expect("bash and timeout are there");
    let outcome = |n: usize| {
        let read = |name: String| fs::read_to_string(at("out").join(name)).unwrap_or_default();
        let exit = read(format!("{n}.exit")).trim().parse();
        let exit = exit.unwrap_or_else(|_| panic!("step {n} did not end; the session: {ended}"));
        Outcome { exit, output: read(n.to_string()) }
    };
    (0..steps.len()).map(outcome).collect()
}

/// Each step that does not show what the page says, for people.
fn differences(steps: &[Step], outcomes: &[Outcome]) -> Vec<String> {
    let mut out = Vec::new();
    for (step, Outcome { exit, output }) in steps.iter().zip(outcomes) {
        let place = format!("line {}: $ {}", step.line, step.command);
        if *exit != step.exit {
            out.push(format!("{place}\nexit {exit} instead of {}\n{output}", step.exit));
        } else if let Some(line) = missing(&step.shown, output) {
            out.push(format!("{place}\nthis line is missing: {line}\n{output}"));
        }
    }
    out
}

#[test]
fn the_readme_tour_works() {
    let steps = steps(include_str!("../README.md"), "Two-minute tour");
    assert!(!steps.is_empty(), "the tour has moved");
    let programs = Path::new(env!("CARGO_BIN_EXE_jr")).parent().expect("a program lies somewhere");
    let differences = differences(&steps, &run(&steps, programs));
    assert!(differences.is_empty(), "\n{}", differences.join("\n"));
}

#[test]
fn steps_are_read_from_their_part_of_the_page() {
    let page = "## Before\n```console\n$ no\n```\n## Tour\ntext\n```sh\nno\n```\n```console\n\
                $ a b  # exit 3\nx\n\n…y\n$ c \\\n> d\n```\n### Deeper\n```console\n$ e\n```\n\
                ## After\n```console\n$ no\n```\n";
    let step = |line, command: &str, exit, shown: &[&str]| {
        let shown = shown.iter().map(|line| (*line).to_owned()).collect();
        Step { line, command: command.to_owned(), exit, shown }
    };
    let expected = [
        step(11, "a b  # exit 3", 3, &["x", "…y"]),
        step(15, "c \\\nd", 0, &[]),
        step(20, "e", 0, &[]),
    ];
    assert_eq!(steps(page, "Tour"), expected);
}

#[test]
fn an_ellipsis_stands_for_any_text() {
    for (pattern, line) in [("…", "x"), ("a…", "a"), ("a…c…e", "abcde"), ("…b", "b b"), ("", "")]
    {
        assert!(fits(pattern, line), "{pattern} {line}");
    }
    for (pattern, line) in [("a", "ab"), ("a…b", "ac"), ("a…a", "a"), ("…b…c", "ac"), ("", "x")]
    {
        assert!(!fits(pattern, line), "{pattern} {line}");
    }
}

#[test]
fn shown_lines_come_in_order() {
    let shown = |lines: &[&str]| lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
    assert_eq!(missing(&shown(&["a", "…", "c"]), "a\nb\nc \n"), None);
    assert_eq!(missing(&shown(&["c", "a"]), "a\nb\nc\n"), Some("a"));
    assert_eq!(missing(&shown(&["a", "a"]), "a\n"), Some("a"));
    assert_eq!(missing(&shown(&["…"]), ""), None);
}

#[test]
fn one_shell_runs_all_steps_and_differences_are_told() {
    let page = "## T\n```console\n$ x=1; cd /\n$ echo $x; pwd\n1\n/\n\
                $ sh -c 'echo $JR_HOME; exit 7' # exit 7\n\
                …/jr\n$ echo a\nb\n$ false\n$ echo err >&2; cat\nerr\n```\n";
    let steps = steps(page, "T");
    let told = differences(&steps, &run(&steps, Path::new("/nowhere")));
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(told[0].contains("this line is missing: b"), "{told:?}");
    assert!(told[1].contains("exit 1 instead of 0"), "{told:?}");
}
