//! `jr repro`.

use std::collections::BTreeMap;

use super::Runnable;
use super::read::ReadArgs;
use crate::cli::context::{Context, parse};
use crate::cli::error::CommandError;
use crate::cli::shell::{Required, is_own_word, quote};
use crate::cli::{exit, text};
use crate::limits;
use crate::model::ByteString;
use crate::projections::query::Query;
use crate::projections::view::RecordedView;

/// Variables that a login or a terminal sets anew, and those of jr itself: what they were says
/// nothing about the command.
const SESSION: &[&str] = &[
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "MAIL",
    "PWD",
    "OLDPWD",
    "SHLVL",
    "_",
    "TERM",
    "COLORTERM",
    "TERM_PROGRAM",
    "TERM_PROGRAM_VERSION",
    "COLUMNS",
    "LINES",
    "LS_COLORS",
    "LESSOPEN",
    "LESSCLOSE",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "XAUTHORITY",
    "DBUS_SESSION_BUS_ADDRESS",
    "SSH_AUTH_SOCK",
    "SSH_AGENT_PID",
    "SSH_CLIENT",
    "SSH_CONNECTION",
    "SSH_TTY",
    "GPG_TTY",
    "WINDOWID",
    "TMUX",
    "TMUX_PANE",
    "STY",
    "INVOCATION_ID",
    "JOURNAL_STREAM",
    "PS1",
    "PS2",
];
/// The same, by the beginning of the name.
const SESSION_FAMILIES: &[&str] = &["JR_", "XDG_SESSION_", "XDG_RUNTIME_", "XDG_SEAT", "XDG_VTNR"];

/// Below the options.
const HELP: &str = "\
Examples:
  jr repro last
  jr repro test --variables
  jr repro train --clean > train.sh

Exit codes:
  0; 2 the word could mean several runs; 3 no such run";

/// Print the shell command that does the same by hand
///
/// Any POSIX shell reads it as exactly the recorded arguments. Secrets are not kept: the command
/// asks for them as variables.
#[derive(clap::Args, Debug)]
#[command(after_help = HELP)]
pub struct ReproArgs {
    /// Run id, unique prefix, name, last, @-1
    #[arg(value_name = "RUN")]
    selector: String,
    /// Also set the variables that the run had, but for those of a login or terminal
    #[arg(long)]
    variables: bool,
    /// With all of its variables and no others (env -i)
    #[arg(long, conflicts_with = "variables")]
    clean: bool,
    #[command(flatten)]
    read: ReadArgs,
}

/// `--json`.
#[derive(serde::Serialize)]
struct ReproDocument<'a> {
    schema: &'static str,
    run_id: &'a str,
    name: &'a str,
    /// For `sh -c`.
    script: &'a str,
    argv: &'a [ByteString],
    line: Option<&'a ByteString>,
    cwd: &'a ByteString,
    umask: String,
    /// Those that the script sets.
    variables: BTreeMap<String, String>,
    /// Variables that whoever runs the script has to set.
    requires: &'a [String],
}

/// Which variables a script sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Variables {
    None,
    Own,
    All,
}

impl Runnable for ReproArgs {
    const NAME: &'static str = "repro";

    fn run(self, context: &mut Context) -> Result<u8, CommandError> {
        context.look(&self.read)?;
        let which = match (self.variables, self.clean) {
            (_, true) => Variables::All,
            (true, _) => Variables::Own,
            _ => Variables::None,
        };
        let document = context.read_bytes(&Query::Recorded { selector: self.selector })?;
        let run: RecordedView = parse(&document)?;
        if run.argv.is_empty() {
            let message = format!("{} is a batch: it has no command of its own", run.run.run_id);
            let hint = format!("see its lines: jr history --parent {}", run.run.run_id);
            return Err(CommandError::new("no_command", exit::USAGE, message).hint(hint));
        }
        if let Some(error) = run.variables_error.as_ref().filter(|_| which != Variables::None) {
            let message = format!("its variables cannot be read: {error}");
            return Err(CommandError::new("variables", exit::FAILED, message));
        }
        let set = set_by(&run, which);
        let (script, requires) = script(&run, &set, which == Variables::All);
        if context.ui.json {
            context.ui.json(&ReproDocument {
                schema: "jr.repro/1",
                run_id: &run.run.run_id,
                name: &run.run.name,
                script: &script,
                argv: &run.argv,
                line: run.line.as_ref(),
                cwd: &run.directory,
                umask: format!("{:03o}", run.umask),
                variables: set.iter().map(|(k, v)| (k.to_text(), v.to_text())).collect(),
                requires: &requires,
            });
        } else {
            context.ui.line(&script);
            if !requires.is_empty() {
                let names = text::line(&requires.join(", ")).into_owned();
                context.ui.status(&format!("set these first, jr does not keep them: {names}"));
            }
        }
        Ok(exit::OK)
    }
}

/// The variables that the script sets, by name.
fn set_by(run: &RecordedView, which: Variables) -> Vec<(&ByteString, &ByteString)> {
    let is_wanted = |name: &[u8]| match which {
        Variables::None => false,
        Variables::All => !name.is_empty() && !name.contains(&b'='),
        Variables::Own => !name.is_empty() && !name.contains(&b'=') && !is_of_session(name),
    };
    let all = run.variables.iter().map(|(name, value)| (name, value));
    let mut set: Vec<_> = all.filter(|(name, _)| is_wanted(name.as_bytes())).collect();
    set.sort();
    set
}

/// Whether a login or terminal sets this variable anew, or jr does.
pub(super) fn is_of_session(name: &[u8]) -> bool {
    std::str::from_utf8(name).is_ok_and(|name| {
        SESSION.contains(&name) || SESSION_FAMILIES.iter().any(|start| name.starts_with(start))
    })
}

/// The command for `sh -c`, and the variables that it asks for.
fn script(
    run: &RecordedView,
    set: &[(&ByteString, &ByteString)],
    is_clean: bool,
) -> (String, Vec<String>) {
    let mut required = Required::default();
    let mut word = |word: &ByteString, hint: Option<&[u8]>| {
        if run.has_secrets { required.quote(word.as_bytes(), hint) } else { quote(word.as_bytes()) }
    };
    let mut variables = Vec::new();
    for (name, value) in set {
        let name = name.as_bytes();
        variables.push(format!("{}={}", quote(name), word(value, Some(name))));
    }
    let mut words = Vec::new();
    let mut hint: Option<&[u8]> = None;
    for argument in &run.argv {
        words.push(word(argument, hint));
        // `--token VALUE`: the name stands in the word before.
        hint = Some(argument.as_bytes())
            .filter(|word| word.first() == Some(&b'-') && !word.contains(&b'='));
    }
    let directory = quote(run.directory.as_bytes());
    let is_usual = run.umask == limits::UMASK;
    let umask = if is_usual { String::new() } else { format!("umask {:03o} && ", run.umask) };
    let command = command(&words, run.argv[0].as_bytes(), &variables, is_clean);
    (format!("cd {directory} && {umask}{command}"), required.names)
}

/// The words of the command behind what sets its variables.
fn command(words: &[String], program: &[u8], variables: &[String], is_clean: bool) -> String {
    let line = words.join(" ");
    if variables.is_empty() && !is_clean {
        // The program, not what the shell has under the same name. Elsewhere quotes keep it from
        // being an assignment.
        return match program {
            _ if is_own_word(program) => format!("env {line}"),
            _ if program.contains(&b'=') && !line.starts_with(['\'', '"']) => {
                format!("'{}'{}", &words[0], &line[words[0].len()..])
            }
            _ => line,
        };
    }
    let mut out = "env ".to_owned();
    if is_clean {
        out.push_str("-i ");
    }
    if variables.first().is_some_and(|first| first.starts_with('-')) {
        out.push_str("-- ");
    }
    for variable in variables {
        out.push_str(variable);
        out.push(' ');
    }
    // env takes words with `=` for variables, and in front those with `-` for options.
    if program.contains(&b'=') || program.first() == Some(&b'-') {
        out.push_str(r#"sh -c '"$0" "$@"' "#);
    }
    out + &line
}
