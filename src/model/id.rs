//! Names of things: validated once, at the edge, and trusted from then on.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Lower-case base32 (RFC 4648 §6 letters) in ASCII order, so that ids sort as their text does
/// and a prefix of the text is a range of ids.
const ALPHABET: &[u8; 32] = b"234567abcdefghijklmnopqrstuvwxyz";
/// Characters of a run id; 12 × 5 = 60 random bits.
const RUN_ID_CHARS: usize = 12;
const RUN_ID_BITS: u32 = 60;

/// One requested execution: 60 random bits, shown as 12 base32 characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId(u64);

impl RunId {
    /// Takes the low 60 bits of `chance`; the caller brings the randomness.
    pub fn from_chance(chance: u64) -> Self {
        Self(chance & ((1 << RUN_ID_BITS) - 1))
    }

    /// The `place`th id that follows from random bits.
    #[expect(clippy::cast_possible_truncation, reason = "each half is taken")]
    pub fn drawn(seed: u128, place: u64) -> Self {
        let (high, low) = ((seed >> 64) as u64, seed as u64);
        Self::from_chance(scatter(high ^ scatter(low.wrapping_add(scatter(place)))))
    }

    /// The number behind the text, below 2^60.
    pub fn to_u64(self) -> u64 {
        self.0
    }

    /// The ids whose text starts with `prefix`, as an inclusive range; `None` if it cannot be one.
    pub fn prefix_range(prefix: &str) -> Option<(Self, Self)> {
        let chars = prefix.len();
        if chars == 0 || chars > RUN_ID_CHARS {
            return None;
        }
        let mut high = 0_u64;
        for byte in prefix.bytes() {
            let digit = ALPHABET.iter().position(|letter| *letter == byte)?;
            high = high << 5 | digit as u64;
        }
        let free = 5 * (RUN_ID_CHARS - chars);
        let first = high << free;
        Some((Self(first), Self(first | ((1_u64 << free) - 1))))
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = [0_u8; RUN_ID_CHARS];
        let mut rest = self.0;
        for place in text.iter_mut().rev() {
            *place = ALPHABET[(rest & 31) as usize];
            rest >>= 5;
        }
        f.pad(std::str::from_utf8(&text).expect("the alphabet is ASCII"))
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl FromStr for RunId {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        match Self::prefix_range(text) {
            Some((id, last)) if id == last => Ok(id),
            _ => Err(BadName { what: "run id", rule: "12 characters of a-z and 2-7" }),
        }
    }
}

/// Text for people, the bare number in the log.
impl Serialize for RunId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_u64(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for RunId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
        } else {
            let number = u64::deserialize(deserializer)?;
            if number >> RUN_ID_BITS == 0 {
                Ok(Self(number))
            } else {
                Err(serde::de::Error::custom("a run id has 60 bits"))
            }
        }
    }
}

/// One command of a client. A client that sends it again keeps the id, so that it acts once.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId(u128);

/// `SplitMix64`'s last step (Steele, Lea, Flood 2014): neighbours in, strangers out.
pub(super) fn scatter(mut bits: u64) -> u64 {
    bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

impl CommandId {
    /// Takes 128 random bits from the caller.
    pub fn from_chance(chance: u128) -> Self {
        Self(chance)
    }

    /// The bits.
    pub fn to_u128(self) -> u128 {
        self.0
    }

    /// The bits, big-endian, as the log stores them.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_be_bytes()
    }

    /// The inverse of [`Self::to_bytes`].
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(u128::from_be_bytes(bytes))
    }
}

impl fmt::Display for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Debug for CommandId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl Serialize for CommandId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_u128(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for CommandId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            let text = String::deserialize(deserializer)?;
            u128::from_str_radix(&text, 16).map(Self).map_err(serde::de::Error::custom)
        } else {
            u128::deserialize(deserializer).map(Self)
        }
    }
}

/// Why a name was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {what}: it must be {rule}")]
pub struct BadName {
    /// What it was meant to name.
    pub what: &'static str,
    /// What would be accepted.
    pub rule: &'static str,
}

/// Ids that become paths: `^[a-z0-9][a-z0-9._-]{0,62}$`.
fn check_path_name(what: &'static str, text: &str) -> Result<(), BadName> {
    let rule = "1 to 63 characters of a-z, 0-9, '.', '_' and '-', starting with a letter or digit";
    if is_name(text) { Ok(()) } else { Err(BadName { what, rule }) }
}

/// Whether it may be an id that becomes a path.
pub fn is_name(text: &str) -> bool {
    let bytes = text.as_bytes();
    let plain = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    bytes.first().is_some_and(plain)
        && bytes.len() <= 63
        && bytes.iter().all(|byte| plain(byte) || b"._-".contains(byte))
}

macro_rules! path_name {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = BadName;

            fn from_str(text: &str) -> Result<Self, BadName> {
                check_path_name($what, text)?;
                Ok(Self(text.to_owned()))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

path_name!(
    /// A named world with a log, a directory and a socket of its own.
    EnvironmentId,
    "environment id"
);
path_name!(
    /// A line in which runs wait for one of its slots.
    QueueName,
    "queue name"
);

path_name!(
    /// Something that one run at a time may hold.
    LockName,
    "lock name"
);

path_name!(
    /// Something that stays up.
    ServiceName,
    "service name"
);

/// How queues of batches begin.
const BATCH_QUEUE: &str = "batch-";

impl QueueName {
    /// Where detached runs go when nothing else is said.
    pub fn default_queue() -> Self {
        Self("default".to_owned())
    }

    /// The queue that a batch has for itself.
    pub fn of_batch(batch: RunId) -> Self {
        Self(format!("{BATCH_QUEUE}{batch}"))
    }

    /// The batch that has it for itself, if it is named as such a queue.
    pub fn batch(&self) -> Option<RunId> {
        self.0.strip_prefix(BATCH_QUEUE)?.parse().ok()
    }
}

/// Checks a run's name: text of 1 to 200 bytes without control characters.
pub fn check_run_name(text: &str) -> Result<(), BadName> {
    let fits = !text.is_empty() && text.len() <= 200 && !text.chars().any(char::is_control);
    let rule = "1 to 200 bytes of text without control characters";
    if fits { Ok(()) } else { Err(BadName { what: "run name", rule }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_ids_sort_as_their_text_does() {
        let mut chance = 7_u64;
        let mut ids = Vec::new();
        for _ in 0..500 {
            chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            ids.push(RunId::from_chance(chance));
        }
        let mut by_text = ids.clone();
        by_text.sort_by_key(ToString::to_string);
        ids.sort();
        assert_eq!(ids, by_text);
    }

    #[test]
    fn the_queue_of_a_batch_names_it() {
        let batch = RunId::from_chance(7);
        assert_eq!(QueueName::of_batch(batch).batch(), Some(batch));
        for other in ["default", "batch-", "batch-nightly", "of-batch-aaaaaaaaaaaa"] {
            assert_eq!(other.parse::<QueueName>().expect("a name").batch(), None, "{other}");
        }
    }

    #[test]
    fn a_run_id_reads_back_and_a_prefix_is_its_range() {
        let id = RunId::from_chance(0x0123_4567_89ab_cdef);
        let text = id.to_string();
        assert_eq!(text.len(), 12);
        assert_eq!(text.parse(), Ok(id));
        for chars in 1..=12 {
            let (first, last) = RunId::prefix_range(&text[..chars]).expect("letters");
            assert!(first <= id && id <= last);
            assert!(first.to_string().starts_with(&text[..chars]));
            assert!(last.to_string().starts_with(&text[..chars]));
        }
        for bad in ["", "abc1", "ABC", "aaaaaaaaaaaaa", "ä"] {
            assert!(bad.parse::<RunId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn names_that_become_paths_are_tame() {
        for good in ["local", "a", "0", "a.b_c-d", &"x".repeat(63)] {
            assert!(good.parse::<EnvironmentId>().is_ok(), "{good}");
        }
        let long = "x".repeat(64);
        for bad in
            ["", ".", "../x", "-x", "A", "a b", "a\n", "a/b", "ü", long.as_str(), "\u{1b}[2J"]
        {
            assert!(bad.parse::<EnvironmentId>().is_err(), "{bad:?}");
        }
        assert!(check_run_name("héllo wörld").is_ok());
        assert!(check_run_name("a\u{9b}b").is_err());
        assert!(check_run_name(&"x".repeat(201)).is_err());
    }
}
