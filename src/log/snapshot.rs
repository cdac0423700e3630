//! The state as bytes: what a segment opens with, and what lies under the floor.
//!
//! ```text
//! version 2 │ bincode of `model::State`
//! ```
//! Empty before the first record. A jr that does not know the version cannot fold from there.

use std::path::Path;

use super::codec;
use super::error::{Damage, LogError, Newer, Place};
use crate::model::State;

/// Raised with any change of the state's shape, from the first release on.
pub const VERSION: u16 = 1;

/// The bytes of a state.
pub fn encode(state: &State) -> Vec<u8> {
    let mut bytes = VERSION.to_le_bytes().to_vec();
    codec::encode_into(state, &mut bytes);
    bytes
}

/// The inverse; `file` is for messages.
pub fn decode(file: &Path, bytes: &[u8]) -> Result<State, LogError> {
    let Some((version, body)) = bytes.split_first_chunk::<2>() else {
        return if bytes.is_empty() {
            Ok(State::default())
        } else {
            Err(LogError::damaged(file, Damage::Snapshot))
        };
    };
    match u16::from_le_bytes(*version) {
        VERSION => codec::decode_large(body).map_err(|_| LogError::damaged(file, Damage::Snapshot)),
        version if version > VERSION => {
            let (place, newer) = (Place::of_file(file), Newer::Snapshot(version));
            Err(LogError::Newer { place, newer })
        }
        _ => Err(LogError::damaged(file, Damage::Snapshot)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_reads_back_and_a_newer_one_is_refused() {
        let file = Path::new("x");
        let state = State { cores: 7, seq: 9, ..State::default() };
        let mut bytes = encode(&state);
        assert_eq!(decode(file, &bytes).expect("reads"), state);
        assert_eq!(decode(file, &[]).expect("reads"), State::default());
        bytes[0] = 2;
        assert!(matches!(decode(file, &bytes), Err(LogError::Newer { .. })));
        assert!(decode(file, &[1]).is_err());
    }
}
