//! A copy-on-write backend over bytes that must not change.
//!
//! redb writes to any file that it opens, and refuses to open one read-only after `kill -9`. Here
//! its writes go to pages in memory: a killed or damaged file can be read and stays as it is.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redb::StorageBackend;

use super::directory::Directory;
use super::error::LogError;

const PAGE: u64 = 4096;

/// Bytes that are only read.
pub trait Base: Send + Sync + std::fmt::Debug + 'static {
    /// How many.
    fn len(&self) -> io::Result<u64>;
    /// Whether there are none.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
    /// Fills `out` from `offset` on; all of it lies inside.
    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()>;
}

impl Base for File {
    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.read_exact_at(out, offset)
    }
}

impl Base for Box<dyn Base> {
    fn len(&self) -> io::Result<u64> {
        (**self).len()
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        (**self).read_at(offset, out)
    }
}

impl Base for Arc<[u8]> {
    fn len(&self) -> io::Result<u64> {
        Ok(<[u8]>::len(self) as u64)
    }

    fn read_at(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        let bytes = self.get(start..).and_then(|rest| rest.get(..out.len()));
        out.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// The backend.
#[derive(Debug)]
pub struct Overlay<B> {
    base: B,
    pages: Mutex<Pages>,
}

#[derive(Debug)]
struct Pages {
    /// What was written or lies above the base, by page number.
    written: BTreeMap<u64, Box<[u8]>>,
    /// How much of the base still shows; less after a cut.
    visible: u64,
    len: u64,
}

impl Overlay<Box<dyn Base>> {
    /// Over a file of a log, opened for reading only.
    pub(crate) fn open(directory: &dyn Directory, name: &str) -> Result<Self, LogError> {
        let path = directory.path().join(name);
        let base = directory.base(name).map_err(|error| LogError::io(&path, "open", error))?;
        Self::new(base).map_err(|error| LogError::io(&path, "measure", error))
    }
}

impl<B: Base> Overlay<B> {
    /// Over any bytes.
    pub fn new(base: B) -> io::Result<Self> {
        let len = base.len()?;
        let pages = Pages { written: BTreeMap::new(), visible: len, len };
        Ok(Self { base, pages: Mutex::new(pages) })
    }

    /// How many bytes there are, written ones included.
    pub fn length(&self) -> u64 {
        self.pages().len
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the base shows of a range; zeros beyond it.
    fn read_base(&self, visible: u64, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let there = visible.saturating_sub(offset).min(out.len() as u64);
        let there = usize::try_from(there).map_err(|_| io::ErrorKind::UnexpectedEof)?;
        let (below, above) = out.split_at_mut(there);
        above.fill(0);
        if below.is_empty() { Ok(()) } else { self.base.read_at(offset, below) }
    }
}

/// The pieces of a range that lie in one page each: page, offset in it, range of the buffer.
fn pieces(offset: u64, len: usize) -> impl Iterator<Item = (u64, usize, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        let at = offset + done as u64;
        let within = usize::try_from(at % PAGE).ok()?;
        let size = (len - done).min(usize::try_from(PAGE).ok()? - within);
        let range = done..done + size;
        done += size;
        (size > 0).then_some((at / PAGE, within, range))
    })
}

impl<B: Base> StorageBackend for Overlay<B> {
    fn len(&self) -> io::Result<u64> {
        Ok(self.length())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let pages = self.pages();
        let end = offset.checked_add(out.len() as u64).ok_or(io::ErrorKind::InvalidInput)?;
        if end > pages.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if pages.written.range(offset / PAGE..=end / PAGE).next().is_none() {
            let visible = pages.visible;
            drop(pages);
            return self.read_base(visible, offset, out);
        }
        for (page, within, range) in pieces(offset, out.len()) {
            let size = range.len();
            let (start, piece) = (offset + range.start as u64, &mut out[range]);
            match pages.written.get(&page) {
                Some(bytes) => piece.copy_from_slice(&bytes[within..within + size]),
                None => self.read_base(pages.visible, start, piece)?,
            }
        }
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut pages = self.pages();
        if len < pages.len {
            pages.visible = pages.visible.min(len);
            pages.written.split_off(&len.div_ceil(PAGE));
            let within = usize::try_from(len % PAGE).unwrap_or_default();
            if within > 0
                && let Some(last) = pages.written.get_mut(&(len / PAGE))
            {
                last[within..].fill(0);
            }
        }
        pages.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut pages = self.pages();
        pages.len = pages.len.max(offset + data.len() as u64);
        for (page, within, range) in pieces(offset, data.len()) {
            if !pages.written.contains_key(&page) {
                let mut bytes = vec![0; usize::try_from(PAGE).unwrap_or_default()];
                self.read_base(pages.visible, page * PAGE, &mut bytes)?;
                pages.written.insert(page, bytes.into_boxed_slice());
            }
            if let Some(bytes) = pages.written.get_mut(&page) {
                bytes[within..within + range.len()].copy_from_slice(&data[range]);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn splitmix(state: &mut u64) -> u64 {
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = *state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A plain vector is the oracle for any mixture of writes, cuts and reads.
    #[test]
    fn it_behaves_as_a_private_copy() {
        for seed in 0..200 {
            let mut chance = seed;
            let mut copy: Vec<u8> = (0..10_000_u32).map(|n| n.to_le_bytes()[0] ^ 0x5a).collect();
            let original: Arc<[u8]> = copy.clone().into();
            let overlay = Overlay::new(Arc::clone(&original)).expect("measures");
            for _ in 0..40 {
                let mut below =
                    |bound| usize::try_from(splitmix(&mut chance) % bound).expect("fits");
                let (at, size) = (below(14_000), below(9_000));
                match splitmix(&mut chance) % 3 {
                    0 => {
                        overlay.set_len(at as u64).expect("cuts");
                        copy.resize(at, 0);
                    }
                    1 => {
                        let data = vec![splitmix(&mut chance).to_le_bytes()[0]; size];
                        overlay.write(at as u64, &data).expect("writes");
                        copy.resize(copy.len().max(at + size), 0);
                        copy[at..at + size].copy_from_slice(&data);
                    }
                    _ => {
                        let mut out = vec![1; size];
                        let fits = overlay.read(at as u64, &mut out).is_ok();
                        assert_eq!(fits, at + size <= copy.len(), "seed {seed}");
                        assert!(!fits || out == copy[at..at + size], "seed {seed}");
                    }
                }
                assert_eq!(overlay.length(), copy.len() as u64);
            }
            assert!(original.iter().zip(0_u32..).all(|(b, n)| *b == n.to_le_bytes()[0] ^ 0x5a));
        }
    }
}
