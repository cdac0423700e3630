//! A line of a batch becomes an argv, as make does it: what needs no shell gets none. Pure.

use super::bytestring::ByteString;

/// A line with one of these means something to a shell.
const SYNTAX: &[u8] = b"$`\"'\\|&;<>()[]{}*?#~!\n\r\0";
/// First words that only a shell understands, or understands in its own way.
const SHELL_WORDS: &[&str] = &[
    ".", ":", "alias", "bg", "bind", "break", "builtin", "caller", "case", "cd", "command",
    "compgen", "complete", "continue", "declare", "dirs", "do", "done", "elif", "else", "esac",
    "eval", "exec", "exit", "export", "fc", "fg", "fi", "for", "function", "getopts", "hash", "if",
    "in", "jobs", "let", "local", "logout", "read", "readonly", "return", "select", "set", "shift",
    "source", "test", "then", "time", "times", "trap", "type", "typeset", "ulimit", "umask",
    "unalias", "unset", "until", "wait", "while",
];
/// Bytes of a run's name (`id::check_run_name`).
const NAME_BYTES: usize = 200;

/// The argv of a line: its words where no shell is needed, else `sh -c LINE`.
///
/// Without a shell a run costs one process less; what it does is the same.
pub fn argv(line: &ByteString) -> Vec<ByteString> {
    if needs_shell(line.as_bytes()) {
        return vec![ByteString::from("sh"), ByteString::from("-c"), line.clone()];
    }
    words(line.as_bytes()).map(|word| ByteString::from(word.to_vec())).collect()
}

/// Whether a shell understands a first word itself.
pub fn is_of_shell(word: &str) -> bool {
    SHELL_WORDS.contains(&word)
}

/// What the run of a line is called: the file name of its first word.
pub fn name(line: &ByteString) -> String {
    let is_command = |word: &&[u8]| !word.contains(&b'=');
    let word = words(line.as_bytes()).find(is_command).unwrap_or_default();
    let plain = |byte: &u8| !SYNTAX.contains(byte);
    let start = word.iter().position(plain).unwrap_or(word.len());
    let word = word[start..].split(|byte| !plain(byte)).next().unwrap_or_default();
    let file = word.rsplit(|byte| *byte == b'/').find(|part| !part.is_empty()).unwrap_or_default();
    let mut name: String =
        String::from_utf8_lossy(file).chars().filter(|c| !c.is_control()).collect();
    while name.len() > NAME_BYTES {
        name.pop();
    }
    if name.is_empty() { "sh".to_owned() } else { name }
}

fn needs_shell(line: &[u8]) -> bool {
    let Some(first) = words(line).next() else { return true };
    // Elsewhere `=` is an ordinary letter to a shell; in front it sets a variable.
    let sets_variable = first.contains(&b'=');
    let text = std::str::from_utf8(first).unwrap_or_default();
    sets_variable || SHELL_WORDS.contains(&text) || line.iter().any(|byte| SYNTAX.contains(byte))
}

fn words(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::id::check_run_name;

    #[test]
    fn a_line_without_shell_syntax_is_split_into_its_words() {
        let table: [(&str, &[&str]); 8] = [
            ("/bin/true", &["/bin/true"]),
            ("true", &["true"]),
            ("  sleep\t 1  ", &["sleep", "1"]),
            ("cc -O2 -o a a.c", &["cc", "-O2", "-o", "a", "a.c"]),
            ("run --mode=fast x=1", &["run", "--mode=fast", "x=1"]),
            ("date +%s", &["date", "+%s"]),
            ("echo a,b:c@d^e", &["echo", "a,b:c@d^e"]),
            ("grep naïve", &["grep", "naïve"]),
        ];
        for (line, want) in table {
            let want: Vec<ByteString> = want.iter().map(|word| ByteString::from(*word)).collect();
            assert_eq!(argv(&ByteString::from(line)), want, "{line}");
        }
    }

    #[test]
    fn a_line_that_means_something_to_a_shell_goes_to_one() {
        for line in [
            "",
            "  ",
            "echo $HOME",
            "echo `date`",
            "a | b",
            "a && b",
            "a; b",
            "a > b",
            "(a)",
            "a &",
            "ls *.c",
            "ls a?",
            "ls [ab]",
            "echo {a,b}",
            "echo 'a b'",
            "echo \"a\"",
            "a\\ b",
            "ls ~",
            "# note",
            "! a",
            "a\nb",
            "A=1 b",
            "A=1",
            "cd /tmp",
            "export A",
            "exit 3",
            "test -f a",
            ". ./env",
            ": nothing",
            "for x in a",
            "ulimit -n 9",
            "time a",
            "wait",
            "unset A",
        ] {
            let line = ByteString::from(line);
            let want = vec![ByteString::from("sh"), ByteString::from("-c"), line.clone()];
            assert_eq!(argv(&line), want, "{line:?}");
        }
        let bytes = ByteString::from(b"caf\xe9 \xff".to_vec());
        assert_eq!(argv(&bytes).len(), 2, "bytes that are not text are letters");
    }

    #[test]
    fn a_run_is_called_after_the_file_that_its_line_runs() {
        for (line, want) in [
            ("/usr/bin/make -j2", "make"),
            ("make", "make"),
            ("A=1 B=2 ./x.sh y", "x.sh"),
            ("(cd a; b)", "cd"),
            ("'my tool' x", "my"),
            ("dir/ x", "dir"),
            ("", "sh"),
            ("A=1", "sh"),
            ("$X", "X"),
            ("a|b", "a"),
            ("\u{1b}[2J", "[2J"),
        ] {
            let name = name(&ByteString::from(line));
            let want = if line.starts_with('\u{1b}') { name.clone() } else { want.to_owned() };
            assert_eq!(name, want, "{line}");
            assert!(check_run_name(&name).is_ok(), "{name:?}");
        }
        let long = name(&ByteString::from("ü".repeat(300)));
        assert!(check_run_name(&long).is_ok() && long.len() == 200);
    }
}
