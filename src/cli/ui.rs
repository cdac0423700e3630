//! The only file that prints. Data goes to stdout, once, at the end; all else to stderr.

use std::cell::Cell;
use std::io;
use std::os::fd::BorrowedFd;

use rustix::io::Errno;

use super::error::CommandError;
use super::exit;
use super::table::{Medium, Style};
use super::text;

/// Columns where nothing says how many there are.
const WIDTH_DEFAULT: usize = 80;

/// `--color`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Color {
    /// On a terminal, unless `NO_COLOR` is set.
    #[default]
    Auto,
    /// Also into pipes.
    Always,
    /// Nowhere.
    Never,
}

/// Where words go.
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
#[derive(Debug)]
pub struct Ui {
    out: Vec<u8>,
    /// `--json`.
    pub json: bool,
    /// `-q`.
    pub quiet: bool,
    /// `-v`.
    pub verbose: bool,
    color: Color,
    stdout_is_terminal: bool,
    stderr_is_terminal: bool,
    tab: Tab,
}

/// The bar in a terminal's tab (OSC 9;4). Whoever leaves takes it away, also in an error.
#[derive(Debug)]
struct Tab {
    /// Somebody may look at it, and it means nothing else there.
    is_there: bool,
    /// State and percentage.
    shown: Cell<Option<(u8, u8)>>,
}

impl Tab {
    fn show(&self, bar: Option<(u8, u8)>) {
        if self.is_there && self.shown.replace(bar) != bar {
            let (state, percent) = bar.unwrap_or((0, 0));
            print_error_text(&format!("\x1b]9;4;{state};{percent}\x1b\\"));
        }
    }
}

impl Drop for Tab {
    fn drop(&mut self) {
        self.show(None);
    }
}

/// iTerm2 shows other texts behind OSC 9 as a message, and so did versions that knew no bar; newer
/// ones say in `TERM_FEATURES` that they have one (`P`).
fn is_bar_a_message() -> bool {
    let is = |name, value: &str| std::env::var(name).is_ok_and(|found| found == value);
    let features = std::env::var("TERM_FEATURES").unwrap_or_default();
    is("TERM_PROGRAM", "iTerm.app") && !has_bar(&features)
}

/// Codes begin with a capital letter, small ones and digits go on.
fn has_bar(features: &str) -> bool {
    let next = |place: usize| features.as_bytes().get(place + 1);
    features.match_indices('P').any(|(place, _)| !next(place).is_some_and(u8::is_ascii_lowercase))
}

impl Ui {
    /// Looks at stdout, stderr and the environment.
    pub fn new(json: bool, quiet: bool, verbose: bool, color: Color) -> Self {
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let color = match color {
            Color::Auto if set("NO_COLOR") || dumb => Color::Never,
            color => color,
        };
        let stderr_is_terminal = rustix::termios::isatty(rustix::stdio::stderr());
        // Who wants no colours wants plain text.
        let is_plain = dumb || color == Color::Never || quiet || json;
        let is_there = stderr_is_terminal && !is_plain && !is_bar_a_message();
        Self {
            out: Vec::new(),
            json,
            quiet,
            verbose,
            color,
            stdout_is_terminal: rustix::termios::isatty(rustix::stdio::stdout()),
            stderr_is_terminal,
            tab: Tab { is_there, shown: Cell::new(None) },
        }
    }

    /// Whether a person looks at stdout.
    pub fn stdout_is_terminal(&self) -> bool {
        self.stdout_is_terminal
    }

    /// Whether the locale says that letters beyond ASCII are understood (locale(7): the first of
    /// these that is set counts).
    pub fn is_utf8(&self) -> bool {
        let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set).unwrap_or_default();
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    }

    /// Whether progress may be drawn.
    pub fn shows_progress(&self) -> bool {
        self.stderr_is_terminal && !self.quiet && !self.json
    }

    /// How tables on stdout look.
    pub fn medium(&self) -> Medium {
        Medium {
            width: self.stdout_is_terminal.then(width),
            color: self.colors(self.stdout_is_terminal),
        }
    }

    /// How words on stderr look.
    pub fn status_medium(&self) -> Medium {
        Medium {
            width: self.stderr_is_terminal.then(width),
            color: self.colors(self.stderr_is_terminal),
        }
    }

    fn colors(&self, is_terminal: bool) -> bool {
        match self.color {
            Color::Auto => is_terminal,
            Color::Always => true,
            Color::Never => false,
        }
    }

    /// Data, printed at the end.
    pub fn data(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    /// A line of data, printed at the end.
    pub fn line(&mut self, text: &str) {
        self.data(text);
        self.out.push(b'\n');
    }

    /// A document as it came, with one line end.
    pub fn document(&mut self, json: &[u8]) {
        self.out.extend_from_slice(json.trim_ascii_end());
        self.out.push(b'\n');
    }

    /// A document of our own.
    ///
    /// # Panics
    /// Its keys are no strings, which is an error of ours.
    pub fn json(&mut self, document: &impl serde::Serialize) {
        let json = serde_json::to_vec(document).expect("documents have string keys only");
        self.document(&json);
    }

    /// Begins a document whose last field, `items`, is empty here and grows item by item.
    pub fn open_list(&mut self, head: &impl serde::Serialize) -> OpenList<'_> {
        self.json(head);
        let closed = self.out.strip_suffix(LIST_END).map_or(self.out.len(), <[u8]>::len);
        self.out.truncate(closed);
        OpenList { ui: self, is_empty: true }
    }

    /// Bytes as they are.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// How much is waiting to be printed.
    pub fn waiting(&self) -> usize {
        self.out.len()
    }

    /// Prints what is waiting.
    ///
    /// # Errors
    /// [`closed`] if nobody reads any more.
    pub fn flush(&mut self) -> Result<(), CommandError> {
        let bytes = std::mem::take(&mut self.out);
        write_all(rustix::stdio::stdout(), &bytes).map_err(stdout_error)
    }

    /// News for a person; `-q` and `--json` silence them.
    pub fn status(&self, message: &str) {
        if !self.quiet && !self.json {
            print_error_text(&format!("{}\n", text::lines(message)));
        }
    }

    /// Words of a conversation on the terminal.
    pub fn say(&self, words: &str) {
        print_error_text(&format!("{}\n", text::lines(words)));
    }

    /// Asks a person for a line; `None` where there is nobody any more.
    ///
    /// # Errors
    /// The terminal cannot be read.
    pub fn ask(&self, question: &str) -> io::Result<Option<String>> {
        print_error_text(&text::lines(question));
        let mut line = String::new();
        let count = io::stdin().read_line(&mut line)?;
        Ok((count > 0).then_some(line))
    }

    /// A bar or a line that replaces itself; only if [`Self::shows_progress`].
    pub fn progress(&self, bar: &str) {
        if self.shows_progress() {
            let bar = text::line(bar);
            // What goes on in the next line could not be replaced.
            let bar = text::shorten(&bar, width().saturating_sub(1));
            print_error_text(&format!("\r\x1b[K{bar}"));
        }
    }

    /// The bar in the tab of the terminal, from 0 to 100; red if something failed.
    pub fn tab(&self, percent: u8, has_failed: bool) {
        self.tab.show(Some((if has_failed { 2 } else { 1 }, percent.min(100))));
    }

    /// No bar and no line of progress any more.
    pub fn end_progress(&self) {
        self.progress("");
        self.tab.show(None);
    }

    /// Something is odd, but goes on.
    pub fn warn(&self, message: &str) {
        let color = self.colors(self.stderr_is_terminal);
        let word = Style::Busy.paint("warning:", color);
        print_error_text(&format!("jr: {word} {}\n", text::lines(message)));
    }

    /// The end of a command that failed.
    pub fn error(&mut self, error: &CommandError) {
        if error.exit == exit::PIPE {
            return;
        }
        if self.json {
            self.out.clear();
            self.json(&ErrorDocument {
                error: ErrorWords {
                    code: &error.code,
                    message: &error.message,
                    hint: error.hint.as_deref(),
                },
            });
            self.flush().ok();
            return;
        }
        // What was gathered before the failure is still true.
        self.flush().ok();
        let color = self.colors(self.stderr_is_terminal);
        let mut words =
            format!("{} {}\n", Style::Bad.paint("jr:", color), text::lines(&error.message));
        if let Some(hint) = &error.hint {
            words.push_str(&Style::Dim.paint("hint:", color));
            words.push(' ');
            words.push_str(&text::lines(hint));
            words.push('\n');
        }
        print_error_text(&words);
    }

    /// Columns of stdout, if it is a terminal.
    pub fn columns() -> Option<usize> {
        let size = rustix::termios::tcgetwinsize(rustix::stdio::stdout()).ok()?;
        Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
    }

    /// Text with colours (SGR of ECMA-48), where they are wanted.
    pub fn styled(&mut self, text: &str) {
        if self.colors(self.stdout_is_terminal) {
            return self.data(text);
        }
        let mut plain = String::with_capacity(text.len());
        for (place, piece) in text.split("\x1b[").enumerate() {
            let rest = piece.split_once('m').filter(|_| place > 0).map(|(_, rest)| rest);
            plain.push_str(rest.unwrap_or(piece));
        }
        self.data(&plain);
    }

    /// A terminal's own text, made by clap.
    pub fn help(&mut self, help: &clap::builder::StyledStr, to_stdout: bool) {
        let is_terminal = if to_stdout { self.stdout_is_terminal } else { self.stderr_is_terminal };
        let color = self.colors(is_terminal);
        let text = if color { help.ansi().to_string() } else { help.to_string() };
        if to_stdout {
            self.data(&text);
        } else {
            print_error_text(&text);
        }
    }
}

fn print_error_text(text: &str) {
    // There is nowhere left to complain.
    write_all(rustix::stdio::stderr(), text.as_bytes()).ok();
}

/// `{"error": …}`.
#[derive(serde::Serialize)]
struct ErrorDocument<'a> {
    error: ErrorWords<'a>,
}

#[derive(serde::Serialize)]
struct ErrorWords<'a> {
    code: &'a str,
    message: &'a str,
    hint: Option<&'a str>,
}

/// How a document ends whose last field is an empty list.
const LIST_END: &[u8] = b"]}\n";

/// A document of which the items are written one by one.
#[derive(Debug)]
pub struct OpenList<'a> {
    ui: &'a mut Ui,
    is_empty: bool,
}

impl OpenList<'_> {
    /// Bytes that wait before they are written.
    const WAITING: usize = 64 << 10;

    /// One more.
    ///
    /// # Errors
    /// [`closed`] if nobody reads any more.
    ///
    /// # Panics
    /// Its keys are no strings, which is an error of ours.
    pub fn push(&mut self, item: &impl serde::Serialize) -> Result<(), CommandError> {
        if !std::mem::replace(&mut self.is_empty, false) {
            self.ui.out.push(b',');
        }
        serde_json::to_writer(&mut self.ui.out, item).expect("items have string keys only");
        if self.ui.waiting() > Self::WAITING { self.ui.flush() } else { Ok(()) }
    }

    /// No more.
    pub fn close(self) {
        self.ui.out.extend_from_slice(LIST_END);
    }
}

/// Nobody reads stdout any more: the command ends without a word.
pub fn closed() -> CommandError {
    CommandError::new("closed", exit::PIPE, "standard output is closed")
}

fn stdout_error(errno: Errno) -> CommandError {
    match errno {
        Errno::PIPE => closed(),
        errno => CommandError::io("standard output", &io::Error::from(errno)),
    }
}

/// Columns of the terminal.
fn width() -> usize {
    crossterm::terminal::size().map_or(WIDTH_DEFAULT, |(columns, _)| usize::from(columns).max(20))
}

/// Writes all of it, waiting where the other end is slow.
pub fn write_all(to: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::write(to, bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::INTR) => {}
            // Somebody who shares the pipe or terminal made it non-blocking.
            Err(Errno::AGAIN) => {
                let mut wait =
                    [rustix::event::PollFd::from_borrowed_fd(to, rustix::event::PollFlags::OUT)];
                match rustix::event::poll(&mut wait, None) {
                    Ok(_) | Err(Errno::INTR) => {}
                    Err(errno) => return Err(errno),
                }
            }
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_says_that_it_has_a_bar() {
        assert!(has_bar("T3CwLrMSc7UUw9Ts3BFGsSyHNoSxFP"));
        assert!(has_bar("PB"));
        assert!(!has_bar("T3CwLrMPxB"));
        assert!(!has_bar(""));
    }
}
