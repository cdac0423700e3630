//! Files of `NAME=value` lines, as shells and other tools read them: `export` before a name, quotes
//! around a value, `#` before a comment.

use std::path::Path;

use super::load::read_file;
use super::parse;
use super::problem::Problem;

/// The variables of a file that nobody else can have written: what it says reaches a command.
///
/// # Errors
/// Why it is not read, or what of it is none of that, with the number of the line.
pub fn read(path: &Path) -> Result<Vec<(String, String)>, Problem> {
    let suggestion = "a regular file of NAME=value lines is wanted, or no env_file";
    let bytes = read_file(path).map_err(|problem| match problem.suggestion {
        Some(_) => problem,
        None => problem.suggest(suggestion),
    })?;
    let text = parse::text(0, &bytes).map_err(|problem| problem.suggest(suggestion))?;
    parse(&text).map_err(|(line, why)| {
        Problem::error("bad_env_file", format!("line {line}: {why}")).suggest(suggestion)
    })
}

/// The variables of a file, in order.
///
/// # Errors
/// The number of a line that is none of that, and what it lacks.
pub fn parse(text: &str) -> Result<Vec<(String, String)>, (usize, &'static str)> {
    let mut variables = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
        let Some((name, value)) = line.split_once('=') else { return Err((number, "no =")) };
        let name = name.trim_end();
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err((number, "no name before ="));
        }
        variables
            .push((name.to_owned(), value_of(value.trim()).ok_or((number, "no closing quote"))?));
    }
    Ok(variables)
}

fn value_of(text: &str) -> Option<String> {
    match text.chars().next() {
        Some(quote @ ('"' | '\'')) => {
            let inner = &text[1..];
            Some(inner[..inner.find(quote)?].to_owned())
        }
        // A comment needs a blank before it: `a#b` is a value.
        _ => Some(text.split_once(" #").map_or(text, |(value, _)| value.trim_end()).to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn only_a_file_of_ones_own_is_read() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        std::fs::write(at("a"), "A=1\n").expect("written");
        assert_eq!(read(&at("a")).expect("read"), [("A".to_owned(), "1".to_owned())]);
        std::fs::write(at("open"), "A=1\n").expect("written");
        std::fs::set_permissions(at("open"), std::fs::Permissions::from_mode(0o666))
            .expect("changed");
        std::fs::write(at("bad"), "A=1\npassword hunter2\n").expect("written");
        std::fs::write(at("bytes"), b"A=\xff\n").expect("written");
        let large = crate::limits::CONFIG_BYTES + 1;
        std::fs::write(at("large"), vec![b'#'; large]).expect("written");
        rustix::fs::mkfifoat(rustix::fs::CWD, at("fifo"), rustix::fs::Mode::RUSR).expect("made");
        for (path, code) in [
            (at("open"), "untrusted"),
            (at("bad"), "bad_env_file"),
            (at("bytes"), "not_utf8"),
            (at("large"), "too_large"),
            (at("fifo"), "unreadable"),
            (at("none"), "unreadable"),
            (PathBuf::from("/dev/zero"), "unreadable"),
        ] {
            let problem = read(&path).expect_err("it is refused");
            assert_eq!(problem.code, code, "{problem:?}");
            assert!(problem.suggestion.is_some(), "{problem:?}");
            assert!(!problem.message.contains("hunter2"), "{problem:?}");
        }
    }

    #[test]
    fn lines_are_read_as_shells_write_them() {
        let text = "# c\nA=1\n export B = two words # c\nC='x # y'\nD=\"\"\nE=a#b\n\nF=a=b\r\n";
        let expected =
            [("A", "1"), ("B", "two words"), ("C", "x # y"), ("D", ""), ("E", "a#b"), ("F", "a=b")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(parse(text), Ok(expected.to_vec()));
        assert_eq!(parse("A=1\nB"), Err((2, "no =")));
        assert_eq!(parse("=1"), Err((1, "no name before =")));
        assert_eq!(parse("A='x"), Err((1, "no closing quote")));
    }
}
