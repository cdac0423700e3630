//! Files of `NAME=value` lines, as shells and other tools read them: `export` before a name, quotes
//! around a value, `#` before a comment.

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
    use super::*;

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
