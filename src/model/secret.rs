//! What looks secret, and how it is put aside (law 9): by name, by shape, by place. Pure.
//!
//! What is stored and shown has a [`MARKER`] where the secret stood. The original goes into
//! [`Secrets`] under its place, whole, so that putting it back is exact.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

use super::bytestring::ByteString;
use super::id::RunId;

/// What stands where a secret stood.
pub const MARKER: &str = "[secret]";

/// The originals behind the markers of one command: the content of `secrets/<id>`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secrets {
    /// Variables: (name, value).
    pub variables: Variables,
    /// Arguments of a run, by index in its argv.
    pub arguments: BTreeMap<u32, ByteString>,
    /// Of a batch, by the run of the line.
    pub lines: BTreeMap<RunId, LineSecrets>,
}

/// The originals behind the markers of one line of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LineSecrets {
    /// The line as it was written.
    pub line: Option<ByteString>,
    /// Arguments, by index in its argv.
    pub arguments: BTreeMap<u32, ByteString>,
}

impl Secrets {
    /// Whether there is nothing to keep.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Secrets {
    /// The secrets themselves.
    pub fn pieces(self) -> Vec<Vec<u8>> {
        let lines = self.lines.into_values();
        let lines =
            lines.flat_map(|line| line.line.into_iter().chain(line.arguments.into_values()));
        let texts: Vec<ByteString> = self.arguments.into_values().chain(lines).collect();
        secrets_in(&self.variables, &texts)
    }
}

impl LineSecrets {
    /// Whether there is nothing to keep.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Variables of a process: (name, value), each name once.
pub type Variables = Vec<(ByteString, ByteString)>;

/// What may be stored and shown, and what was taken out of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Masked<Values, Originals> {
    /// With markers.
    pub values: Values,
    /// By place.
    pub secrets: Originals,
}

/// Whether a variable, flag or header of this name holds a secret.
///
/// It goes by words (`API_KEY`, `api-key`, `apiKey`), so that `KEYBOARD`, `MONKEY` and
/// `GIT_AUTHOR_NAME` stay readable.
pub fn is_secret_name(name: &[u8]) -> bool {
    // The path of a socket, known to every shell.
    name != b"SSH_AUTH_SOCK" && words_of_name(name).iter().any(|word| is_secret_word(word))
}

fn is_secret_word(word: &str) -> bool {
    let word = word.trim_end_matches(|c: char| c.is_ascii_digit());
    let whole =
        ["KEY", "KEYS", "AUTH", "OAUTH", "AUTHORIZATION", "PRIVATE", "PASS", "PWD", "COOKIE"];
    let inside = ["PASSWORD", "PASSWD", "PASSPHRASE", "SECRET", "CREDENTIAL"];
    let end = ["TOKEN", "TOKENS", "APIKEY", "ACCESSKEY", "AUTHKEY", "PRIVATEKEY"];
    // `PWD` alone is the working directory.
    whole.contains(&word)
        || inside.iter().any(|part| word.contains(part))
        || end.iter().any(|part| word.ends_with(part))
}

/// Upper-case words of a name: split at what is no letter or digit, and at the humps of `aName`.
fn words_of_name(name: &[u8]) -> Vec<String> {
    let mut words = vec![String::new()];
    for (place, byte) in name.iter().enumerate() {
        if !byte.is_ascii_alphanumeric() {
            words.push(String::new());
            continue;
        }
        let before = place.checked_sub(1).map(|place| name[place]);
        let after = name.get(place + 1).copied();
        let hump = byte.is_ascii_uppercase()
            && (before.is_some_and(|byte| byte.is_ascii_lowercase())
                || before.is_some_and(|byte| byte.is_ascii_uppercase())
                    && after.is_some_and(|byte| byte.is_ascii_lowercase()));
        if hump {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut() {
            word.push(char::from(byte.to_ascii_uppercase()));
        }
    }
    // `PWD` and `OLDPWD` are directories; `DB_PWD` is not.
    words.retain(|word| !word.is_empty());
    if words.len() == 1 && words[0] == "PWD" {
        words.clear();
    }
    words
}

/// Masks variables, by name or by the shape of the value. Names are unique.
pub fn mask_variables(variables: Variables) -> Masked<Variables, Variables> {
    let mut secrets = Vec::new();
    let mask = |(name, value): (ByteString, ByteString)| {
        let shown = if is_secret_name(name.as_bytes()) && !value.as_bytes().is_empty() {
            ByteString::from(MARKER)
        } else {
            with_markers(value.as_bytes(), shapes(value.as_bytes()))
        };
        if shown != value {
            secrets.push((name.clone(), value));
        }
        (name, shown)
    };
    let values = variables.into_iter().map(mask).collect();
    Masked { values, secrets }
}

/// Masks an argv: `--token=V`, `--token V`, `TOKEN=V`, `Authorization: V`, and shapes anywhere.
pub fn mask_command(argv: Vec<ByteString>) -> Masked<Vec<ByteString>, BTreeMap<u32, ByteString>> {
    let mut secrets = BTreeMap::new();
    let mut values: Vec<ByteString> = Vec::with_capacity(argv.len());
    let mut flag_before = false;
    for (place, argument) in argv.into_iter().enumerate() {
        let bytes = argument.as_bytes();
        let is_flag = bytes.first() == Some(&b'-');
        let shown = if flag_before && !is_flag && !bytes.is_empty() {
            ByteString::from(MARKER)
        } else if is_script(&values) {
            with_markers(bytes, line_spans(bytes))
        } else {
            with_markers(bytes, argument_spans(bytes))
        };
        flag_before = place > 0 && is_flag && !bytes.contains(&b'=') && is_secret_name(bytes);
        if shown != argument {
            secrets.insert(u32::try_from(place).unwrap_or(u32::MAX), argument);
        }
        values.push(shown);
    }
    Masked { values, secrets }
}

/// Masks the text of a shell line.
pub fn mask_line(line: ByteString) -> Masked<ByteString, Option<ByteString>> {
    let shown = with_markers(line.as_bytes(), line_spans(line.as_bytes()));
    let secrets = (shown != line).then_some(line);
    Masked { values: shown, secrets }
}

/// What stood where the markers are.
fn pieces(shown: &[u8], original: &[u8]) -> Vec<Vec<u8>> {
    let mut fixed = Vec::new();
    let mut rest = shown;
    while let Some(at) = positions(rest, MARKER.as_bytes()).first() {
        fixed.push(&rest[..*at]);
        rest = &rest[at + MARKER.len()..];
    }
    fixed.push(rest);
    let (mut found, mut at) = (Vec::new(), 0);
    for pair in fixed.windows(2) {
        let start = at + pair[0].len();
        let Some(after) = original.get(start..) else { break };
        let length = match pair[1] {
            b"" => after.len(),
            next => positions(after, next).first().copied().unwrap_or(after.len()),
        };
        found.push(after[..length].to_vec());
        at = start + length;
    }
    found.retain(|piece| !piece.is_empty());
    found
}

/// The secrets in these variables, and in these arguments and lines, without what is around them.
pub fn secrets_in(variables: &Variables, texts: &[ByteString]) -> Vec<Vec<u8>> {
    let masked = mask_variables(variables.clone()).values;
    let both = variables.iter().zip(&masked);
    let mut found: Vec<Vec<u8>> = both
        .flat_map(|((_, value), (_, shown))| pieces(shown.as_bytes(), value.as_bytes()))
        .collect();
    for text in texts {
        let shown = with_markers(text.as_bytes(), argument_spans(text.as_bytes()));
        match pieces(shown.as_bytes(), text.as_bytes()).as_slice() {
            // The whole of it stood behind a flag of its own.
            [] => found.push(text.as_bytes().to_vec()),
            some => found.extend_from_slice(some),
        }
    }
    found
}

/// Puts the originals of [`mask_variables`] back.
pub fn unmask_variables(
    mut variables: Variables,
    secrets: &[(ByteString, ByteString)],
) -> Variables {
    let secrets: BTreeMap<&ByteString, &ByteString> =
        secrets.iter().map(|(name, value)| (name, value)).collect();
    for (name, value) in &mut variables {
        if let Some(original) = secrets.get(name) {
            value.clone_from(original);
        }
    }
    variables
}

/// Puts the originals of [`mask_command`] back.
pub fn unmask_command(
    mut argv: Vec<ByteString>,
    secrets: &BTreeMap<u32, ByteString>,
) -> Vec<ByteString> {
    for (place, original) in secrets {
        let place = usize::try_from(*place).unwrap_or(usize::MAX);
        if let Some(argument) = argv.get_mut(place) {
            argument.clone_from(original);
        }
    }
    argv
}

/// The text with a marker for each span; spans that touch become one.
fn with_markers(text: &[u8], mut spans: Vec<Range<usize>>) -> ByteString {
    spans.retain(|span| !span.is_empty());
    spans.sort_by_key(|span| span.start);
    let mut shown = Vec::with_capacity(text.len());
    let mut at = 0;
    for span in spans {
        if span.end <= at {
            continue;
        }
        if span.start > at || at == 0 {
            shown.extend_from_slice(&text[at..span.start]);
            shown.extend_from_slice(MARKER.as_bytes());
        }
        at = span.end;
    }
    shown.extend_from_slice(&text[at..]);
    ByteString::from(shown)
}

/// Whether the next word after these is the script of a shell: `sh -c SCRIPT`.
fn is_script(before: &[ByteString]) -> bool {
    let [shell, .., flag] = before else { return false };
    let file = shell.as_bytes().rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let is_shell = [&b"sh"[..], b"bash", b"dash", b"zsh", b"ksh", b"fish"].contains(&file);
    is_shell && flag.as_bytes().first() == Some(&b'-') && flag.as_bytes().last() == Some(&b'c')
}

/// `NAME=value` is a secret to the end of the argument, blanks included.
fn argument_spans(text: &[u8]) -> Vec<Range<usize>> {
    let name_start = text.iter().position(|byte| *byte != b'-').unwrap_or(text.len());
    let name_end = text[name_start..].iter().position(|byte| !is_name_byte(*byte));
    let name_end = name_start + name_end.unwrap_or(text.len() - name_start);
    let assigned = matches!(text.get(name_end), Some(b'=' | b':'));
    if assigned && is_secret_name(&text[name_start..name_end]) {
        let blanks = text[name_end + 1..].iter().take_while(|byte| **byte == b' ').count();
        return std::iter::once(name_end + 1 + blanks..text.len()).collect();
    }
    line_spans(text)
}

/// Secrets inside the text of a shell line.
fn line_spans(text: &[u8]) -> Vec<Range<usize>> {
    let mut spans = shapes(text);
    let mut flag_before = false;
    for word in words(text) {
        let bytes = &text[word.clone()];
        let bare = unquoted(text, word.clone());
        let is_flag = bytes.first() == Some(&b'-');
        if flag_before && !is_flag {
            spans.push(bare);
        }
        flag_before = is_flag && !bytes.contains(&b'=') && is_secret_name(bytes);
        spans.extend(assignments(text, &word));
    }
    spans.extend(headers(text));
    spans
}

/// What looks secret in text that some program printed: as in a shell line, and in JSON.
pub fn spans_of_output(text: &[u8]) -> Vec<Range<usize>> {
    let mut spans = private_keys(text);
    let mut start = 0;
    for line in text.split_inclusive(|byte| *byte == b'\n' || *byte == b'\r') {
        // Few lines have what any of the rules begins with.
        if line.iter().any(|byte| b"=:-_".contains(byte)) || contains_token(line) {
            let found = line_spans(line).into_iter().chain(json_values(line));
            spans.extend(found.map(|span| start + span.start..start + span.end));
        }
        start += line.len();
    }
    spans.retain(|span| !span.is_empty());
    spans.sort_by_key(|span| (span.start, span.end));
    spans
}

/// Tokens that are known by how they begin, and need none of the usual separators.
fn contains_token(line: &[u8]) -> bool {
    [&b"AKIA"[..], b"ASIA", b"eyJ"].iter().any(|begin| !positions(line, begin).is_empty())
        || line.windows(7).any(|part| part.eq_ignore_ascii_case(b"bearer "))
}

/// `"password": "value"`, in any quotes, and values without.
fn json_values(text: &[u8]) -> Vec<Range<usize>> {
    let mut spans = Vec::new();
    for colon in (0..text.len()).filter(|place| text[*place] == b':') {
        let before = text[..colon].trim_ascii_end();
        let Some((quote @ (b'"' | b'\''), before)) = before.split_last() else { continue };
        let name = before.iter().rev().take_while(|byte| is_name_byte(**byte)).count();
        let (open, name) = before.split_at(before.len() - name);
        if open.last() != Some(quote) || !is_secret_name(name) {
            continue;
        }
        let blanks = text[colon + 1..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let start = colon + 1 + blanks;
        let Some(first) = text.get(start).filter(|first| !b"[{".contains(first)) else { continue };
        let span = if matches!(first, b'"' | b'\'') {
            start + 1..end_of_string(text, start)
        } else {
            let ends = |byte: &u8| b",]} \n\r\t".contains(byte);
            let length = text[start..].iter().position(ends).unwrap_or(text.len() - start);
            start..start + length
        };
        spans.push(span);
    }
    spans
}

/// Where the quote that opens at `start` is closed.
fn end_of_string(text: &[u8], start: usize) -> usize {
    let mut escaped = false;
    for (place, byte) in text.iter().enumerate().skip(start + 1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            byte if *byte == text[start] => return place,
            _ => {}
        }
    }
    text.len()
}

/// `NAME=value` and `?name=value&` inside a word.
fn assignments(text: &[u8], word: &Range<usize>) -> Vec<Range<usize>> {
    let equals = word.clone().filter(|place| text[*place] == b'=');
    let secret = equals.filter(|place| {
        let before = &text[word.start..*place];
        let name = before.iter().rev().take_while(|byte| is_name_byte(**byte)).count();
        is_secret_name(&before[before.len() - name..])
    });
    let value = |place: usize| {
        let is_query = text[word.start..place].contains(&b'?');
        let rest = &text[place + 1..word.end];
        let end = rest.iter().position(|byte| is_query && *byte == b'&').unwrap_or(rest.len());
        unquoted(text, place + 1..place + 1 + end)
    };
    secret.map(value).collect()
}

/// `Authorization: value` up to the closing quote or the end of the line.
fn headers(text: &[u8]) -> Vec<Range<usize>> {
    let colons = (0..text.len()).filter(|place| text[*place] == b':');
    let secret = colons.filter(|place| {
        let name = text[..*place].iter().rev().take_while(|byte| is_name_byte(**byte)).count();
        text.get(place + 1) == Some(&b' ') && is_secret_name(&text[place - name..*place])
    });
    let value = |place: usize| {
        let blanks = text[place + 1..].iter().take_while(|byte| **byte == b' ').count();
        let start = place + 1 + blanks;
        let ends = |byte: &u8| matches!(byte, b'\'' | b'"' | b'\n' | b'\r');
        start..start + text[start..].iter().position(ends).unwrap_or(text.len() - start)
    };
    secret.map(value).collect()
}

fn is_name_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-.".contains(&byte)
}

/// Words of a shell line: blanks inside quotes do not split.
fn words(text: &[u8]) -> Vec<Range<usize>> {
    let mut words = Vec::new();
    let (mut start, mut quote, mut escaped) = (None, None, false);
    for (place, byte) in text.iter().enumerate() {
        let blank = matches!(byte, b' ' | b'\t' | b'\n' | b';') && quote.is_none() && !escaped;
        if blank {
            words.extend(start.take().map(|start| start..place));
            continue;
        }
        start = start.or(Some(place));
        match (byte, quote) {
            _ if escaped => escaped = false,
            (b'\\', None | Some(b'"')) => escaped = true,
            (b'\'' | b'"', None) => quote = Some(*byte),
            (byte, Some(open)) if *byte == open => quote = None,
            _ => {}
        }
    }
    words.extend(start.map(|start| start..text.len()));
    words
}

/// Without the quotes around it; a span that is a marker already is empty.
fn unquoted(text: &[u8], span: Range<usize>) -> Range<usize> {
    let quotes = |byte: &&u8| matches!(byte, b'\'' | b'"');
    let bytes = &text[span.clone()];
    let before = bytes.iter().take_while(quotes).count();
    let after = bytes[before..].iter().rev().take_while(quotes).count();
    span.start + before..span.end - after
}

/// Spans that look secret wherever they stand.
fn shapes(text: &[u8]) -> Vec<Range<usize>> {
    let mut spans = url_passwords(text);
    spans.extend(private_keys(text));
    for place in 0..text.len() {
        let starts_word = place == 0 || !text[place - 1].is_ascii_alphanumeric();
        if starts_word && let Some(bytes) = token_length(&text[place..]) {
            spans.push(place..place + bytes);
        }
    }
    spans
}

/// `scheme://user:password@host`: the password.
fn url_passwords(text: &[u8]) -> Vec<Range<usize>> {
    let mut spans = Vec::new();
    for place in positions(text, b"://") {
        let start = place + 3;
        let ends =
            |byte: &u8| matches!(byte, b'/' | b' ' | b'\t' | b'\n' | b'"' | b'\'' | b'?' | b'#');
        let authority = &text[start..];
        let authority = &authority[..authority.iter().position(ends).unwrap_or(authority.len())];
        let at = authority.iter().rposition(|byte| *byte == b'@');
        let colon = authority.iter().position(|byte| *byte == b':');
        if let (Some(at), Some(colon)) = (at, colon)
            && colon < at
        {
            spans.push(start + colon + 1..start + at);
        }
    }
    spans
}

/// From `-----BEGIN … PRIVATE KEY-----` to the line of its end, or of the text.
fn private_keys(text: &[u8]) -> Vec<Range<usize>> {
    let mut spans = Vec::new();
    for place in positions(text, b"-----BEGIN ") {
        let line = text[place..].split(|byte| *byte == b'\n').next().unwrap_or_default();
        if positions(line, b"PRIVATE KEY-----").is_empty() {
            continue;
        }
        let end = positions(&text[place..], b"-----END ").first().map(|end| place + end + 9);
        let close = |end: usize| positions(&text[end..], b"-----").first().map(|at| end + at + 5);
        spans.push(place..end.and_then(close).unwrap_or(text.len()));
    }
    spans
}

fn positions(text: &[u8], part: &[u8]) -> Vec<usize> {
    text.windows(part.len()).enumerate().filter(|(_, at)| *at == part).map(|(at, _)| at).collect()
}

/// The length of a well-known token that `text` starts with.
fn token_length(text: &[u8]) -> Option<usize> {
    let alphanumeric = |byte: &u8| byte.is_ascii_alphanumeric();
    let loose = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-".contains(byte);
    let run = |from: usize, fits: &dyn Fn(&u8) -> bool| {
        text.get(from..).unwrap_or_default().iter().take_while(|byte| fits(byte)).count()
    };
    let after = |prefix: &str, least: usize, fits: &dyn Fn(&u8) -> bool| {
        let from = prefix.len();
        let matches = text.starts_with(prefix.as_bytes()) && run(from, fits) >= least;
        matches.then(|| from + run(from, fits))
    };
    for prefix in ["AKIA", "ASIA"] {
        if let Some(length) = after(prefix, 16, &alphanumeric) {
            return Some(length);
        }
    }
    for prefix in ["ghp_", "gho_", "ghu_", "ghs_", "ghr_", "github_pat_", "glpat-", "sk-"] {
        if let Some(length) = after(prefix, 16, &loose) {
            return Some(length);
        }
    }
    for prefix in ["xoxb-", "xoxp-", "xoxa-", "xoxr-", "xoxs-"] {
        if let Some(length) = after(prefix, 8, &loose) {
            return Some(length);
        }
    }
    if text.len() > 7 && text[..7].eq_ignore_ascii_case(b"bearer ") {
        let fits = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.~+/=".contains(byte);
        return (run(7, &fits) >= 8).then(|| 7 + run(7, &fits));
    }
    jwt_length(text, &loose)
}

/// `eyJ….….…`
fn jwt_length(text: &[u8], fits: &dyn Fn(&u8) -> bool) -> Option<usize> {
    if !text.starts_with(b"eyJ") {
        return None;
    }
    let mut at = 0;
    for part in 0..3 {
        let length = text[at..].iter().take_while(|byte| fits(byte)).count();
        if length < 4 && part < 2 {
            return None;
        }
        at += length;
        if part < 2 {
            if text.get(at) != Some(&b'.') {
                return None;
            }
            at += 1;
        }
    }
    Some(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const GITHUB: &str = "ghp_0123456789abcdefABCDEF0123456789abcd";
    const JWT: &str = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl";

    fn command(words: &[&str]) -> Vec<ByteString> {
        words.iter().map(|word| ByteString::from(*word)).collect()
    }

    #[test]
    fn secrets_come_without_what_is_around_them() {
        let variables =
            [("API_TOKEN", "abc def"), ("URL", "https://ada:hunter2@host/x"), ("A", "b")];
        let variables = variables.map(|(name, value)| (name.into(), value.into())).to_vec();
        let texts =
            ["--token=word1", "https://ada:word2@host", "word3", "curl -u x:y; PASSWORD=word4 z"];
        let texts = texts.map(ByteString::from).to_vec();
        let found = secrets_in(&variables, &texts);
        let found: Vec<&str> =
            found.iter().map(|piece| std::str::from_utf8(piece).expect("text")).collect();
        assert_eq!(found, ["abc def", "hunter2", "word1", "word2", "word3", "word4"]);
    }

    #[test]
    fn output_is_searched_by_line_and_in_json() {
        for (text, secret) in [
            ("before\nDB_PASSWORD=hunter2\nafter", "hunter2"),
            (r#"{"user": "ada", "password": "hun\"ter2", "n": 1}"#, r#"hun\"ter2"#),
            (r#"{"api_key":12345678,"n":1}"#, "12345678"),
            ("{'token': 'abc def'}", "abc def"),
            ("GET https://ada:hunter2@host/x", "hunter2"),
            ("Authorization: Basic YWRhOmh1bnRlcjI=\r\nHost: x", "Basic YWRhOmh1bnRlcjI="),
            ("using AKIA0123456789ABCDEF now", "AKIA0123456789ABCDEF"),
        ] {
            let spans = spans_of_output(text.as_bytes());
            let found: Vec<&str> = spans.iter().map(|span| &text[span.clone()]).collect();
            assert_eq!(found, [secret], "{text}");
        }
        for text in ["monkey=banana", r#"{"keyboard": "qwerty"}"#, "PWD=/tmp", "a: b", "--- x", ""]
        {
            assert!(spans_of_output(text.as_bytes()).is_empty(), "{text}");
        }
    }

    #[test]
    fn names_are_secret_by_their_words() {
        for name in [
            "TOKEN",
            "GITHUB_TOKEN",
            "githubToken",
            "GITHUBTOKEN",
            "TOKEN2",
            "PASSWORD",
            "PGPASSWORD",
            "db-passwd",
            "DB_PASS",
            "MY_SECRET",
            "SECRETS",
            "API_KEY",
            "apiKey",
            "APIKEY",
            "KEY",
            "X-Api-Key",
            "--private-key",
            "AWS_SECRET_ACCESS_KEY",
            "CREDENTIALS",
            "AUTH",
            "PRIVATE",
            "Authorization",
            "-HAuthorization",
            "Proxy-Authorization",
            "Cookie",
            "DB_PWD",
        ] {
            assert!(is_secret_name(name.as_bytes()), "{name}");
        }
        for name in [
            "",
            "PATH",
            "HOME",
            "KEYBOARD",
            "MONKEY",
            "KEYMAP",
            "XKB_KEYMAP",
            "GIT_AUTHOR_NAME",
            "AUTHOR",
            "TOKENIZERS_PARALLELISM",
            "SSH_AUTH_SOCK",
            "PWD",
            "OLDPWD",
            "BYPASS",
            "COMPASS",
            "HOTKEYS_ON",
            "_",
        ] {
            assert!(!is_secret_name(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn values_are_secret_by_their_shape() {
        let pem = "-----BEGIN RSA PRIVATE KEY-----\nMIIB\n-----END RSA PRIVATE KEY-----";
        for (value, want) in [
            ("postgres://u:p4ss@db/x", "postgres://u:[secret]@db/x"),
            ("https://u@h/x", "https://u@h/x"),
            ("https://h/a:b@c", "https://h/a:b@c"),
            ("redis://:p@ss@h", "redis://:[secret]@h"),
            ("AKIAIOSFODNN7EXAMPLE", "[secret]"),
            ("id=AKIAIOSFODNN7EXAMPLE;", "id=[secret];"),
            ("AKIA is short", "AKIA is short"),
            (GITHUB, "[secret]"),
            ("github_pat_11AAAAAAA0123456789abc", "[secret]"),
            ("xoxb-1234567890-abc", "[secret]"),
            ("sk-abcdefghijklmnopqrstuv", "[secret]"),
            ("task-abcdefghijklmnopqrstuv", "task-abcdefghijklmnopqrstuv"),
            (JWT, "[secret]"),
            ("eyJust a word", "eyJust a word"),
            ("Bearer abcdefgh12345", "[secret]"),
            ("bearer of news", "bearer of news"),
            (pem, "[secret]"),
            ("-----BEGIN CERTIFICATE-----", "-----BEGIN CERTIFICATE-----"),
            ("/usr/bin:/bin", "/usr/bin:/bin"),
        ] {
            let variables = vec![(ByteString::from("X"), ByteString::from(value))];
            let masked = mask_variables(variables.clone());
            assert_eq!(masked.values[0].1, ByteString::from(want), "{value}");
            assert_eq!(unmask_variables(masked.values, &masked.secrets), variables);
        }
    }

    #[test]
    fn arguments_are_secret_by_flag_assignment_and_header() {
        let table: [(&[&str], &[&str]); 14] = [
            (&["a", "--token=x y", "b"], &["a", "--token=[secret]", "b"]),
            (&["a", "--token", "x", "y"], &["a", "--token", "[secret]", "y"]),
            (&["a", "--auth", "--verbose", "y"], &["a", "--auth", "--verbose", "y"]),
            (&["env", "API_KEY=1 2", "b"], &["env", "API_KEY=[secret]", "b"]),
            (&["docker", "-e", "DB_PASSWORD=x"], &["docker", "-e", "DB_PASSWORD=[secret]"]),
            (&["d", "--env=API_KEY=x"], &["d", "--env=API_KEY=[secret]"]),
            (
                &["curl", "-H", "Authorization: Basic eA"],
                &["curl", "-H", "Authorization: [secret]"],
            ),
            (&["curl", "-HX-Api-Key: eA"], &["curl", "-HX-Api-Key: [secret]"]),
            (&["curl", "https://u:p@h/x"], &["curl", "https://u:[secret]@h/x"]),
            (
                &["curl", "https://h/?a=1&api_key=z&b=2"],
                &["curl", "https://h/?a=1&api_key=[secret]&b=2"],
            ),
            (&["echo", GITHUB], &["echo", "[secret]"]),
            (&["sh", "-c", "TOKEN=x make 'all'"], &["sh", "-c", "TOKEN=[secret] make 'all'"]),
            (
                &["bash", "-lc", "curl -H 'Authorization: Bearer q' --password \"a b\" h"],
                &["bash", "-lc", "curl -H 'Authorization: [secret]' --password \"[secret]\" h"],
            ),
            (&["keyboard", "--keymap=de", "a=b"], &["keyboard", "--keymap=de", "a=b"]),
        ];
        for (argv, want) in table {
            let masked = mask_command(command(argv));
            assert_eq!(masked.values, command(want));
            let again = mask_command(masked.values.clone());
            assert_eq!((again.values, again.secrets.len()), (masked.values.clone(), 0));
            assert_eq!(unmask_command(masked.values, &masked.secrets), command(argv));
        }
    }

    #[test]
    fn what_is_kept_of_a_command_survives_json() {
        let variables = vec![(ByteString::from(b"TOKEN\xff".to_vec()), ByteString::from("v"))];
        let variables = mask_variables(variables).secrets;
        let arguments = mask_command(command(&["a", "--token=x"])).secrets;
        let line = mask_line(ByteString::from("a --token x")).secrets;
        let lines = BTreeMap::from([(
            RunId::from_chance(3),
            LineSecrets { line, arguments: arguments.clone() },
        )]);
        let secrets = Secrets { variables, arguments, lines };
        let json = serde_json::to_string(&secrets).expect("serialises");
        assert_eq!(serde_json::from_str::<Secrets>(&json).expect("reads"), secrets);
        assert!(!secrets.is_empty() && secrets.lines.values().all(|line| !line.is_empty()));
    }

    fn contains(text: &ByteString, secret: &str) -> bool {
        !positions(text.as_bytes(), secret.as_bytes()).is_empty()
    }

    proptest! {
        #[test]
        fn any_command_comes_back_as_it_was(
            argv in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..8),
        ) {
            let argv: Vec<ByteString> = argv.into_iter().map(ByteString::from).collect();
            let masked = mask_command(argv.clone());
            prop_assert_eq!(unmask_command(masked.values, &masked.secrets), argv);
        }

        #[test]
        fn any_text_of_shell_letters_comes_back_as_it_was(
            argv in prop::collection::vec("[-'\"\\\\ =:@/?&;a-cTOKENkey]{0,30}", 0..6),
        ) {
            let argv: Vec<ByteString> = argv.into_iter().map(ByteString::from).collect();
            let masked = mask_command(argv.clone());
            prop_assert_eq!(unmask_command(masked.values, &masked.secrets), argv.clone());
            let variables: BTreeMap<_, _> = argv.iter().map(|x| (x.clone(), x.clone())).collect();
            let variables: Vec<_> = variables.into_iter().collect();
            let masked = mask_variables(variables.clone());
            prop_assert_eq!(unmask_variables(masked.values, &masked.secrets), variables);
        }

        #[test]
        fn no_secret_is_left_in_what_is_shown(
            secret in "[A-Za-z0-9]{12,30}", name in "[A-Z]{1,6}_(TOKEN|PASSWORD|API_KEY|SECRET)",
        ) {
            let secret = format!("zQ7{secret}");
            let flag = format!("--{}", name.to_lowercase());
            for argv in [
                vec![format!("{name}={secret}")],
                vec!["a".to_owned(), flag.clone(), secret.clone()],
                vec!["a".to_owned(), format!("{flag}={secret}")],
                vec!["a".to_owned(), format!("ftp://u:{secret}@h/")],
                vec!["a".to_owned(), format!("-H Authorization: token {secret}")],
                vec![
                    "sh".to_owned(),
                    "-c".to_owned(),
                    format!("x; {name}='{secret}' y {flag} \"{secret}\""),
                ],
            ] {
                let argv: Vec<ByteString> = argv.into_iter().map(ByteString::from).collect();
                let masked = mask_command(argv.clone());
                for shown in &masked.values {
                    prop_assert!(!contains(shown, &secret), "{shown:?}");
                }
                let again = mask_command(masked.values.clone());
                prop_assert!(again.secrets.is_empty() && again.values == masked.values);
                let line = argv.iter().map(ByteString::to_text).collect::<Vec<_>>().join(" ");
                let masked = mask_line(ByteString::from(line));
                prop_assert!(!contains(&masked.values, &secret), "{:?}", masked.values);
            }
        }
    }
}
