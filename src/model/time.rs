//! Time as the core sees it: values that come from outside.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::bytestring::to_hex;

/// Wall clock, milliseconds since 1970-01-01T00:00:00Z. For people; order is the seq's.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct UnixMillis(pub i64);

/// One boot of the machine (`/proc/sys/kernel/random/boot_id`), 16 bytes.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BootId(pub [u8; 16]);

impl fmt::Display for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&to_hex(&self.0))
    }
}

impl fmt::Debug for BootId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// What the clocks say at one input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// `CLOCK_REALTIME`; it may jump.
    pub wall: UnixMillis,
    /// `CLOCK_BOOTTIME` in milliseconds: never goes back, counts suspend, starts anew at boot.
    pub boottime_ms: u64,
}
