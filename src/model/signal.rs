//! Signal names and numbers (signal(7), x86 and arm numbering).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::id::BadName;

const NAMES: [&str; 31] = [
    "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2",
    "PIPE", "ALRM", "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG",
    "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "IO", "PWR", "SYS",
];
/// Highest real-time signal on Linux.
const MAX: u8 = 64;

/// A signal number, 1 to 64.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Signal(u8);

impl Signal {
    /// SIGHUP.
    pub const HUP: Self = Self(1);
    /// SIGINT.
    pub const INT: Self = Self(2);
    /// SIGQUIT.
    pub const QUIT: Self = Self(3);
    /// SIGKILL.
    pub const KILL: Self = Self(9);
    /// SIGPIPE.
    pub const PIPE: Self = Self(13);
    /// SIGTERM.
    pub const TERM: Self = Self(15);
    /// SIGCONT.
    pub const CONT: Self = Self(18);
    /// SIGSTOP.
    pub const STOP: Self = Self(19);
    /// SIGTSTP.
    pub const TSTP: Self = Self(20);
    /// SIGWINCH.
    pub const WINCH: Self = Self(28);

    /// `None` unless it is 1 to 64.
    pub fn new(number: i32) -> Option<Self> {
        u8::try_from(number).ok().filter(|number| (1..=MAX).contains(number)).map(Self)
    }

    /// The number as kill(2) takes it.
    pub fn number(self) -> i32 {
        i32::from(self.0)
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.get(usize::from(self.0) - 1) {
            Some(name) => write!(f, "SIG{name}"),
            None => write!(f, "SIG{}", self.0),
        }
    }
}

impl fmt::Debug for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Accepts `TERM`, `SIGTERM`, `term` and `15`.
impl FromStr for Signal {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let bad = BadName { what: "signal", rule: "a name such as TERM or SIGHUP, or 1 to 64" };
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        if let Some(place) = NAMES.iter().position(|known| *known == name) {
            return i32::try_from(place + 1).ok().and_then(Self::new).ok_or(bad);
        }
        name.parse().ok().and_then(Self::new).ok_or(bad)
    }
}

impl Serialize for Signal {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_u8(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Signal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bad = || serde::de::Error::custom("not a signal");
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(|_| bad())
        } else {
            Self::new(i32::from(u8::deserialize(deserializer)?)).ok_or_else(bad)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_agree_with_signal_7() {
        for (text, number) in [("TERM", 15), ("sigkill", 9), ("HUP", 1), ("31", 31), ("64", 64)] {
            assert_eq!(text.parse::<Signal>().expect(text).number(), number);
        }
        assert_eq!(Signal::new(28).expect("in range").to_string(), "SIGWINCH");
        for bad in ["", "0", "65", "-9", "NOPE", "SIG"] {
            assert!(bad.parse::<Signal>().is_err(), "{bad}");
        }
    }
}
