//! A git commit as a value. Looking for it happens in the layers above.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::bytestring::{from_hex, to_hex};
use super::id::BadName;

/// What git calls an object id: SHA-1, or SHA-256 in repositories that were made so. Shown as
/// hexadecimal digits, all of them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GitCommit(Bits);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
enum Bits {
    Sha1([u8; 20]),
    Sha256([u8; 32]),
}

impl GitCommit {
    /// From its bytes: 20 or 32 of them, and not all zero, by which git says that there is none.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        if bytes.iter().all(|byte| *byte == 0) {
            return None;
        }
        let sha1 = bytes.try_into().map(Bits::Sha1);
        sha1.or_else(|_| bytes.try_into().map(Bits::Sha256)).ok().map(Self)
    }

    /// 20 or 32.
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Bits::Sha1(bytes) => bytes,
            Bits::Sha256(bytes) => bytes,
        }
    }
}

impl fmt::Display for GitCommit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_hex(self.as_bytes()))
    }
}

impl fmt::Debug for GitCommit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for GitCommit {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let commit = from_hex(text).and_then(|bytes| Self::from_bytes(&bytes));
        commit.ok_or(BadName { what: "commit", rule: "40 or 64 hexadecimal digits, not all 0" })
    }
}

impl Serialize for GitCommit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            self.0.serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for GitCommit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
        } else {
            let bits = Bits::deserialize(deserializer)?;
            let commit = match &bits {
                Bits::Sha1(bytes) => Self::from_bytes(bytes),
                Bits::Sha256(bytes) => Self::from_bytes(bytes),
            };
            commit.ok_or_else(|| serde::de::Error::custom("a commit of zeros"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ByteString;
    use crate::model::secret::{MARKER, mask_line, mask_variables};

    #[test]
    fn both_lengths_survive_text_and_no_other_is_taken() {
        for text in ["1f".repeat(20), "e0".repeat(32)] {
            let commit: GitCommit = text.parse().expect("a commit");
            assert_eq!(commit.to_string(), text);
            let json = serde_json::to_string(&commit).expect("JSON");
            assert_eq!(json, format!("{text:?}"));
            assert_eq!(serde_json::from_str::<GitCommit>(&json).expect("JSON"), commit);
            assert_eq!(GitCommit::from_bytes(commit.as_bytes()), Some(commit));
        }
        let capitals: GitCommit = "AB".repeat(20).parse().expect("a commit");
        assert_eq!(capitals.to_string(), "ab".repeat(20));
        for text in ["", "1f", &"1f".repeat(21), &"g0".repeat(20), &"00".repeat(20)] {
            assert!(text.parse::<GitCommit>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_commit_does_not_look_secret() {
        for text in ["0123456789abcdef0123456789abcdef01234567", &"9c".repeat(32)] {
            for line in [text.to_owned(), format!("commit {text}"), format!("\"commit\":{text:?}")]
            {
                let shown = mask_line(ByteString::from(line.as_str())).values.to_text();
                assert!(!shown.contains(MARKER), "{shown}");
            }
            let variables = mask_variables(vec![("GIT_COMMIT".into(), text.into())]);
            assert_eq!(variables.secrets, []);
        }
    }
}
