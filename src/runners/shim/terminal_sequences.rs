//! Control sequences in what a terminal is sent (ECMA-48, and what xterm adds): where each begins
//! and ends, however the bytes are cut.

/// Of a sequence so many bytes are looked at; only the text of a string is longer.
const LOOKED_AT_BYTES: usize = 64;
const ESC: u8 = 0x1b;

/// What a byte was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Not of a sequence.
    Plain,
    /// Of a sequence that goes on.
    Inside,
    /// The last of a sequence: [`Scanner::sequence`] has it.
    Last,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Ground,
    /// After ESC, and after its intermediate bytes.
    Escape,
    /// After `ESC [`.
    Csi,
    /// In a string of OSC, DCS, SOS, PM or APC.
    Text,
    /// After ESC in a string: `\` ends it.
    TextEscape,
}

/// Reads byte after byte.
#[derive(Clone, Debug, Default)]
pub(super) struct Scanner {
    state: State,
    held: Vec<u8>,
}

impl Scanner {
    /// The sequence that has just ended, or of a longer one its beginning.
    pub(super) fn sequence(&self) -> &[u8] {
        &self.held
    }

    /// How many bytes at the beginning need no look: no sequence is open and none begins there.
    pub(super) fn plain(&self, bytes: &[u8]) -> usize {
        match self.state {
            State::Ground => bytes.iter().position(|byte| *byte == ESC).unwrap_or(bytes.len()),
            State::Escape | State::Csi | State::Text | State::TextEscape => 0,
        }
    }

    pub(super) fn push(&mut self, byte: u8) -> Step {
        let before = self.state;
        self.state = next(before, byte);
        match (before, self.state) {
            (State::Ground, State::Ground) => return Step::Plain,
            // A sequence begins, also in the middle of one that never ends.
            (State::Ground | State::Csi | State::Escape, State::Escape) if byte == ESC => {
                self.held.clear();
            }
            (State::TextEscape, _) if byte != b'\\' => {
                self.held.clear();
                self.held.push(ESC);
            }
            _ => {}
        }
        if self.held.len() < LOOKED_AT_BYTES {
            self.held.push(byte);
        }
        if self.state == State::Ground { Step::Last } else { Step::Inside }
    }
}

fn next(state: State, byte: u8) -> State {
    match (state, byte) {
        (State::Text, ESC) => State::TextEscape,
        (_, ESC) => State::Escape,
        // CAN and SUB give a sequence up.
        (State::Ground, _) | (_, 0x18 | 0x1a) => State::Ground,
        (State::Text, byte) => {
            if byte == 0x07 {
                State::Ground
            } else {
                State::Text
            }
        }
        (State::Csi, byte) => {
            if (0x40..=0x7e).contains(&byte) {
                State::Ground
            } else {
                State::Csi
            }
        }
        // What follows ESC in a string is its end, or the beginning of another sequence.
        (State::TextEscape | State::Escape, byte) => after_escape(byte),
    }
}

fn after_escape(byte: u8) -> State {
    match byte {
        b'[' => State::Csi,
        b']' | b'P' | b'X' | b'^' | b'_' => State::Text,
        0x20..=0x2f => State::Escape,
        _ => State::Ground,
    }
}

/// A control sequence with parameters (`ESC [`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Csi<'a> {
    /// One of `<=>?`, or 0.
    pub(super) prefix: u8,
    /// Digits and their separators.
    pub(super) parameters: &'a [u8],
    /// The byte before the last, if it is none of the parameters, or 0.
    pub(super) intermediate: u8,
    /// What is to be done.
    pub(super) verb: u8,
}

impl<'a> Csi<'a> {
    /// Takes a sequence apart; `None` if it is another kind.
    pub(super) fn parse(sequence: &'a [u8]) -> Option<Self> {
        let (verb, rest) = sequence.strip_prefix(b"\x1b[")?.split_last()?;
        let (prefix, rest) = match rest {
            [prefix @ b'<'..=b'?', rest @ ..] => (*prefix, rest),
            rest => (0, rest),
        };
        let (intermediate, parameters) = match rest {
            [rest @ .., intermediate @ 0x20..=0x2f] => (*intermediate, rest),
            rest => (0, rest),
        };
        Some(Self { prefix, parameters, intermediate, verb: *verb })
    }

    /// The parameters as numbers; a missing one is 0.
    pub(super) fn numbers(self) -> impl Iterator<Item = u16> + 'a {
        self.parameters.split(|byte| *byte == b';').map(|digits| {
            std::str::from_utf8(digits).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sequences(bytes: &[u8]) -> Vec<Vec<u8>> {
        let mut scanner = Scanner::default();
        let mut found = Vec::new();
        for byte in bytes {
            if scanner.push(*byte) == Step::Last {
                found.push(scanner.sequence().to_vec());
            }
        }
        found
    }

    #[test]
    fn sequences_are_found_whole() {
        let bytes = b"a\x1b[1;31mb\x1b]0;t\x07c\x1bP+q\x1b\\d\x1b(0\x1b=\x1b[?25l\x1bc";
        let expected: [&[u8]; 7] = [
            b"\x1b[1;31m",
            b"\x1b]0;t\x07",
            b"\x1bP+q\x1b\\",
            b"\x1b(0",
            b"\x1b=",
            b"\x1b[?25l",
            b"\x1bc",
        ];
        assert_eq!(sequences(bytes), expected);
        assert_eq!(sequences(b"\x1b[3\x1b[2J"), [b"\x1b[2J"], "one that never ended");
        assert_eq!(sequences(b"\x1b]0;t\x1b[2J"), [b"\x1b[2J"], "a string that never ended");
        let long = [b"\x1b]52;c;".as_slice(), &[b'x'; 10_000], b"\x07\x1b[m"].concat();
        assert_eq!(sequences(&long)[1], b"\x1b[m", "a long string is passed over");
    }

    #[test]
    fn a_control_sequence_is_taken_apart() {
        let csi = Csi::parse(b"\x1b[?1049;25h").expect("one");
        assert_eq!((csi.prefix, csi.verb, csi.intermediate), (b'?', b'h', 0));
        assert_eq!(csi.numbers().collect::<Vec<_>>(), [1049, 25]);
        let csi = Csi::parse(b"\x1b[?2026$p").expect("one");
        assert_eq!((csi.intermediate, csi.verb), (b'$', b'p'));
        assert_eq!(Csi::parse(b"\x1b[m").expect("one").numbers().collect::<Vec<_>>(), [0]);
        assert_eq!(Csi::parse(b"\x1b]0;x\x07"), None);
    }

    #[test]
    fn any_bytes_are_read_to_their_end() {
        let mut scanner = Scanner::default();
        for byte in (0..=255_u8).cycle().take(100_000) {
            scanner.push(byte.rotate_left(3) ^ byte);
            assert!(scanner.sequence().len() <= LOOKED_AT_BYTES);
        }
    }
}
