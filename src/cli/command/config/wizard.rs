//! The questions of `jr config init` at a terminal: one a line, what is in brackets is kept by
//! Enter. Nothing is written before the last one is answered.

use std::collections::BTreeMap;

use crate::cli::context::Context;
use crate::cli::error::CommandError;
use crate::cli::ui::Ui;
use crate::cli::unified::unified;
use crate::cli::{excerpt, exit, text};
use crate::config::edit::Change;
use crate::config::envctl::{self, Imported};
use crate::config::load::Loaded;
use crate::config::schema::service::Preset;
use crate::config::select::{declared, select};
use crate::config::tree::{Table, Value};
use crate::model::id::is_name;

use super::init::Draft;

/// The answer that means none.
const NONE: &str = "-";
/// What holds where no file says otherwise.
const BUILT_IN: [(&str, &str); 4] = [
    ("default_mode", "main"),
    ("directories.trees", "trees"),
    ("directories.plans", "todo/plans"),
    ("ports.spacing", "20"),
];
/// Kinds of services that need no command.
const COMPONENTS: [&str; 5] = ["postgres", "redis", "n8n", "supabase", "atlas"];

/// Who is asked.
pub(super) trait Asked {
    /// Words that need no answer.
    fn say(&mut self, words: &str);
    /// One line.
    ///
    /// # Errors
    /// There is nobody any more.
    fn ask(&mut self, question: &str) -> Result<String, CommandError>;
}

/// The person at the terminal.
pub(super) struct Terminal<'a>(&'a Ui);

impl Terminal<'_> {
    /// Whether somebody sits there.
    pub(super) fn is_there() -> bool {
        let (stdin, stderr) = (rustix::stdio::stdin(), rustix::stdio::stderr());
        rustix::termios::isatty(stdin) && rustix::termios::isatty(stderr)
    }
}

impl Asked for Terminal<'_> {
    fn say(&mut self, words: &str) {
        self.0.say(words);
    }

    fn ask(&mut self, question: &str) -> Result<String, CommandError> {
        let line =
            self.0.ask(question).map_err(|error| CommandError::io("the terminal", &error))?;
        line.ok_or_else(|| {
            self.0.say("");
            CommandError::new("cancelled", exit::FAILED, "nothing is written")
        })
    }
}

/// Asks until the result may be written; `None` where it is not to be.
///
/// # Errors
/// Nobody answers any more.
pub(super) fn run(context: &Context, draft: &Draft<'_>) -> Result<Option<String>, CommandError> {
    // What is wrong already no answer mends: the person has to.
    draft.check_old(context)?;
    let loaded = draft.loaded(context, draft.old);
    let beside = draft.path.with_file_name(".envctl");
    let imported = std::fs::read_to_string(beside).map(|text| envctl::import(&text)).ok();
    let mut wizard = Wizard::new(&loaded, imported, Terminal(&context.ui));
    wizard.source(draft, &loaded);
    loop {
        wizard.questions()?;
        let new = draft.with(&wizard.changes())?;
        if let Err(error) = draft.check(context, &new) {
            wizard.asked.say(&format!("  {}", error.message));
            continue;
        }
        match wizard.review(draft, &new)? {
            Review::Save => return Ok(Some(new)),
            Review::Leave => return Ok(None),
            Review::Again => {}
        }
    }
}

enum Review {
    Save,
    Leave,
    Again,
}

struct Wizard<A> {
    /// What files say, by path, as text.
    holds: BTreeMap<Vec<String>, String>,
    /// What was answered, or is proposed.
    answers: BTreeMap<Vec<String>, String>,
    imported: Option<Imported>,
    declared: Vec<String>,
    /// The environment that is meant now.
    environment: String,
    asked: A,
}

/// The keys of a dotted key without quotes.
fn keys(dotted: &str) -> Vec<String> {
    dotted.split('.').map(str::to_owned).collect()
}

impl<A: Asked> Wizard<A> {
    fn new(loaded: &Loaded, imported: Option<Imported>, asked: A) -> Self {
        let mut holds = BTreeMap::new();
        gather(&loaded.merged, &mut Vec::new(), &mut holds);
        let mut answers = holds.clone();
        for (key, value) in imported.iter().flat_map(|imported| &imported.values) {
            answers.entry(keys(key)).or_insert_with(|| value.clone());
        }
        let environment = select(loaded, None, None).map(|chosen| chosen.id.to_string());
        let declared = declared(&loaded.merged).into_iter().map(str::to_owned).collect();
        let environment = environment.unwrap_or_default();
        Self { holds, answers, imported, declared, environment, asked }
    }

    /// The value that is proposed.
    fn proposed(&self, path: &[String]) -> Option<String> {
        let dotted = path.join(".");
        let built_in = BUILT_IN.iter().find(|(key, _)| *key == dotted);
        let answer = self.answers.get(path).cloned();
        answer.or_else(|| built_in.map(|(_, value)| (*value).to_owned()))
    }

    /// Asks for one key until the answer is good.
    fn question(
        &mut self,
        words: &str,
        path: &[&str],
        is_good: impl Fn(&str) -> Result<(), String>,
    ) -> Result<(), CommandError> {
        let path: Vec<String> = path.iter().map(|key| (*key).to_owned()).collect();
        let proposed = self.proposed(&path).unwrap_or_else(|| NONE.to_owned());
        let answer =
            self.answer(
                words,
                &proposed,
                |answer| {
                    if answer == NONE { Ok(()) } else { is_good(answer) }
                },
            )?;
        if answer == NONE {
            self.answers.remove(&path);
        } else {
            self.answers.insert(path, answer);
        }
        Ok(())
    }

    fn answer(
        &mut self,
        words: &str,
        proposed: &str,
        is_good: impl Fn(&str) -> Result<(), String>,
    ) -> Result<String, CommandError> {
        loop {
            let line = self.asked.ask(&format!("  {words} [{}]: ", text::line(proposed)))?;
            let line = line.trim();
            let answer = if line.is_empty() { proposed } else { line };
            match is_good(answer) {
                Ok(()) => return Ok(answer.to_owned()),
                Err(why) => self.asked.say(&format!("  {why}")),
            }
        }
    }

    /// Step 1.
    fn source(&mut self, draft: &Draft<'_>, loaded: &Loaded) {
        let state = if draft.is_new { "a new file" } else { "changed where you say so" };
        self.asked.say(&format!("1/7 Source\n  writes {}: {state}", draft.path.display()));
        let files = loaded.sources.iter().filter(|source| {
            source.path.as_deref().is_some_and(|path| path != draft.path) && !source.is_foreign
        });
        for source in files {
            self.asked.say(&format!("  {} holds too", source.name));
        }
        if let Some(imported) = &self.imported {
            let count = imported.values.len();
            let mut words = format!("  .envctl: {count} of its values are proposed below");
            if !imported.without_command.is_empty() {
                let names = imported.without_command.join(" and ");
                words = format!("{words}; it has no command for {names}");
            }
            self.asked.say(&words);
        }
        self.asked
            .say("  Enter keeps what is in brackets, - means none, Ctrl-C leaves all as it is");
    }

    /// Steps 2 to 6.
    fn questions(&mut self) -> Result<(), CommandError> {
        self.mode()?;
        self.components()?;
        self.services()?;
        let services = self.service_names();
        self.asked.say("\n5/7 Directories, from the root of the project");
        let is_path = |_: &str| Ok(());
        self.question("worktrees", &["directories", "trees"], is_path)?;
        self.question("plans of worktrees", &["directories", "plans"], is_path)?;
        for name in services.iter().filter(|name| !COMPONENTS.contains(&name.as_str())) {
            self.question(&format!("of {name}"), &["services", name, "directory"], is_path)?;
        }
        self.asked.say("\n6/7 Ports");
        for name in &services {
            self.question(&format!("of {name}, or auto"), &["services", name, "port"], is_port)?;
        }
        self.question("the first that jr gives away", &["ports", "first"], is_number)?;
        self.question("spacing between worktrees", &["ports", "spacing"], is_number)
    }

    fn mode(&mut self) -> Result<(), CommandError> {
        self.asked
            .say("\n2/7 Default mode\n  main: the root of the repository; trees: its worktrees");
        self.question("mode, main or trees", &["default_mode"], |answer| {
            let is_mode = matches!(answer, "main" | "trees");
            is_mode.then_some(()).ok_or_else(|| "main or trees".to_owned())
        })?;
        let known = self.declared.join(", ");
        let proposed = self.answers.get(&keys("project.default_env"));
        let proposed = proposed.unwrap_or(&self.environment).clone();
        let answer =
            self.answer(&format!("environment ({known}, or a new one)"), &proposed, is_id)?;
        let is_said = self.answers.contains_key(&keys("project.default_env"));
        if is_said || answer != self.environment {
            if !self.declared.contains(&answer) {
                let path = ["environments", &answer, "type"].map(str::to_owned).to_vec();
                self.answers.entry(path).or_insert_with(|| "local".to_owned());
            }
            self.answers.insert(keys("project.default_env"), answer);
        }
        Ok(())
    }

    fn components(&mut self) -> Result<(), CommandError> {
        let known = COMPONENTS.join(", ");
        self.asked.say(&format!("\n3/7 Components, with blanks between\n  {known}"));
        let wanted = |wizard: &Self, name: &str| {
            let path = ["services", name].map(str::to_owned).to_vec();
            let off = [path.as_slice(), &["enabled".to_owned()]].concat();
            wizard.has(&path) && wizard.answers.get(&off).is_none_or(|value| value != "false")
        };
        let now: Vec<&str> = COMPONENTS.into_iter().filter(|name| wanted(self, name)).collect();
        let proposed = if now.is_empty() { NONE.to_owned() } else { now.join(" ") };
        let is_known = |answer: &str| {
            let stranger = words(answer).find(|word| Preset::of_name(word).is_none());
            stranger.map_or(Ok(()), |word| Err(format!("{word:?} is none of {known}")))
        };
        let answer = self.answer("components", &proposed, is_known)?;
        for name in COMPONENTS {
            let path = ["services", name].map(str::to_owned).to_vec();
            let off = [path.as_slice(), &["enabled".to_owned()]].concat();
            if words(&answer).any(|word| word == name) {
                if self.answers.get(&off).is_some_and(|value| value == "false") {
                    self.answers.insert(off, "true".to_owned());
                }
                if !self.has(&path) {
                    self.answers.insert(path, String::new());
                }
            } else if has_in(&self.holds, &path) {
                self.answers.insert(off, "false".to_owned());
            } else {
                self.answers.retain(|there, _| !there.starts_with(&path));
            }
        }
        Ok(())
    }

    fn services(&mut self) -> Result<(), CommandError> {
        self.asked.say("\n4/7 Long-running service, if there is one");
        for name in self.service_names() {
            if !COMPONENTS.contains(&name.as_str()) {
                self.question(
                    &format!("command of {name}"),
                    &["services", &name, "command"],
                    |_| Ok(()),
                )?;
            }
        }
        loop {
            let is_new = |answer: &str| if answer == NONE { Ok(()) } else { is_id(answer) };
            let name = self.answer("name of another one", NONE, is_new)?;
            if name == NONE {
                return Ok(());
            }
            self.question(&format!("command of {name}"), &["services", &name, "command"], |_| {
                Ok(())
            })?;
        }
    }

    /// Step 7.
    fn review(&mut self, draft: &Draft<'_>, new: &str) -> Result<Review, CommandError> {
        self.asked.say("\n7/7 Review");
        let lines = unified(draft.old.as_bytes(), new.as_bytes());
        let shown = without_secrets(&[draft.old, new]);
        for line in lines.iter().filter(|line| !(draft.is_new && line.sign == b'@')) {
            let text = String::from_utf8_lossy(&line.text);
            let words = shown.get(text.as_ref()).map_or(text.as_ref(), String::as_str);
            let sign = if draft.is_new { ' ' } else { char::from(line.sign) };
            self.asked.say(&format!("  {sign}{words}"));
        }
        if lines.is_empty() {
            self.asked.say("  nothing to change");
            return Ok(Review::Save);
        }
        let words = format!("save as {}? yes, no, edit", draft.path.display());
        let answer = self.answer(&words, "yes", |answer| match answer {
            "y" | "Y" | "yes" | "n" | "N" | "no" | "e" | "edit" => Ok(()),
            _ => Err("yes, no or edit".to_owned()),
        })?;
        Ok(match answer.as_str() {
            "n" | "N" | "no" => Review::Leave,
            "e" | "edit" => Review::Again,
            _ => Review::Save,
        })
    }

    fn has(&self, path: &[String]) -> bool {
        has_in(&self.answers, path)
    }

    /// All services that are answered or there, and not switched off.
    fn service_names(&self) -> Vec<String> {
        let services = self.answers.keys().filter(|path| path.len() > 1 && path[0] == "services");
        let mut names: Vec<String> = services.map(|path| path[1].clone()).collect();
        names.dedup();
        let off = |name: &String| {
            let path = ["services", name, "enabled"].map(str::to_owned).to_vec();
            self.answers.get(&path).is_some_and(|value| value == "false")
        };
        names.retain(|name| !off(name));
        names
    }

    /// What is to be written: what differs from what holds without it.
    fn changes(&self) -> Vec<Change> {
        let is_news = |path: &[String], answer: &String| {
            let dotted = path.join(".");
            // The mode is the one thing that everybody is asked for: the answer is kept.
            let is_built_in = dotted != "default_mode"
                && BUILT_IN.iter().any(|(key, value)| *key == dotted && value == answer);
            let holds = self.holds.get(path);
            holds != Some(answer) && !(holds.is_none() && is_built_in)
        };
        let mut changes = Vec::new();
        for (path, answer) in self.answers.iter().filter(|(path, answer)| is_news(path, answer)) {
            changes.push(Change::text(path.clone(), answer));
        }
        for path in self.holds.keys().filter(|path| !self.answers.contains_key(*path)) {
            changes.push(Change::nothing(path.clone()));
        }
        changes
    }
}

/// The lines of texts as they may be shown; of equal ones the one that shows less.
fn without_secrets<'a>(texts: &[&'a str]) -> BTreeMap<&'a str, String> {
    let mut out = BTreeMap::new();
    for text in texts {
        let lines = text.split_inclusive('\n').map(|line| line.strip_suffix('\n').unwrap_or(line));
        for (line, shown) in lines.zip(excerpt::without_secrets(text)) {
            let there = out.entry(line).or_insert_with(|| shown.clone());
            if there.as_str() == line {
                *there = shown;
            }
        }
    }
    out
}

/// Whether anything stands at a path or below it.
fn has_in(values: &BTreeMap<Vec<String>, String>, path: &[String]) -> bool {
    values.keys().any(|there| there.starts_with(path))
}

/// All values of a tree as text; a service that says nothing has an empty one.
fn gather(table: &Table, path: &mut Vec<String>, out: &mut BTreeMap<Vec<String>, String>) {
    for (key, node) in table {
        path.push(key.clone());
        let value = match &node.value {
            Value::Table(inner) if !inner.is_empty() => {
                gather(inner, path, out);
                None
            }
            Value::Table(_) => Some(String::new()),
            Value::Text(text) => Some(text.clone()),
            Value::Boolean(_)
            | Value::Integer(_)
            | Value::Float(_)
            | Value::Time(_)
            | Value::List(_) => Some(node.to_json().to_string()),
        };
        if let Some(value) = value {
            out.insert(path.clone(), value);
        }
        path.pop();
    }
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split([' ', ',']).filter(|word| !word.is_empty() && *word != NONE)
}

fn is_id(answer: &str) -> Result<(), String> {
    let rule = "a name: a-z 0-9 . _ -, at most 63, a letter or digit first";
    is_name(answer).then_some(()).ok_or_else(|| rule.to_owned())
}

fn is_port(answer: &str) -> Result<(), String> {
    let number = answer.rsplit_once(':').map_or(answer, |(_, number)| number);
    let is_good = answer == "auto" || number.parse::<u16>().is_ok();
    is_good.then_some(()).ok_or_else(|| "a port from 0 to 65535, HOST:PORT or auto".to_owned())
}

fn is_number(answer: &str) -> Result<(), String> {
    let is_good = answer.parse::<u16>().is_ok_and(|number| number > 0);
    is_good.then_some(()).ok_or_else(|| "a number from 1 to 65535".to_owned())
}
