//! Words as any POSIX shell reads them back, to the byte: pure.
//!
//! What can be shown stands in single quotes. Other bytes come out of `"$(printf '\377')"`, for
//! `$'…'` is not known to every `sh`. A line feed never stands at the end of such a substitution,
//! where it would be lost.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::text;
use crate::model::secret::MARKER;
use crate::model::secret::spans::is_secret_name;

/// What shells do themselves, in their own way, instead of running the program of that name:
/// builtins and reserved words of dash, bash, ksh and zsh.
const OWN_WORDS: &[&str] = &[
    "!",
    ".",
    ":",
    "[",
    "[[",
    "]]",
    "alias",
    "autoload",
    "bg",
    "bind",
    "bindkey",
    "break",
    "builtin",
    "bye",
    "caller",
    "case",
    "cd",
    "chdir",
    "command",
    "compgen",
    "complete",
    "compopt",
    "continue",
    "coproc",
    "declare",
    "dirs",
    "disown",
    "do",
    "done",
    "echo",
    "elif",
    "else",
    "emulate",
    "enable",
    "end",
    "esac",
    "eval",
    "exec",
    "exit",
    "export",
    "false",
    "fc",
    "fg",
    "fi",
    "float",
    "for",
    "foreach",
    "function",
    "getopts",
    "hash",
    "help",
    "history",
    "if",
    "in",
    "integer",
    "jobs",
    "kill",
    "let",
    "limit",
    "local",
    "logout",
    "mapfile",
    "namespace",
    "nocorrect",
    "noglob",
    "popd",
    "print",
    "printf",
    "pushd",
    "pwd",
    "read",
    "readarray",
    "readonly",
    "rehash",
    "repeat",
    "return",
    "sched",
    "select",
    "set",
    "setopt",
    "shift",
    "shopt",
    "source",
    "suspend",
    "test",
    "then",
    "time",
    "times",
    "trap",
    "true",
    "ttyctl",
    "type",
    "typeset",
    "ulimit",
    "umask",
    "unalias",
    "unfunction",
    "unhash",
    "unlimit",
    "unset",
    "unsetopt",
    "until",
    "wait",
    "whence",
    "where",
    "which",
    "while",
    "zle",
    "zmodload",
    "{",
    "}",
];

/// Whether a shell would not run the program of this name.
pub fn is_own_word(word: &[u8]) -> bool {
    std::str::from_utf8(word).is_ok_and(|word| OWN_WORDS.contains(&word))
}

/// A word that a shell reads as exactly these bytes.
pub fn quote(word: &[u8]) -> String {
    let is_bare = |byte: &u8| byte.is_ascii_alphanumeric() || b"_@+:,./-=".contains(byte);
    // In front `=` means something to zsh; a word that is nothing would vanish.
    if !word.is_empty() && word[0] != b'=' && word.iter().all(is_bare) {
        return String::from_utf8_lossy(word).into_owned();
    }
    let mut out = String::new();
    for chunk in word.utf8_chunks() {
        push_text(&mut out, chunk.valid());
        push_octal(&mut out, chunk.invalid());
    }
    if out.is_empty() { "''".to_owned() } else { out }
}

/// Single quotes around what can be shown, octal numbers for the rest.
fn push_text(out: &mut String, mut part: &str) {
    while !part.is_empty() {
        let shown = part.find(is_hidden).unwrap_or(part.len());
        if shown > 0 {
            out.push('\'');
            out.push_str(&part[..shown].replace('\'', r"'\''"));
            out.push('\'');
        }
        part = &part[shown..];
        let hidden = part.find(|c| !is_hidden(c)).unwrap_or(part.len());
        push_octal(out, &part.as_bytes()[..hidden]);
        part = &part[hidden..];
    }
}

/// What would steer a terminal; line feeds and tabs do no harm.
fn is_hidden(c: char) -> bool {
    c != '\n' && c != '\t' && text::line(c.encode_utf8(&mut [0; 4])) != c.to_string()
}

fn push_octal(out: &mut String, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    out.push_str("\"$(printf '");
    for byte in bytes {
        write!(out, "\\{byte:03o}").expect("a String takes everything");
    }
    out.push_str("')\"");
}

/// Names for secrets that whoever runs a command has to provide.
#[derive(Debug, Default)]
pub struct Required {
    /// In the order in which they stand in the command.
    pub names: Vec<String>,
    taken: BTreeSet<String>,
}

impl Required {
    /// As [`quote`], with a requirement for each marker. `hint` names what the first one is of.
    pub fn quote(&mut self, word: &[u8], hint: Option<&[u8]>) -> String {
        let (mut out, mut from) = (String::new(), 0);
        while let Some(length) = find(&word[from..], MARKER.as_bytes()) {
            let before = &word[..from + length];
            if length > 0 {
                out.push_str(&quote(&word[from..from + length]));
            }
            let name = match hint {
                Some(hint) if from + length == 0 => name_of(hint),
                _ => name_before(before),
            };
            let name = self.take(name);
            write!(out, "\"${{{name}:?a secret that jr does not keep}}\"")
                .expect("a String takes everything");
            from += length + MARKER.len();
        }
        if from < word.len() || word.is_empty() {
            out.push_str(&quote(&word[from..]));
        }
        out
    }

    /// Two secrets never share a variable.
    fn take(&mut self, name: Option<String>) -> String {
        let wished = name.unwrap_or_else(|| "SECRET".to_owned());
        let numbered = (2..).map(|number| format!("{wished}_{number}"));
        let name = std::iter::once(wished.clone()).chain(numbered);
        let name = name.into_iter().find(|name| !self.taken.contains(name)).unwrap_or(wished);
        self.taken.insert(name.clone());
        self.names.push(name.clone());
        name
    }
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

/// `--db-password=` is `DB_PASSWORD`; what is no name of a secret may be set to something else.
fn name_before(text: &[u8]) -> Option<String> {
    let end = text.iter().rposition(|byte| !b"=: '\"".contains(byte))? + 1;
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.".contains(byte);
    let start = text[..end].iter().rposition(|byte| !is_name(byte)).map_or(0, |place| place + 1);
    name_of(&text[start..end])
}

fn name_of(word: &[u8]) -> Option<String> {
    if !is_secret_name(word) {
        return None;
    }
    let letters = word.iter().skip_while(|byte| !byte.is_ascii_alphabetic() && **byte != b'_');
    let letters = letters.map(|byte| {
        if byte.is_ascii_alphanumeric() { char::from(byte.to_ascii_uppercase()) } else { '_' }
    });
    Some(letters.collect::<String>()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    /// What shells that are there make of some words.
    fn read_back(words: &[Vec<u8>]) {
        let quoted: Vec<String> = words.iter().map(|word| quote(word)).collect();
        let script = format!("printf '%s\\0' x {}", quoted.join(" "));
        for shell in ["sh", "dash", "bash", "zsh", "ksh", "mksh"] {
            for locale in ["C", "C.UTF-8"] {
                let mut command = Command::new(shell);
                command.args(["-c", &script]).env("LC_ALL", locale);
                let Ok(output) = command.output() else { continue };
                let mut found: Vec<&[u8]> = output.stdout.split(|byte| *byte == 0).collect();
                found.pop();
                assert_eq!(found.len(), words.len() + 1, "{shell}: {output:?}");
                for (found, word) in found[1..].iter().zip(words) {
                    assert_eq!(found, word, "{shell} {locale}: {}", quote(word));
                }
            }
        }
    }

    #[test]
    fn shells_read_hostile_words_as_they_were() {
        let texts = [
            "",
            "-",
            "--",
            "-n",
            "a b",
            "it's",
            "'",
            "''",
            "\"",
            "\\",
            "\\\\",
            "$HOME",
            "`id`",
            "$(id)",
            "*",
            "?",
            "[a]",
            "~",
            "~root",
            "a=~",
            "=ls",
            "=",
            "A=b",
            "#x",
            "!x",
            "a;b",
            "a|b",
            "a&b",
            "<x",
            ">x",
            "(x)",
            "{a,b}",
            "%1",
            "^x",
            "\n",
            "a\n",
            "\n\n",
            "a\nb",
            "\t",
            "\r",
            "\u{1}",
            "\u{7f}",
            "\u{1b}[2J",
            "\u{1b}\n",
            "ünï",
            "漢字",
            "\u{202e}x",
            "\u{85}",
            "\\n",
            "%s",
            "1",
            "a'b\u{7}'c",
            "\u{7}1",
            "\u{7}%d",
        ];
        let mut words: Vec<Vec<u8>> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
        words.extend((1..=255).map(|byte| vec![byte]));
        words.extend((1..=255).map(|byte| vec![b'a', byte, b'\n']));
        words.extend([b"\xff\n\xfe".to_vec(), b"\xe2\x82".to_vec(), b"'\x81'\x88$".to_vec()]);
        read_back(&words);
    }

    #[test]
    fn shells_read_any_bytes_as_they_were() {
        let mut seed = 7_u64;
        let mut byte = || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            u8::try_from(seed >> 56).expect("a byte").max(1)
        };
        let words: Vec<Vec<u8>> =
            (0..300).map(|_| (0..byte() % 24).map(|_| byte()).collect()).collect();
        read_back(&words);
    }

    #[test]
    fn plain_words_stay_as_they_are() {
        assert_eq!(quote(b"--level=3"), "--level=3");
        assert_eq!(quote(b"a b"), "'a b'");
        assert_eq!(quote(b"a\x1bb"), r#"'a'"$(printf '\033')"'b'"#);
        assert!(is_own_word(b"echo") && !is_own_word(b"/bin/echo") && !is_own_word(b"make"));
    }

    #[test]
    fn each_marker_is_a_requirement_of_its_own() {
        let mut required = Required::default();
        let mut quote = |word: &str, hint: Option<&str>| {
            required.quote(word.as_bytes(), hint.map(str::as_bytes))
        };
        let need = |name: &str| format!("\"${{{name}:?a secret that jr does not keep}}\"");
        assert_eq!(quote("--token=[secret]", None), format!("--token={}", need("TOKEN")));
        assert_eq!(quote("[secret]", Some("--db-password")), need("DB_PASSWORD"));
        assert_eq!(quote("[secret]", Some("--token")), need("TOKEN_2"));
        let url = quote("http://root:[secret]@h/", None);
        assert_eq!(
            url,
            format!("http://root:{}@h/", need("SECRET")),
            "USER is set to other things"
        );
        let header = quote("Authorization: [secret]", None);
        assert_eq!(header, format!("'Authorization: '{}", need("AUTHORIZATION")));
        assert_eq!(quote("", None), "''");
        assert_eq!(quote("a[secret][secret]b", None).matches("SECRET").count(), 2);
    }
}
