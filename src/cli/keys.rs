//! Keys that detach a client from a terminal, in docker's words: `ctrl-]`, `ctrl-p,ctrl-q`, `a`.

use std::fmt;
use std::str::FromStr;

/// What is typed to leave.
pub const DETACH_DEFAULT: &str = "ctrl-]";
/// The word for no keys.
const NONE: &str = "none";
/// More would be a password.
const KEYS_MAX: usize = 4;
const ESC: u8 = 0x1b;

/// A sequence of keys, as the bytes by which terminals may send it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DetachKeys {
    spec: String,
    /// Every way in which each key is sent; no key, no way out.
    keys: Vec<Vec<Vec<u8>>>,
}

impl DetachKeys {
    /// No way out.
    pub fn none() -> Self {
        Self { spec: NONE.to_owned(), keys: Vec::new() }
    }

    /// Looks for the keys in what is typed.
    pub fn matcher(&self) -> KeyMatcher {
        let mut sequences = vec![Vec::new()];
        for ways in &self.keys {
            let longer = |begun: &Vec<u8>| -> Vec<Vec<u8>> {
                ways.iter().map(|way| [begun.as_slice(), way].concat()).collect()
            };
            sequences = sequences.iter().flat_map(longer).collect();
        }
        sequences.retain(|sequence| !sequence.is_empty());
        KeyMatcher { sequences, held: Vec::new() }
    }

    /// Whether there are any.
    pub fn is_none(&self) -> bool {
        self.keys.is_empty()
    }
}

impl fmt::Display for DetachKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.spec)
    }
}

impl FromStr for DetachKeys {
    type Err = String;

    fn from_str(spec: &str) -> Result<Self, String> {
        if spec == NONE {
            return Ok(Self::none());
        }
        let spec = spec.to_owned();
        let keys = spec.split(',').map(key).collect::<Option<Vec<_>>>();
        let keys = keys.filter(|keys| keys.len() <= KEYS_MAX);
        let keys =
            keys.ok_or("it must be up to 4 keys such as ctrl-] or ctrl-p,ctrl-q, or none")?;
        Ok(Self { spec, keys })
    }
}

/// The ways in which a key is sent: its byte, and what terminals with extended keyboards send for
/// Ctrl with it (kitty's protocol, `modifyOtherKeys` of xterm).
fn key(word: &str) -> Option<Vec<Vec<u8>>> {
    if let Some(letter) = word.strip_prefix("ctrl-") {
        let [letter] = letter.as_bytes() else { return None };
        let upper = letter.to_ascii_uppercase();
        if !(b'@'..=b'_').contains(&upper) {
            return None;
        }
        let code = letter.to_ascii_lowercase();
        return Some(vec![
            vec![upper & 0x1f],
            format!("\x1b[{code};5u").into_bytes(),
            format!("\x1b[27;5;{code}~").into_bytes(),
        ]);
    }
    match word.as_bytes() {
        [byte] if byte.is_ascii_graphic() => Some(vec![vec![*byte]]),
        _ => None,
    }
}

/// Reads what is typed; a beginning of the keys is held back until it is known what follows.
#[derive(Clone, Debug)]
pub struct KeyMatcher {
    sequences: Vec<Vec<u8>>,
    held: Vec<u8>,
}

/// What was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Typed {
    /// For the program.
    pub bytes: Vec<u8>,
    /// The keys came; what was typed after them is nobody's.
    pub detach: bool,
}

impl KeyMatcher {
    /// Takes what one read gave.
    pub fn push(&mut self, typed: &[u8]) -> Typed {
        let mut bytes = Vec::with_capacity(typed.len());
        for byte in typed {
            self.held.push(*byte);
            while !self.held.is_empty() && !self.is_begun() {
                bytes.push(self.held.remove(0));
            }
            if self.sequences.contains(&self.held) {
                return Typed { bytes, detach: true };
            }
        }
        // Terminals send a key at once: an ESC that stands alone is the key Esc.
        if self.held.first() == Some(&ESC) {
            bytes.append(&mut self.held);
        }
        Typed { bytes, detach: false }
    }

    fn is_begun(&self) -> bool {
        self.sequences.iter().any(|sequence| sequence.starts_with(&self.held))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(spec: &str, parts: &[&[u8]]) -> (Vec<u8>, bool) {
        let mut matcher = spec.parse::<DetachKeys>().expect("keys").matcher();
        let mut bytes = Vec::new();
        for part in parts {
            let typed = matcher.push(part);
            bytes.extend(typed.bytes);
            if typed.detach {
                return (bytes, true);
            }
        }
        (bytes, false)
    }

    #[test]
    fn the_keys_detach_and_nothing_else_is_held_back() {
        assert_eq!(typed(DETACH_DEFAULT, &[b"ls\r\x1dx"]), (b"ls\r".to_vec(), true));
        assert_eq!(
            typed(DETACH_DEFAULT, &[b"\x1b", b"[A", b"\x03"]),
            (b"\x1b[A\x03".to_vec(), false)
        );
        for sent in [&b"\x1b[93;5u"[..], b"\x1b[27;5;93~"] {
            assert_eq!(typed(DETACH_DEFAULT, &[b"a", sent]), (b"a".to_vec(), true));
        }
        assert_eq!(typed("none", &[b"\x1d\x10\x11"]), (b"\x1d\x10\x11".to_vec(), false));
    }

    #[test]
    fn two_keys_detach_only_one_after_the_other() {
        let docker = "ctrl-p,ctrl-q";
        assert_eq!(typed(docker, &[b"\x10", b"\x11"]), (Vec::new(), true));
        assert_eq!(typed(docker, &[b"\x10", b"x\x11"]), (b"\x10x\x11".to_vec(), false));
        assert_eq!(typed(docker, &[b"\x10\x10\x11"]), (b"\x10".to_vec(), true));
        assert_eq!(typed(docker, &[b"\x1b[112;5u", b"\x11"]).0, b"\x1b[112;5u\x11".to_vec());
        assert_eq!(typed("a,b", &[b"aab"]), (b"a".to_vec(), true));
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for bad in ["", "ctrl-", "ctrl-1", "ab", "ctrl-p,", "a,b,c,d,e", "\u{e4}", "ctrl-\u{e4}"] {
            assert!(bad.parse::<DetachKeys>().is_err(), "{bad:?}");
        }
        let keys: DetachKeys = "ctrl-P".parse().expect("a key");
        assert_eq!((keys.to_string().as_str(), keys.is_none()), ("ctrl-P", false));
    }
}
