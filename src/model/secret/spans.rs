//! What looks secret in a text, and where: by name, by shape, by place. Pure.

use std::ops::Range;

use super::json::json_values;

/// Whether a variable, flag or header of this name holds a secret.
///
/// It goes by words (`API_KEY`, `api-key`, `apiKey`), so that `KEYBOARD`, `MONKEY` and
/// `GIT_AUTHOR_NAME` stay readable.
pub fn is_secret_name(name: &[u8]) -> bool {
    // The path of a socket, known to every shell.
    name != b"SSH_AUTH_SOCK" && words_of_name(name).iter().any(|word| is_secret_word(word))
}

/// Digits of a number that is how many of something there may be.
const COUNT_DIGITS: usize = 7;

/// Whether a value is secret by its name: what counts tokens, as in `MAX_TOKENS=4096`, holds none.
pub fn is_secret(name: &[u8], value: &[u8]) -> bool {
    let is_number = value.len() <= COUNT_DIGITS && value.iter().all(u8::is_ascii_digit);
    is_secret_name(name) && !(is_number && is_count_of_tokens(name))
}

fn is_count_of_tokens(name: &[u8]) -> bool {
    let counts = ["MAX", "MIN", "NUM", "N", "COUNT", "LIMIT", "TOTAL", "PER"];
    let words = words_of_name(name);
    let mut secret = words.iter().filter(|word| is_secret_word(word)).peekable();
    secret.peek().is_some()
        && secret.all(|word| word == "TOKENS")
        && words.iter().any(|word| counts.contains(&word.as_str()))
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

/// `NAME=value` is a secret to the end of the argument, blanks included.
pub(super) fn argument_spans(text: &[u8]) -> Vec<Range<usize>> {
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

/// Secrets inside the text of a shell line, and of JSON in it.
pub(super) fn line_spans(text: &[u8]) -> Vec<Range<usize>> {
    let mut spans = word_spans(text);
    spans.extend(json_values(text));
    spans
}

/// Secrets by the words of a shell line.
fn word_spans(text: &[u8]) -> Vec<Range<usize>> {
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
pub fn of_output(text: &[u8]) -> Vec<Range<usize>> {
    let mut spans = private_keys(text);
    spans.extend(json_values(text));
    let mut start = 0;
    for line in text.split_inclusive(|byte| *byte == b'\n' || *byte == b'\r') {
        if may_hold(line) {
            let found = word_spans(line).into_iter();
            spans.extend(found.map(|span| start + span.start..start + span.end));
        }
        start += line.len();
    }
    spans.retain(|span| !span.is_empty());
    spans.sort_by_key(|span| (span.start, span.end));
    spans
}

/// Whether a line has what any of the rules begins with: few have.
pub fn may_hold(line: &[u8]) -> bool {
    line.iter().any(|byte| b"=:-_".contains(byte)) || contains_token(line)
}

/// Tokens that are known by how they begin, and need none of the usual separators.
fn contains_token(line: &[u8]) -> bool {
    [&b"AKIA"[..], b"ASIA", b"eyJ"].iter().any(|begin| !positions(line, begin).is_empty())
        || line.windows(7).any(|part| part.eq_ignore_ascii_case(b"bearer "))
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

pub(super) fn is_name_byte(byte: u8) -> bool {
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
pub(super) fn shapes(text: &[u8]) -> Vec<Range<usize>> {
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

/// `scheme://user:password@host`: the password; `scheme://token@host`: what looks like a token.
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
        let Some(at) = at else { continue };
        let colon = colon.filter(|colon| *colon < at);
        spans.extend(colon.map(|colon| start + colon + 1..start + at));
        let user = &authority[..colon.unwrap_or(at)];
        if looks_random(user) {
            spans.push(start..start + user.len());
        }
    }
    spans
}

/// Long, and from letters to digits or capitals and back as no name or word goes.
pub(super) fn looks_random(text: &[u8]) -> bool {
    let class = |byte: &u8| match byte {
        b'a'..=b'z' => Some(0),
        b'A'..=b'Z' => Some(1),
        b'0'..=b'9' => Some(2),
        _ => None,
    };
    let classes: Vec<u8> = text.iter().filter_map(class).collect();
    let changes = classes.windows(2).filter(|pair| pair[0] != pair[1]).count();
    // Random letters and digits change two times of three, letters alone every second time.
    let every = if classes.contains(&2) { 6 } else { 2 };
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.~%+/=".contains(byte);
    text.len() >= 16 && text.iter().all(plain) && changes * every >= classes.len()
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

pub(super) fn positions(text: &[u8], part: &[u8]) -> Vec<usize> {
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
            ("{\n  \"secrets\": [\n    \"hunter2\"\n  ]\n}", "hunter2"),
            ("{\n  \"client_secret\":\n    \"hunter2\"\n}", "hunter2"),
        ] {
            let spans = of_output(text.as_bytes());
            let found: Vec<&str> = spans.iter().map(|span| &text[span.clone()]).collect();
            assert_eq!(found, [secret], "{text}");
        }
        for text in ["monkey=banana", r#"{"keyboard": "qwerty"}"#, "PWD=/tmp", "a: b", "--- x", ""]
        {
            assert!(of_output(text.as_bytes()).is_empty(), "{text}");
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
}
