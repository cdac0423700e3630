//! Rust source as the rules see it: without comments and literals, as tokens, as paths.

/// One file of the repository.
pub(crate) struct File {
    /// From the repository's root, with `/`.
    pub(crate) path: String,
    /// As it lies there.
    pub(crate) text: String,
}

/// What a rule dislikes, and where.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// From the repository's root.
    pub(crate) path: String,
    /// From 1.
    pub(crate) line: usize,
    /// What is wrong and, where it is not plain, what to do.
    pub(crate) what: String,
}

impl File {
    /// A file; tests make bad ones this way.
    pub(crate) fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// A complaint about one line of it.
    pub(crate) fn finding(&self, line: usize, what: impl Into<String>) -> Finding {
        Finding { path: self.path.clone(), line, what: what.into() }
    }

    /// Is it Rust?
    pub(crate) fn is_rust(&self) -> bool {
        self.extension() == "rs"
    }

    /// What follows the last dot of its name; empty without one.
    pub(crate) fn extension(&self) -> &str {
        let name = self.path.rsplit('/').next().unwrap_or_default();
        name.rsplit_once('.').map_or("", |(_, extension)| extension)
    }

    /// Everything but comments and literals, which are blanks; lines stay where they are.
    pub(crate) fn code(&self) -> String {
        mask(&self.text)
    }

    /// `code()` without items under `#[cfg(test)]`.
    pub(crate) fn production(&self) -> String {
        blank_tests(&self.code())
    }
}

/// A word or a sign, and its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    /// An identifier, a number, `::`, or one sign.
    pub(crate) text: String,
    /// From 1.
    pub(crate) line: usize,
    /// In characters from the start of the file.
    start: usize,
}

/// A path such as `crate::log::Store`, whole, and its line.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Path {
    /// Its segments; a leading `::` is not one.
    pub(crate) segments: Vec<String>,
    /// From 1.
    pub(crate) line: usize,
    /// Inline modules around it, outermost first.
    pub(crate) inside: Vec<String>,
}

/// Blanks comments and literals.
fn mask(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = literal_or_comment(&chars, at).unwrap_or(at);
        if end == at {
            out.push(chars[at]);
            at += 1;
        }
        while at < end {
            out.push(if chars[at] == '\n' { '\n' } else { ' ' });
            at += 1;
        }
    }
    out
}

/// The end of the comment or literal that begins at `at`, if one does.
fn literal_or_comment(chars: &[char], at: usize) -> Option<usize> {
    let next = |n: usize| chars.get(at + n).copied();
    match chars[at] {
        '/' if next(1) == Some('/') => Some(find(chars, at, |c| c[0] == '\n')),
        '/' if next(1) == Some('*') => Some(end_of_block_comment(chars, at)),
        '"' => Some(end_of_string(chars, at + 1, '"')),
        '\'' if next(1) == Some('\\') => Some(end_of_string(chars, at + 1, '\'')),
        '\'' if next(2) == Some('\'') => Some(at + 3),
        'r' | 'b' | 'c' if at == 0 || !is_word(chars[at - 1]) => prefixed_literal(chars, at),
        _ => None,
    }
}

/// The end of `r"…"`, `br#"…"#` and their kin; `b'…'` and `b"…"` begin one character later.
fn prefixed_literal(chars: &[char], at: usize) -> Option<usize> {
    let raw = (at..at + 2).find(|&n| chars.get(n) == Some(&'r'))?;
    let hashes = chars[raw + 1..].iter().take_while(|&&c| c == '#').count();
    let open = raw + 1 + hashes;
    if chars.get(open) != Some(&'"') {
        return None;
    }
    let close: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    Some((find(chars, open + 1, |rest| rest.starts_with(&close)) + close.len()).min(chars.len()))
}

fn end_of_block_comment(chars: &[char], at: usize) -> usize {
    let (mut depth, mut now) = (0, at);
    while now < chars.len() {
        match (chars[now], chars.get(now + 1)) {
            ('/', Some('*')) => (depth, now) = (depth + 1, now + 2),
            ('*', Some('/')) if depth == 1 => return now + 2,
            ('*', Some('/')) => (depth, now) = (depth - 1, now + 2),
            _ => now += 1,
        }
    }
    now
}

fn end_of_string(chars: &[char], mut at: usize, quote: char) -> usize {
    while at < chars.len() && chars[at] != quote {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(chars.len())
}

fn find(chars: &[char], from: usize, is_end: impl Fn(&[char]) -> bool) -> usize {
    (from..chars.len()).find(|&at| is_end(&chars[at..])).unwrap_or(chars.len())
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// Splits masked code.
pub(crate) fn tokens(code: &str) -> Vec<Token> {
    let chars: Vec<char> = code.chars().collect();
    let (mut out, mut at, mut line) = (Vec::new(), 0, 1);
    while at < chars.len() {
        let start = at;
        if is_word(chars[at]) {
            at = find(&chars, at, |rest| !is_word(rest[0]));
        } else if chars[at] == ':' && chars.get(at + 1) == Some(&':') {
            at += 2;
        } else {
            at += 1;
        }
        if chars[start] == '\n' {
            line += 1;
        } else if !chars[start].is_whitespace() {
            out.push(Token { text: chars[start..at].iter().collect(), line, start });
        }
    }
    out
}

/// Blanks each item under `#[cfg(test)]` or `#[cfg(all(test, …))]`.
fn blank_tests(code: &str) -> String {
    let tokens = tokens(code);
    let mut chars: Vec<char> = code.chars().collect();
    let mut at = 0;
    while at < tokens.len() {
        if !is_test_attribute(&tokens[at..]) {
            at += 1;
            continue;
        }
        let end = end_of_item(&tokens, at);
        let last = tokens.get(end).map_or(chars.len(), |token| token.start + 1);
        for c in chars[tokens[at].start..last].iter_mut().filter(|c| **c != '\n') {
            *c = ' ';
        }
        at = end + 1;
    }
    chars.into_iter().collect()
}

fn is_test_attribute(tokens: &[Token]) -> bool {
    let starts = |words: &[&str]| {
        words.len() <= tokens.len() && words.iter().zip(tokens).all(|(word, t)| t.text == **word)
    };
    starts(&["#", "[", "cfg", "(", "test", ")"])
        || starts(&["#", "[", "cfg", "(", "all", "(", "test", ","])
}

/// The last token of the item whose attributes begin at `at`.
fn end_of_item(tokens: &[Token], at: usize) -> usize {
    let (mut now, mut nested, mut is_use) = (at, 0_usize, false);
    while let Some(token) = tokens.get(now) {
        match token.text.as_str() {
            "use" if nested == 0 => is_use = true,
            "(" | "[" | "{" => nested += 1,
            ")" | "]" => nested = nested.saturating_sub(1),
            "}" => {
                nested = nested.saturating_sub(1);
                if nested == 0 && !is_use {
                    return now;
                }
            }
            ";" if nested == 0 => return now,
            _ => {}
        }
        now += 1;
    }
    now
}

/// Every path of two or more segments, `use` trees spread out; `use x;` has one.
pub(crate) fn paths(code: &str) -> Vec<Path> {
    let tokens = tokens(code);
    let mut walk = Walk { tokens: &tokens, inside: Vec::new(), depth: 0, out: Vec::new() };
    let mut at = 0;
    while at < tokens.len() {
        at = walk.step(at);
    }
    walk.out
}

struct Walk<'a> {
    tokens: &'a [Token],
    inside: Vec<(String, usize)>,
    depth: usize,
    out: Vec<Path>,
}

impl Walk<'_> {
    fn text(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| token.text.as_str())
    }

    fn is_name(&self, at: usize) -> bool {
        self.text(at).starts_with(|c: char| c.is_alphabetic() || c == '_')
    }

    /// Reads what begins at `at`; gives where to go on.
    fn step(&mut self, at: usize) -> usize {
        match self.text(at) {
            "{" => self.depth += 1,
            "}" => {
                self.depth = self.depth.saturating_sub(1);
                self.inside.retain(|(_, depth)| *depth <= self.depth);
            }
            "mod" if self.text(at + 2) == "{" => {
                self.inside.push((self.text(at + 1).to_owned(), self.depth + 1));
            }
            "use" if self.is_name(at + 1) || matches!(self.text(at + 1), "::" | "{") => {
                return self.tree(at + 1, &[]);
            }
            _ if self.is_name(at) => return self.expression(at),
            _ => {}
        }
        at + 1
    }

    /// `a::b::c` outside a `use`.
    fn expression(&mut self, start: usize) -> usize {
        let mut segments = vec![self.text(start).to_owned()];
        let mut at = start + 1;
        while self.text(at) == "::" && self.is_name(at + 1) {
            segments.push(self.text(at + 1).to_owned());
            at += 2;
        }
        // Not the middle of `<T as Trait>::name` nor a field or method.
        let before = start.checked_sub(1).map_or("", |n| self.text(n));
        let generic = before == "::" && start > 1 && self.text(start - 2) == ">";
        if segments.len() > 1 && before != "." && !generic {
            self.push(segments, start);
        }
        at
    }

    /// One tree of a `use`, after `prefix`.
    fn tree(&mut self, mut at: usize, prefix: &[String]) -> usize {
        let (start, mut segments) = (at, prefix.to_vec());
        loop {
            match self.text(at) {
                "::" => at += 1,
                "{" => {
                    at += 1;
                    while !matches!(self.text(at), "}" | "") {
                        at = self.tree(at, &segments);
                        at += usize::from(self.text(at) == ",");
                    }
                    return at + 1;
                }
                "as" => at += 2,
                "*" => {
                    segments.push("*".to_owned());
                    at += 1;
                }
                _ if self.is_name(at) => {
                    segments.push(self.text(at).to_owned());
                    at += 1;
                }
                _ => break,
            }
        }
        self.push(segments, start);
        at.max(start + usize::from(at == start && !matches!(self.text(at), "}" | ",")))
    }

    fn push(&mut self, segments: Vec<String>, at: usize) {
        let line = self.tokens.get(at).map_or(0, |token| token.line);
        let inside = self.inside.iter().map(|(name, _)| name.clone()).collect();
        self.out.push(Path { segments, line, inside });
    }
}

/// Where a file's own module stands: `src/log/codec.rs` is `log::codec`.
pub(crate) fn module_of(path: &str) -> Vec<String> {
    let inner = path.strip_prefix("src/").unwrap_or(path);
    let inner = inner.strip_suffix(".rs").unwrap_or(inner);
    let mut module: Vec<String> = inner.split('/').map(str::to_owned).collect();
    if matches!(module.last().map(String::as_str), Some("mod" | "lib" | "main")) {
        module.pop();
    }
    module
}

/// The path from the crate's root, if it names something of this crate by `crate`, `super`,
/// `self` or (in `main.rs`) by the library's name.
pub(crate) fn from_root(file: &str, path: &Path) -> Option<Vec<String>> {
    let mut here = module_of(file);
    here.extend(path.inside.iter().cloned());
    let mut rest = path.segments.as_slice();
    match rest.first()?.as_str() {
        "crate" | "jr" => here.clear(),
        "self" | "super" => {}
        _ => return None,
    }
    while let Some(word) = rest.first() {
        match word.as_str() {
            "super" => drop(here.pop()),
            "self" | "crate" | "jr" => {}
            _ => break,
        }
        rest = &rest[1..];
    }
    here.extend(rest.iter().cloned());
    Some(here)
}

#[test]
fn comments_and_literals_are_blank() {
    let text = "a /* x /* y */ z */ b // c\n\"d\\\"e\" r#\"f\"g\"# 'h' '\\'' b'i' \
                br\"j\" &'k l r#type";
    let words: Vec<String> = tokens(&mask(text)).into_iter().map(|token| token.text).collect();
    assert_eq!(words, ["a", "b", "b", "&", "'", "k", "l", "r", "#", "type"]);
    assert_eq!(mask(text).lines().count(), 2);
}

#[test]
fn items_under_cfg_test_are_blank() {
    let text = "use a::b;\n#[cfg(test)]\nuse x::{y, z};\n#[cfg(test)]\n#[rustfmt::skip]\nmod t {\n \
                fn f() -> [u8; 2] { g::h() }\n}\nfn k() { l::m() }\n\
                #[cfg(all(test, unix))]\nmod u;\n";
    let found = paths(&blank_tests(&mask(text)));
    let words: Vec<String> = found.iter().map(|path| path.segments.join("::")).collect();
    assert_eq!(words, ["a::b", "l::m"]);
}

#[test]
fn paths_are_found_wherever_they_stand() {
    let text = "pub use crate::{a::{b, c as d}, e::*};\nuse ::std::fs;\nuse f;\n\
                fn g(x: h::I) -> impl J + use<'_> { x.k::<l::M>(); <N as o::P>::q(); r::s!() }\n\
                #[derive(t::U)] mod v { use super::w; }";
    let found = paths(&mask(text));
    let words: Vec<String> = found.iter().map(|path| path.segments.join("::")).collect();
    let all = [
        "crate::a::b",
        "crate::a::c",
        "crate::e::*",
        "std::fs",
        "f",
        "h::I",
        "l::M",
        "o::P",
        "r::s",
        "t::U",
        "super::w",
    ];
    assert_eq!(words, all);
    assert_eq!(found.last().expect("there are some").inside, ["v"]);
    assert_eq!(found[3].line, 2);
}

#[test]
fn relative_paths_lead_to_the_root() {
    let root = |file: &str, segments: &[&str], inside: &[&str]| {
        let own = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        let path = Path { segments: own(segments), line: 1, inside: own(inside) };
        from_root(file, &path).map(|words| words.join("::"))
    };
    assert_eq!(root("src/log/codec.rs", &["super", "Store"], &[]).as_deref(), Some("log::Store"));
    assert_eq!(root("src/log/mod.rs", &["super", "cli", "X"], &[]).as_deref(), Some("cli::X"));
    assert_eq!(root("src/log/mod.rs", &["super", "X"], &["v1"]).as_deref(), Some("log::X"));
    assert_eq!(root("src/main.rs", &["jr", "cli"], &[]).as_deref(), Some("cli"));
    assert_eq!(root("src/a/b.rs", &["self", "c"], &[]).as_deref(), Some("a::b::c"));
    assert_eq!(root("src/a/b.rs", &["std", "fs"], &[]), None);
}
