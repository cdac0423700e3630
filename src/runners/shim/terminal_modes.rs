//! What a program has switched on in the terminals that show it: somebody who comes later has to
//! switch it on too, and who leaves has to switch it off.

use std::collections::BTreeSet;

use super::terminal_sequences::{Csi, Scanner, Step};

/// DEC private modes that outlive the program's output (xterm's `ctlseqs`): keys of the cursor,
/// other screens, mouse, focus, bracketed paste.
const TRACKED: [u16; 13] = [1, 9, 47, 1000, 1002, 1003, 1004, 1005, 1006, 1015, 1047, 1049, 2004];
/// The other screens among them: the last thing to leave, since it brings the old one back.
const SCREENS: [u16; 3] = [47, 1047, 1049];
/// The cursor is visible; the one mode that is on by default.
const CURSOR: u16 = 25;
/// Keyboard modes on their stack; xterm's and kitty's terminals keep a few.
const KEYBOARDS_MAX: usize = 8;

/// The modes in force after all that was fed.
#[expect(clippy::struct_excessive_bools, reason = "each is a mode of its own")]
#[derive(Clone, Debug, Default)]
pub struct TerminalModes {
    scanner: Scanner,
    on: BTreeSet<u16>,
    is_cursor_hidden: bool,
    has_keypad: bool,
    has_region: bool,
    has_line_drawing: bool,
    /// `modifyOtherKeys` of xterm.
    other_keys: u16,
    /// Progressive enhancements of the keyboard (kitty's protocol).
    keyboards: Vec<u16>,
    fed: u64,
    sequence_from: u64,
    cleared_at: Option<u64>,
}

impl TerminalModes {
    /// Takes note of what is shown.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let plain = self.scanner.plain(bytes);
            self.fed += plain as u64;
            let Some((byte, rest)) = bytes[plain..].split_first() else { return };
            if *byte == 0x1b {
                self.sequence_from = self.fed;
            }
            self.fed += 1;
            if self.scanner.push(*byte) == Step::Last {
                let sequence = self.scanner.sequence().to_vec();
                self.apply(&sequence);
            }
            bytes = rest;
        }
    }

    /// How many bytes ago the whole screen was last cleared.
    pub fn cleared_ago(&self) -> Option<u64> {
        self.cleared_at.map(|at| self.fed - at)
    }

    /// What switches all of it on in a fresh terminal.
    pub fn enter(&self) -> Vec<u8> {
        let mut bytes = b"\x1b[m".to_vec();
        for mode in &self.on {
            bytes.extend_from_slice(format!("\x1b[?{mode}h").as_bytes());
        }
        if self.is_cursor_hidden {
            bytes.extend_from_slice(b"\x1b[?25l");
        }
        if self.has_keypad {
            bytes.extend_from_slice(b"\x1b=");
        }
        if self.other_keys > 0 {
            bytes.extend_from_slice(format!("\x1b[>4;{}m", self.other_keys).as_bytes());
        }
        for flags in &self.keyboards {
            bytes.extend_from_slice(format!("\x1b[>{flags}u").as_bytes());
        }
        bytes
    }

    /// What switches all of it off again; nothing if nothing is on.
    pub fn leave(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if !self.keyboards.is_empty() {
            bytes.extend_from_slice(format!("\x1b[<{}u", self.keyboards.len()).as_bytes());
        }
        if self.other_keys > 0 {
            bytes.extend_from_slice(b"\x1b[>4;0m");
        }
        if self.has_keypad {
            bytes.extend_from_slice(b"\x1b>");
        }
        if self.has_line_drawing {
            bytes.extend_from_slice(b"\x1b(B");
        }
        if self.has_region {
            // It would move the cursor to the top.
            bytes.extend_from_slice(b"\x1b7\x1b[r\x1b8");
        }
        let (screens, others): (Vec<u16>, Vec<u16>) =
            self.on.iter().partition(|mode| SCREENS.contains(mode));
        for mode in others.iter().chain(&screens) {
            bytes.extend_from_slice(format!("\x1b[?{mode}l").as_bytes());
        }
        if self.is_cursor_hidden {
            bytes.extend_from_slice(b"\x1b[?25h");
        }
        if !bytes.is_empty() {
            bytes.extend_from_slice(b"\x1b[m");
        }
        bytes
    }

    fn apply(&mut self, sequence: &[u8]) {
        match sequence {
            b"\x1bc" => {
                self.reset();
                self.on.clear();
                self.has_region = false;
                self.clear();
            }
            b"\x1b=" => self.has_keypad = true,
            b"\x1b>" => self.has_keypad = false,
            [0x1b, b'(', set] => self.has_line_drawing = *set == b'0',
            sequence => {
                if let Some(csi) = Csi::parse(sequence) {
                    self.control(csi);
                }
            }
        }
    }

    fn control(&mut self, csi: Csi<'_>) {
        let first = csi.numbers().next().unwrap_or(0);
        match (csi.prefix, csi.intermediate, csi.verb) {
            (b'?', 0, b'h') => csi.numbers().for_each(|mode| self.switch(mode, true)),
            (b'?', 0, b'l') => csi.numbers().for_each(|mode| self.switch(mode, false)),
            // A soft reset.
            (0, b'!', b'p') => self.reset(),
            (0, 0, b'r') => self.has_region = !csi.parameters.is_empty(),
            (0, 0, b'J') if first >= 2 => self.clear(),
            (b'>', 0, b'm') if first == 4 => {
                self.other_keys = csi.numbers().nth(1).unwrap_or(0);
            }
            (b'>', 0, b'u') if self.keyboards.len() < KEYBOARDS_MAX => self.keyboards.push(first),
            (b'<', 0, b'u') => {
                let left = self.keyboards.len().saturating_sub(usize::from(first.max(1)));
                self.keyboards.truncate(left);
            }
            _ => {}
        }
    }

    fn switch(&mut self, mode: u16, is_on: bool) {
        if mode == CURSOR {
            self.is_cursor_hidden = !is_on;
        } else if TRACKED.contains(&mode) {
            let is_news = if is_on { self.on.insert(mode) } else { self.on.remove(&mode) };
            if is_news && SCREENS.contains(&mode) {
                self.clear();
            }
        }
    }

    fn reset(&mut self) {
        self.on.remove(&1);
        self.is_cursor_hidden = false;
        self.has_keypad = false;
        self.has_line_drawing = false;
        self.other_keys = 0;
        self.keyboards.clear();
    }

    fn clear(&mut self) {
        self.cleared_at = Some(self.sequence_from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(parts: &[&[u8]]) -> TerminalModes {
        let mut modes = TerminalModes::default();
        for part in parts {
            modes.feed(part);
        }
        modes
    }

    #[test]
    fn what_was_switched_on_is_switched_on_again_and_off() {
        let modes = after(&[b"x\x1b[?1049", b"h\x1b[?25l\x1b[?1;2004h\x1b=\x1b[>4;2m\x1b[>1u"]);
        let enter = String::from_utf8(modes.enter()).expect("text");
        let leave = String::from_utf8(modes.leave()).expect("text");
        for mode in ["\x1b[?1h", "\x1b[?1049h", "\x1b[?2004h", "\x1b[?25l", "\x1b=", "\x1b[>1u"] {
            assert!(enter.contains(mode), "{enter:?} lacks {mode:?}");
        }
        for mode in ["\x1b[?1l", "\x1b[?2004l", "\x1b[?25h", "\x1b>", "\x1b[<1u", "\x1b[>4;0m"] {
            assert!(leave.contains(mode), "{leave:?} lacks {mode:?}");
        }
        assert!(leave.find("\x1b[?1049l") > leave.find("\x1b[?2004l"), "the old screen last");
        let mut undone = modes.clone();
        undone.feed(&modes.leave());
        assert_eq!(undone.leave(), b"");
        let mut entered = TerminalModes::default();
        entered.feed(&modes.enter());
        assert_eq!(entered.leave(), modes.leave());
    }

    #[test]
    fn a_program_that_cleans_up_leaves_nothing_to_do() {
        let parts: [&[u8]; 2] =
            [b"\x1b[?1049h\x1b[1;24r\x1b[?1h\x1b=\x1b(0", b"\x1b(B\x1b[r\x1b[?1l\x1b>\x1b[?1049l"];
        assert_eq!(after(&parts).leave(), b"");
        assert_eq!(after(&[b"plain \x1b[1;31mred\x1b[m text\r\n"]).leave(), b"");
        assert_eq!(after(&[b"\x1b[?1049h\x1b[?25l", b"\x1bc"]).leave(), b"");
    }

    #[test]
    fn it_is_known_since_when_the_screen_is_what_it_is() {
        assert_eq!(after(&[b"abc"]).cleared_ago(), None);
        assert_eq!(after(&[b"abc\x1b[H\x1b[2", b"Jdef"]).cleared_ago(), Some(7));
        assert_eq!(after(&[b"abc\x1b[?1049hdef"]).cleared_ago(), Some(11));
        assert_eq!(after(&[b"abc\x1b[?1049h\x1b[?1049h"]).cleared_ago(), Some(16));
        assert_eq!(after(&[b"\x1b[J\x1b[1J"]).cleared_ago(), None, "a part of it");
    }
}
