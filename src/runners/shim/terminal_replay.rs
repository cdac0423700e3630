//! What somebody who comes late is shown first: the newest of what was printed.

use std::os::fd::BorrowedFd;

use super::terminal_modes::TerminalModes;
use super::terminal_sequences::{Csi, Scanner, Step};

/// Of the recording, at most so much.
const REPLAY_BYTES_MAX: u64 = 64 << 10;
/// A line that was cut in two is left out if it ends within this.
const CUT_LINE_BYTES: usize = 4 << 10;
/// Asks a terminal for its answerback.
const ENQ: u8 = 5;

/// The newest of a recording, ready for a fresh terminal. Only the newest `bytes_max` of it are
/// there.
pub(super) fn replay(recording: BorrowedFd<'_>, bytes_max: u64, modes: &TerminalModes) -> Vec<u8> {
    let length = rustix::fs::fstat(recording).map_or(0, |stat| stat.st_size);
    let length = u64::try_from(length).unwrap_or(0);
    let window = length.min(REPLAY_BYTES_MAX).min(bytes_max);
    let since_clear = modes.cleared_ago().filter(|ago| *ago <= window);
    let from = length - since_clear.unwrap_or(window);
    let printed = read(recording, from, length);
    let mut shown = modes.enter();
    let printed = match since_clear {
        Some(_) => {
            shown.extend_from_slice(b"\x1b[H");
            printed.as_slice()
        }
        None if from > 0 => without_cut_line(&printed),
        None => printed.as_slice(),
    };
    add_without_questions(printed, &mut shown);
    // What was switched off and on within the window is now as it was at its end.
    shown
}

fn read(recording: BorrowedFd<'_>, from: u64, to: u64) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(to - from).unwrap_or(0)];
    let mut filled = 0;
    while filled < bytes.len() {
        match rustix::io::pread(recording, &mut bytes[filled..], from + filled as u64) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(rustix::io::Errno::INTR) => {}
            Err(_) => break,
        }
    }
    bytes.truncate(filled);
    bytes
}

fn without_cut_line(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().take(CUT_LINE_BYTES).position(|byte| *byte == b'\n');
    end.map_or(bytes, |end| &bytes[end + 1..])
}

/// A terminal that is asked a second time would answer into the program's input.
fn add_without_questions(bytes: &[u8], shown: &mut Vec<u8>) {
    let mut scanner = Scanner::default();
    let mut begin = 0;
    for (place, byte) in bytes.iter().enumerate() {
        match scanner.push(*byte) {
            Step::Plain if *byte == ENQ => begin = place + 1,
            Step::Plain => {
                shown.push(*byte);
                begin = place + 1;
            }
            Step::Inside => {}
            Step::Last => {
                if !is_question(scanner.sequence()) {
                    shown.extend_from_slice(&bytes[begin..=place]);
                }
                begin = place + 1;
            }
        }
    }
    // The rest of a sequence that was not printed to its end comes live.
    shown.extend_from_slice(&bytes[begin..]);
}

/// Whether a terminal answers that (xterm's `ctlseqs`).
fn is_question(sequence: &[u8]) -> bool {
    if let Some(csi) = Csi::parse(sequence) {
        let first = csi.numbers().next().unwrap_or(0);
        // Sizes and states of the window; then device attributes, status, parameters, version,
        // modes, sums of rectangles, keyboard.
        return match (csi.prefix, csi.intermediate, csi.verb) {
            (0, 0, b't') => (11..=21).contains(&first),
            (_, 0, b'c' | b'n' | b'x')
            | (b'>', 0, b'q')
            | (_, b'$', b'p')
            | (_, b'*', b'y')
            | (b'?', 0, b'u' | b'm') => true,
            _ => false,
        };
    }
    match sequence {
        // DECID, DECRQSS, XTGETTCAP.
        b"\x1bZ" | [0x1b, b'P', b'$' | b'+', b'q', ..] => true,
        // Colours, fonts, clipboard: a question mark instead of a value.
        [0x1b, b']', text @ ..] => {
            text.split(|byte| *byte == b';').any(|part| part.strip_prefix(b"?").is_some())
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::fd::AsFd as _;

    use super::*;

    fn replayed(printed: &[u8], bytes_max: u64) -> Vec<u8> {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(printed).expect("written");
        let mut modes = TerminalModes::default();
        modes.feed(printed);
        let shown = replay(file.as_fd(), bytes_max, &modes);
        shown.strip_prefix(modes.enter().as_slice()).expect("modes first").to_vec()
    }

    #[test]
    fn little_is_shown_whole_and_much_from_a_line_on() {
        assert_eq!(replayed(b"", 99), b"");
        assert_eq!(replayed(b"one\r\ntwo", 99), b"one\r\ntwo");
        assert_eq!(replayed(b"one\r\ntwo\r\nthree", 9), b"three");
        let much: Vec<u8> = (0..20_000).flat_map(|n| format!("{n}\r\n").into_bytes()).collect();
        let shown = replayed(&much, u64::MAX);
        assert!(shown.len() as u64 <= REPLAY_BYTES_MAX && shown.ends_with(b"19999\r\n"));
        assert!(much.ends_with(&[b"\n".as_slice(), &shown].concat()), "from the start of a line");
    }

    #[test]
    fn it_begins_where_the_screen_was_last_cleared() {
        assert_eq!(replayed(b"old\x1b[H\x1b[2Jnew", 99), b"\x1b[H\x1b[2Jnew");
        let long = [b"\x1b[2J".to_vec(), vec![b'x'; 100_000]].concat();
        assert_eq!(replayed(&long, u64::MAX).len() as u64, REPLAY_BYTES_MAX);
    }

    #[test]
    fn no_terminal_is_asked_a_second_time() {
        let questions = b"a\x1b[cb\x1b[>cc\x1b[6nd\x1b]11;?\x07e\x1b[?ug\x1bP+q544e\x1b\\h\x05i\
            \x1b[?2026$pj\x1b[18tk\x1b[>ql";
        assert_eq!(replayed(questions, 999), b"abcdeghijkl");
        let answers = b"\x1b[31m\x1b]0;title\x07\x1b]8;;http://x?y\x1b\\\x1b[4m\x1b[22;0t\x1b(B";
        assert_eq!(replayed(answers, 999), answers);
        assert_eq!(replayed(b"x\x1b[3", 999), b"x\x1b[3", "the rest comes live");
        assert_eq!(replayed(b"x\x1b[3\x1b[1mz", 999), b"x\x1b[3\x1b[1mz");
    }
}
