//! What of a configuration file's text nobody is to read (law 9), also where the text is no TOML.
//!
//! The tree does not serve for that: a file with a mistake may have none. So the text is read word
//! by word. What may be the value of a secret is hidden in doubt.

use std::collections::BTreeSet;
use std::ops::Range;
use std::rc::Rc;

use super::mask::{is_secret, mask_words};
use super::shape::snake_case;
use crate::model::secret::spans::{is_secret_name, of_output};

/// Places of a text, in their order; some may lie within others.
pub fn hidden(text: &str) -> Vec<Range<usize>> {
    let mut reader = Reader { text, frames: vec![Frame::default()], leaves: Vec::new() };
    reader.read();
    let mut ranges: Vec<Range<usize>> =
        reader.leaves.iter().flat_map(|leaf| leaf.shapes(text)).collect();
    let told = told(&reader.leaves);
    let leaves = reader.leaves.iter();
    ranges.extend(leaves.filter(|leaf| leaf.is_hidden(text, &told)).map(|leaf| leaf.range.clone()));
    ranges.extend(of_output(text.as_bytes()));
    ranges.retain(|range| !range.is_empty());
    ranges.sort_by_key(|range| (range.start, range.end));
    ranges
}

/// Keys on the way to a value, its own last.
type Path = Rc<Vec<String>>;
/// The last keys of a path tell what a value is; a text may nest as deep as it is long.
const KEYS: usize = 8;

fn last_keys(keys: &mut Vec<String>) {
    keys.drain(..keys.len().saturating_sub(KEYS));
}

/// A word of a value.
struct Leaf {
    path: Path,
    range: Range<usize>,
    /// The words of the list before it tell that it is one.
    is_told: bool,
}

/// Tables that have a key `secret`: whatever it says, it may be misspelt.
fn told(leaves: &[Leaf]) -> BTreeSet<&[String]> {
    let parents = leaves.iter().filter_map(|leaf| leaf.path.split_last());
    parents.filter(|(key, _)| snake_case(key) == "secret").map(|(_, parent)| parent).collect()
}

impl Leaf {
    fn is_hidden(&self, text: &str, told: &BTreeSet<&[String]>) -> bool {
        let Some((key, parent)) = self.path.split_last() else { return self.is_told };
        let key = snake_case(key);
        let word = &text[self.range.clone()];
        let is_text = word.starts_with(['"', '\'']);
        match key.as_str() {
            // `secret = true` itself, also misspelt.
            "secret" if !is_text => false,
            // The name of a variable, the path of a file.
            "env" | "file" if told.contains(parent) || is_variable(parent) => false,
            "value" => true,
            _ => {
                let value = word.trim_matches(['"', '\'']);
                self.is_told
                    || told.contains(parent)
                    || is_variable(parent) && parent.last().is_some_and(|name| is_name(name))
                    || is_secret(&key, value)
            }
        }
    }

    /// What looks like one wherever it stands.
    fn shapes(&self, text: &str) -> Vec<Range<usize>> {
        let inner = text[self.range.clone()].trim_matches(['"', '\'']);
        let start = self.range.start + (self.range.len() - inner.len()) / 2;
        let found = of_output(inner.as_bytes());
        if !found.is_empty() && inner.contains('\\') {
            // Where an escaped quote ends a word is not known here.
            return vec![self.range.clone()];
        }
        found.into_iter().map(|range| start + range.start..start + range.end).collect()
    }
}

fn is_name(name: &str) -> bool {
    is_secret_name(name.as_bytes())
}

/// Whether a table is one variable of an environment.
fn is_variable(parent: &[String]) -> bool {
    let above = parent.len().checked_sub(2).map(|at| snake_case(&parent[at]));
    above.is_some_and(|above| ["environment", "env"].contains(&above.as_str()))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token {
    /// In quotes, the quotes among it.
    Quoted,
    /// Letters and digits.
    Bare,
    /// One of `= [ ] { } ,`.
    Mark(u8),
    LineEnd,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    Lines,
    Header,
    Table,
    List,
}

/// Something that is open.
#[derive(Default)]
struct Frame {
    kind: Kind,
    /// The table whose keys stand there; of a list, its own key.
    path: Path,
    key: Vec<String>,
    in_value: bool,
    /// The first leaf of a list.
    first: usize,
}

impl Frame {
    /// The key of what stands there.
    fn value_path(&self) -> Path {
        if self.kind == Kind::List {
            return Rc::clone(&self.path);
        }
        let mut path = [self.path.as_slice(), self.key.as_slice()].concat();
        last_keys(&mut path);
        Rc::new(path)
    }
}

struct Reader<'a> {
    text: &'a str,
    /// Never empty: the lines of the file are open to the end.
    frames: Vec<Frame>,
    leaves: Vec<Leaf>,
}

impl Reader<'_> {
    fn read(&mut self) {
        let mut at = 0;
        while let Some((token, range)) = next(self.text, at) {
            at = range.end;
            match token {
                Token::Quoted | Token::Bare => self.word(range),
                Token::Mark(mark) => self.mark(mark),
                Token::LineEnd => self.line_end(),
            }
        }
        while self.frames.len() > 1 {
            self.close();
        }
    }

    fn top(&mut self) -> Option<&mut Frame> {
        self.frames.last_mut()
    }

    fn word(&mut self, range: Range<usize>) {
        let text = self.text;
        let number = self.leaves.len();
        let Some(top) = self.frames.last_mut() else { return };
        if top.kind == Kind::List || top.in_value {
            let path = top.value_path();
            self.leaves.push(Leaf { path, range, is_told: false });
            if number >= 1 && self.leaves[number - 1].path == self.leaves[number].path {
                // One list of words in memory, not one for each of them.
                self.leaves[number].path = Rc::clone(&self.leaves[number - 1].path);
            }
            return;
        }
        let word = &text[range];
        if word.starts_with(['"', '\'']) {
            top.key.push(word.trim_matches(['"', '\'']).to_owned());
        } else {
            top.key.extend(word.split('.').filter(|key| !key.is_empty()).map(str::to_owned));
        }
        last_keys(&mut top.key);
    }

    fn mark(&mut self, mark: u8) {
        let Some(top) = self.frames.last() else { return };
        let first = self.leaves.len();
        let is_key = !top.in_value && top.kind != Kind::List;
        match mark {
            b'[' | b']' if top.kind == Kind::Header => {}
            b'[' if top.kind == Kind::Lines && is_key && top.key.is_empty() => {
                self.frames.push(Frame { kind: Kind::Header, ..Frame::default() });
            }
            b'[' | b'{' => {
                let kind = if mark == b'[' { Kind::List } else { Kind::Table };
                let path = top.value_path();
                self.frames.push(Frame { kind, path, first, ..Frame::default() });
            }
            b']' | b'}' => self.close_to(if mark == b']' { Kind::List } else { Kind::Table }),
            b'=' if top.kind == Kind::List => self.next_line_in_list(),
            b'=' => {
                if let Some(top) = self.top() {
                    top.in_value = true;
                }
            }
            _ if top.kind == Kind::Table => self.next_key(),
            _ => {}
        }
    }

    fn line_end(&mut self) {
        match self.frames.last().map(|top| top.kind) {
            Some(Kind::Header) => self.close(),
            Some(Kind::Lines | Kind::Table) => self.next_key(),
            Some(Kind::List) | None => {}
        }
    }

    fn next_key(&mut self) {
        if let Some(top) = self.top() {
            (top.key, top.in_value) = (Vec::new(), false);
        }
    }

    /// A list that nobody closed: its last word is the key of a line.
    fn next_line_in_list(&mut self) {
        let key = self.leaves.pop().map(|leaf| self.text[leaf.range].to_owned());
        while self.frames.len() > 1 {
            self.close();
        }
        if let Some(lines) = self.top() {
            let key = key.unwrap_or_default();
            let keys = key.split('.').map(|key| key.trim_matches(['"', '\'']).to_owned());
            (lines.key, lines.in_value) = (keys.collect(), true);
            last_keys(&mut lines.key);
        }
    }

    /// Everything up to the innermost of that kind, if one is open.
    fn close_to(&mut self, kind: Kind) {
        let Some(at) = self.frames.iter().rposition(|frame| frame.kind == kind) else { return };
        while self.frames.len() > at.max(1) {
            self.close();
        }
    }

    fn close(&mut self) {
        let Some(frame) = self.frames.pop() else { return };
        match frame.kind {
            Kind::Header => {
                if let Some(lines) = self.top() {
                    *lines = Frame { path: Rc::new(frame.key), ..Frame::default() };
                }
            }
            // Lists within lists are looked at with the outermost one.
            Kind::List if self.frames.iter().any(|frame| frame.kind == Kind::List) => {}
            Kind::List => {
                let text = self.text;
                let leaves = self.leaves.get_mut(frame.first..).unwrap_or_default();
                let word = |leaf: &Leaf| text[leaf.range.clone()].trim_matches(['"', '\'']).into();
                let (words, shown) = mask_words(leaves.iter().map(word).collect());
                for (leaf, (word, shown)) in leaves.iter_mut().zip(words.iter().zip(&shown)) {
                    leaf.is_told |= word != shown;
                }
            }
            Kind::Lines | Kind::Table => {}
        }
    }
}

/// The next word from a place on.
fn next(text: &str, at: usize) -> Option<(Token, Range<usize>)> {
    let bytes = text.as_bytes();
    let mut at = at;
    loop {
        match bytes.get(at)? {
            b' ' | b'\t' | b'\r' => at += 1,
            b'#' => {
                at = bytes[at..].iter().position(|b| *b == b'\n').map_or(bytes.len(), |n| at + n);
            }
            b'\n' => return Some((Token::LineEnd, at..at + 1)),
            mark @ (b'=' | b'[' | b']' | b'{' | b'}' | b',') => {
                return Some((Token::Mark(*mark), at..at + 1));
            }
            quote @ (b'"' | b'\'') => {
                return Some((Token::Quoted, at..end_of_quoted(bytes, at, *quote)));
            }
            _ => break,
        }
    }
    let ends = |byte: &u8| b" \t\r\n#=[]{},\"'".contains(byte);
    let end = bytes[at..].iter().position(ends).map_or(bytes.len(), |length| at + length);
    Some((Token::Bare, at..end))
}

/// Where a string ends that begins there: behind its quotes, or where its line or the text ends.
fn end_of_quoted(bytes: &[u8], start: usize, quote: u8) -> usize {
    let three = [quote; 3];
    let is_long = bytes[start..].starts_with(&three);
    let mut at = start + if is_long { 3 } else { 1 };
    while let Some(byte) = bytes.get(at) {
        match *byte {
            b'\\' if quote == b'"' => at += 1,
            b'\n' if !is_long => return at,
            _ if is_long && bytes[at..].starts_with(&three) => {
                // Up to two quotes before the closing ones are part of it.
                let more = bytes[at + 3..].iter().take(2).take_while(|b| **b == quote).count();
                return at + 3 + more;
            }
            byte if byte == quote && !is_long => return at + 1,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text with a `*` for each place.
    fn shown(text: &str) -> String {
        let mut out = String::new();
        let mut at = 0;
        for range in hidden(text) {
            if range.end <= at {
                continue;
            }
            out.push_str(&text[at..range.start.max(at)]);
            out.push('*');
            at = range.end;
        }
        out + &text[at..]
    }

    #[test]
    fn values_of_secrets_are_hidden_wherever_they_stand() {
        for text in [
            "command = [\"mysql\", \"--password\", \"hunter2\", 1]",
            "command = [\"mysql\", \"--password\", \"hunter2\", zz]",
            "command = [\n\"mysql\",\n\"--password\", # \"\"\"\n\"hunter2\",\nzz]",
            "args = [\"--password\", \"hunter2\"",
            "args = [\"--password=hunter2\"]",
            "command = \"mysql --password hunter2\" zz",
            "command = \"mysql --password \\\"hunter2\\\"\" zz",
            "[jobs.x.environment.NOTE]\nsecret=true\nvalue = [\"hunter2\"]",
            "[jobs.x.environment.NOTE]\nvalue = \"a\"\nvalue = \"hunter2\"\nsecert = true",
            "[jobs.x.environment]\nNOTE.secret = true\nNOTE.vlaue = \"hunter2\"",
            "[jobs.x.environment]\nAPI_TOKEN = { vlaue = 'hunter2' }",
            "NOTE = { vlaue = \"hunter2\", secret = treu }",
            "password = \"\"\"a\nhunter2\"\"\" zz",
            "password = '''a\nhunter2",
            "password = hunter2 \"hunter2",
            "password = [\"hunter2\"",
            "a = [1,\nb = 2\npassword = \"hunter2\"",
            "[environments.dev\n'db-password'='hunter2'",
            "apiToken = 'hunter2'",
            "url = \"postgres://me:hunter2@host/x\" bad",
        ] {
            assert!(!shown(text).contains("hunter2"), "{text}: {}", shown(text));
        }
    }

    #[test]
    fn a_text_as_large_as_a_file_may_be_is_read_at_once() {
        for part in ["[", "{a=", "a.", "a=[{b=[", "[1,2],", "a=1\n", "\"a b=c\",", "x "] {
            let count = crate::limits::CONFIG_BYTES / part.len() / 16;
            for text in [part.repeat(count), format!("a=[{}", part.repeat(count))] {
                assert!(hidden(&text).len() <= count);
            }
        }
    }

    #[test]
    fn what_is_no_secret_is_shown() {
        for text in [
            "[services.auth]\ncommand = \"serve\"\nport = 80\n",
            "[jobs.x.environment.NOTE]\nsecret = true\nfile = \"~/a\"",
            "[jobs.x.environment]\nNOTE = { env = \"A\" }\nMAX_TOKENS = \"4096\"",
            "ssh_key = \"~/.ssh/id\" bad\nauth_method = \"trust\"",
            "[[services]]\nid = \"a\"\ncommand = [\"a\", \"--key-file\"]\n# password = x",
            "a = [[1, 2], {b = 3}]\nc = \"\"\"d\"\"\"\n",
            "é = \"ö",
        ] {
            assert_eq!(shown(text), text);
        }
        assert_eq!(shown("a = { password = 'x', b = 1 }"), "a = { password = *, b = 1 }");
    }
}
