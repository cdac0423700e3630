//! Bytes between a shim and its daemon or client, and the encoding of its journal.
//!
//! ```text
//! frame: u32 length of what follows │ u16 protocol │ u16 kind │ payload      (little-endian)
//! ```
//!
//! A frame is labelled with the oldest protocol that has its message in this form. So a peer that
//! is one protocol behind understands all but what is new, and that it refuses by its label.

use serde::de::DeserializeOwned;

/// The protocol that this build speaks. It also reads those before.
pub const PROTOCOL: u16 = 3;
/// The oldest protocol that this build reads.
pub const PROTOCOL_OLDEST: u16 = 1;
/// The longest frame: an argv and an environment beyond the kernel's own limits still arrive,
/// so that execve can refuse them by name.
pub const FRAME_BYTES_MAX: usize = 16 << 20;

const LENGTH_BYTES: usize = 4;
const LABEL_BYTES: usize = 4;

/// Why bytes could not be read. The connection cannot go on after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WireError {
    /// Longer than [`FRAME_BYTES_MAX`], or shorter than its label.
    #[error("a frame of {0} bytes")]
    BadLength(usize),
    /// The peer is too new or too old.
    #[error("protocol {0}; this jr speaks {PROTOCOL_OLDEST} to {PROTOCOL}")]
    BadProtocol(u16),
    /// A message that this protocol does not have.
    #[error("unknown message kind {0}")]
    UnknownKind(u16),
    /// The payload contradicts its kind.
    #[error("malformed payload")]
    Malformed,
}

/// One message as it travels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The oldest protocol that has this message in this form.
    pub protocol: u16,
    /// Which message.
    pub kind: u16,
    /// Its content.
    pub payload: Vec<u8>,
}

impl Frame {
    /// A message that every protocol has so.
    pub fn new(kind: u16, payload: Vec<u8>) -> Self {
        Self { protocol: PROTOCOL_OLDEST, kind, payload }
    }

    /// All of it as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let length = LABEL_BYTES + self.payload.len();
        let mut bytes = Vec::with_capacity(LENGTH_BYTES + length);
        bytes.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
        bytes.extend_from_slice(&self.protocol.to_le_bytes());
        bytes.extend_from_slice(&self.kind.to_le_bytes());
        bytes.extend_from_slice(&self.payload);
        bytes
    }
}

/// Bytes on their way to become frames.
#[derive(Debug, Default)]
pub struct FrameBuffer {
    bytes: Vec<u8>,
    read: usize,
}

impl FrameBuffer {
    /// Adds what was received.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.read > 0 {
            self.bytes.drain(..self.read);
            self.read = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole frame.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, WireError> {
        let rest = self.bytes.get(self.read..).unwrap_or_default();
        let Some((length, rest)) = rest.split_first_chunk::<LENGTH_BYTES>() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*length) as usize;
        if !(LABEL_BYTES..=FRAME_BYTES_MAX).contains(&length) {
            return Err(WireError::BadLength(length));
        }
        let Some(body) = rest.get(..length) else { return Ok(None) };
        let &[p0, p1, k0, k1, ref payload @ ..] = body else {
            return Err(WireError::BadLength(length));
        };
        let protocol = u16::from_le_bytes([p0, p1]);
        if !(PROTOCOL_OLDEST..=PROTOCOL).contains(&protocol) {
            return Err(WireError::BadProtocol(protocol));
        }
        let kind = u16::from_le_bytes([k0, k1]);
        let frame = Frame { protocol, kind, payload: payload.to_vec() };
        self.read += LENGTH_BYTES + length;
        if self.read == self.bytes.len() {
            self.bytes.clear();
            self.read = 0;
            // A long command does not stay in the memory of an idle shim.
            self.bytes.shrink_to(64 << 10);
        }
        Ok(Some(frame))
    }
}

pub use crate::log::codec::encode;

/// The value of bytes, all of which must be used.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, WireError> {
    crate::log::codec::decode_large(bytes).map_err(|_| WireError::Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_arrive_whole_however_they_are_cut() {
        let newest = Frame { protocol: PROTOCOL, ..Frame::new(9, Vec::new()) };
        let frames = [Frame::new(1, vec![7; 300]), newest];
        let bytes: Vec<u8> = frames.iter().flat_map(Frame::to_bytes).collect();
        for cut in 0..=bytes.len() {
            let mut buffer = FrameBuffer::default();
            let mut seen = Vec::new();
            for part in [&bytes[..cut], &bytes[cut..]] {
                buffer.push(part);
                while let Some(frame) = buffer.next_frame().expect("well-formed") {
                    seen.push(frame);
                }
            }
            assert_eq!(seen, frames, "cut at {cut}");
        }
    }

    #[test]
    fn what_is_not_a_frame_is_refused_by_name() {
        let read = |bytes: &[u8]| {
            let mut buffer = FrameBuffer::default();
            buffer.push(bytes);
            buffer.next_frame()
        };
        assert_eq!(read(&[3, 0, 0, 0]), Err(WireError::BadLength(3)));
        assert_eq!(read(&[255; 4]), Err(WireError::BadLength(u32::MAX as usize)));
        assert_eq!(read(&[4, 0, 0, 0, 0, 0, 1, 0]), Err(WireError::BadProtocol(0)));
        assert_eq!(read(&[4, 0, 0, 0, 4, 0, 1, 0]), Err(WireError::BadProtocol(4)));
        assert_eq!(decode::<u32>(&[1, 0]), Err(WireError::Malformed));
        assert_eq!(decode::<Vec<u8>>(&[250, 1]), Err(WireError::Malformed));
    }
}
