//! What differs between two texts of any bytes, as `diff -u` prints it: pure but for a deadline.

use std::ops::Range;
use std::time::{Duration, Instant};

use similar::{Algorithm, DiffOp, DiffTag, capture_diff_slices_deadline, group_diff_ops};

/// Lines around each change.
const CONTEXT: usize = 3;
/// After this the smallest difference is no longer looked for, only one.
const PATIENCE: Duration = Duration::from_secs(2);

/// One line of a difference, with its sign: ` `, `-`, `+`, `@`, or `\` for a missing line end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What it is.
    pub sign: u8,
    /// Without the end of the line.
    pub text: Vec<u8>,
}

/// Hunk after hunk; nothing where both are the same.
pub fn unified(old: &[u8], new: &[u8]) -> Vec<Line> {
    if old == new {
        return Vec::new();
    }
    let (old, new) = (lines(old), lines(new));
    #[expect(clippy::disallowed_methods, reason = "the deadline of a computation, not a fact")]
    let deadline = Instant::now() + PATIENCE;
    let ops = capture_diff_slices_deadline(Algorithm::Myers, &old, &new, Some(deadline));
    let mut out = Vec::new();
    for hunk in group_diff_ops(ops, CONTEXT) {
        let (Some(first), Some(last)) = (hunk.first(), hunk.last()) else { continue };
        let of_old = first.old_range().start..last.old_range().end;
        let of_new = first.new_range().start..last.new_range().end;
        let text = format!("@ -{} +{} @@", range(&of_old), range(&of_new)).into_bytes();
        out.push(Line { sign: b'@', text });
        for op in &hunk {
            push(&mut out, op, &old, &new);
        }
    }
    out
}

fn push(out: &mut Vec<Line>, op: &DiffOp, old: &[&[u8]], new: &[&[u8]]) {
    let mut side = |sign: u8, lines: &[&[u8]]| {
        for line in lines {
            let text = line.strip_suffix(b"\n");
            out.push(Line { sign, text: text.unwrap_or(line).to_vec() });
            if text.is_none() {
                out.push(Line { sign: b'\\', text: b" No newline at end of file".to_vec() });
            }
        }
    };
    let (tag, of_old, of_new) = op.as_tag_tuple();
    match tag {
        DiffTag::Equal => side(b' ', &old[of_old]),
        DiffTag::Delete | DiffTag::Insert | DiffTag::Replace => {
            side(b'-', &old[of_old]);
            side(b'+', &new[of_new]);
        }
    }
}

/// Each with its end.
fn lines(text: &[u8]) -> Vec<&[u8]> {
    text.split_inclusive(|byte| *byte == b'\n').collect()
}

/// As GNU diff counts: an empty range stands behind the line before it.
fn range(range: &Range<usize>) -> String {
    match range.len() {
        0 => format!("{},0", range.start),
        1 => (range.start + 1).to_string(),
        length => format!("{},{length}", range.start + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(old: &str, new: &str) -> String {
        let lines = unified(old.as_bytes(), new.as_bytes());
        let lines = lines.iter().map(|line| {
            format!("{}{}\n", char::from(line.sign), String::from_utf8_lossy(&line.text))
        });
        lines.collect()
    }

    #[test]
    fn hunks_are_those_of_diff() {
        assert_eq!(shown("a\nb\n", "a\nb\n"), "");
        assert_eq!(shown("a\nb\nc\n", "a\nx\nc\n"), "@@ -1,3 +1,3 @@\n a\n-b\n+x\n c\n");
        assert_eq!(shown("", "a\n"), "@@ -0,0 +1 @@\n+a\n");
        assert_eq!(
            shown("a\nb", "a\nb\n"),
            "@@ -1,2 +1,2 @@\n a\n-b\n\\ No newline at end of file\n+b\n"
        );
        let many: Vec<String> = (1..=20).map(|n| n.to_string()).collect();
        let many = many.join("\n") + "\n";
        let other = many.replace("10\n", "ten\n").replace("20\n", "");
        let expected = "@@ -7,7 +7,7 @@\n 7\n 8\n 9\n-10\n+ten\n 11\n 12\n 13\n\
                        @@ -17,4 +17,3 @@\n 17\n 18\n 19\n-20\n";
        assert_eq!(shown(&many, &other), expected);
    }

    #[test]
    fn any_bytes_are_compared() {
        let found = unified(b"\xff\n", b"\xfe\n");
        assert_eq!(found[1], Line { sign: b'-', text: vec![0xff] });
        assert_eq!(found[2], Line { sign: b'+', text: vec![0xfe] });
    }
}
