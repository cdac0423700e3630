//! Makes a bundle. It appears under its name when all of it is on disk.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use zstd::stream::write::Encoder;

use super::error::BundleError;
use super::layout::{
    BLOBS_BYTES, BYTES, FREE_BYTES, Header, Kind, MEMBERS, Manifest, Member, OutputName, RATIO,
    Redactions,
};
use super::seal::Sealing;
use super::tar;
use crate::log::part::Origin;
use crate::model::Digest;

/// The compression that costs little beside reading the log.
const LEVEL: i32 = 3;

type Out = Encoder<'static, Sealing<Counted>>;

/// Members are added in the order of the layout.
pub struct Writer {
    path: PathBuf,
    temporary: Unfinished,
    out: Out,
    members: Vec<Member>,
    rank: u8,
    /// Contents so far.
    bytes: u64,
    /// Bytes that have come out of the compression.
    written: Arc<AtomicU64>,
    blobs: Vec<u8>,
    numbers: [u64; 3],
}

/// A file that goes away again unless it is kept.
struct Unfinished(Option<PathBuf>);

impl Unfinished {
    fn path(&self) -> &Path {
        self.0.as_deref().unwrap_or(Path::new(""))
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // Whoever is killed leaves it as well.
            let _left = fs::remove_file(path);
        }
    }
}

/// A file, and how much was written to it.
struct Counted {
    file: BufWriter<File>,
    count: Arc<AtomicU64>,
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.count.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

impl Writer {
    /// Begins the bundle that is to be at `path`.
    ///
    /// # Errors
    /// [`BundleError`], as for all that follow.
    pub fn create(path: &Path, header: &Header) -> Result<Self, BundleError> {
        let temporary = path.with_added_extension("tmp");
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let file = options.open(&temporary).map_err(BundleError::io("make", &temporary))?;
        Self::begin(path, temporary, file, header)
    }

    /// As [`Self::create`], where nothing may be at `path` yet.
    ///
    /// # Errors
    /// [`BundleError::Io`] with [`std::io::ErrorKind::AlreadyExists`] if something is, or if
    /// another bundle of that name is being made.
    pub fn create_new(path: &Path, header: &Header) -> Result<Self, BundleError> {
        let temporary = path.with_added_extension("tmp");
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(0o600);
        let file = options.open(&temporary).map_err(BundleError::io("make", &temporary))?;
        // Only who has that file gives the name to a bundle, so now it stays as it is.
        if path.symlink_metadata().is_ok() {
            let _left = fs::remove_file(&temporary);
            let there = std::io::Error::from(std::io::ErrorKind::AlreadyExists);
            return Err(BundleError::io("make", path)(there));
        }
        Self::begin(path, temporary, file, header)
    }

    fn begin(
        path: &Path,
        temporary: PathBuf,
        file: File,
        header: &Header,
    ) -> Result<Self, BundleError> {
        let (file, temporary) = (BufWriter::new(file), Unfinished(Some(temporary)));
        let written = Arc::new(AtomicU64::new(0));
        let sealing = Sealing::new(Counted { file, count: Arc::clone(&written) });
        let begun = Encoder::new(sealing, LEVEL);
        let out = begun.map_err(BundleError::io("make", temporary.path()))?;
        let (members, blobs) = (Vec::new(), Vec::new());
        let (rank, bytes, numbers, path) = (0, 0, [0; 3], path.to_owned());
        let mut writer =
            Self { path, temporary, out, members, rank, bytes, written, blobs, numbers };
        writer.document(&Kind::Header, header)?;
        Ok(writer)
    }

    /// Where it is to be.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the first record continues.
    pub fn origin(&mut self, origin: &Origin) -> Result<(), BundleError> {
        self.add(&Kind::Origin, &origin.encode())
    }

    /// Frames of records from before.
    pub fn kept(&mut self, frames: &[u8]) -> Result<(), BundleError> {
        let number = self.next_number(0);
        self.add(&Kind::Kept(number), frames)
    }

    /// The next frames of records.
    pub fn records(&mut self, frames: &[u8]) -> Result<(), BundleError> {
        let number = self.next_number(1);
        self.add(&Kind::Records(number), frames)
    }

    /// What records refer to by digest.
    pub fn blob(&mut self, digest: Digest, bytes: &[u8]) -> Result<(), BundleError> {
        if !self.blobs.is_empty() && self.blobs.len() + 36 + bytes.len() > BLOBS_BYTES {
            self.flush_blobs()?;
        }
        self.blobs.extend_from_slice(&digest.0);
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.blobs.extend_from_slice(&length.to_le_bytes());
        self.blobs.extend_from_slice(bytes);
        Ok(())
    }

    fn flush_blobs(&mut self) -> Result<(), BundleError> {
        let blobs = std::mem::take(&mut self.blobs);
        if blobs.is_empty() {
            return Ok(());
        }
        let number = self.next_number(2);
        self.add(&Kind::Blobs(number), &blobs)
    }

    /// Whether there is room for so many bytes more: a bundle that grows too much beyond its size
    /// when it is read looks like one that is meant to fill disks.
    pub fn has_room(&self, bytes: u64) -> bool {
        let grown = self.bytes.saturating_add(bytes);
        let written = self.written.load(Ordering::Relaxed);
        grown <= FREE_BYTES.saturating_add(RATIO.saturating_mul(written))
            && (self.members.len() as u64).saturating_add(100) < MEMBERS
    }

    /// What was printed, redacted already.
    pub fn output(&mut self, name: OutputName, bytes: &[u8]) -> Result<(), BundleError> {
        self.flush_blobs()?;
        self.add(&Kind::Output(name), bytes)
    }

    /// What is not in it.
    pub fn redactions(&mut self, redactions: &Redactions) -> Result<(), BundleError> {
        self.flush_blobs()?;
        self.document(&Kind::Redactions, redactions)
    }

    /// What follows from this machine and this moment, redacted already.
    pub fn facts(&mut self, name: &str, bytes: &[u8]) -> Result<(), BundleError> {
        self.add(&Kind::Facts(name.to_owned()), bytes)
    }

    /// Seals it and gives it its name. Only then it is there.
    pub fn finish(
        mut self,
        head_hash: Digest,
        projections: &BTreeMap<String, Digest>,
    ) -> Result<(), BundleError> {
        let projections = projections.iter();
        let manifest = Manifest {
            members: std::mem::take(&mut self.members),
            head_hash: head_hash.to_string(),
            projections: projections
                .map(|(name, digest)| (name.clone(), digest.to_string()))
                .collect(),
        };
        self.document(&Kind::Manifest, &manifest)?;
        self.write(&[0; tar::END])?;
        let Self { path, mut temporary, out, .. } = self;
        let failed = |error| BundleError::io("write", &path)(error);
        let counted = out.finish().and_then(Sealing::finish).map_err(failed)?;
        let file = counted.file.into_inner().map_err(|error| failed(error.into_error()))?;
        file.sync_all().map_err(failed)?;
        fs::rename(temporary.path(), &path).map_err(failed)?;
        temporary.0 = None;
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let directory =
            File::open(directory.unwrap_or(Path::new("."))).and_then(|dir| dir.sync_all());
        directory.map_err(BundleError::io("sync the directory of", path))
    }

    fn next_number(&mut self, which: usize) -> u64 {
        self.numbers[which] += 1;
        self.numbers[which]
    }

    fn document(&mut self, kind: &Kind, value: &impl Serialize) -> Result<(), BundleError> {
        let json = serde_json::to_vec_pretty(value);
        let mut json =
            json.map_err(|error| BundleError::layout(&kind.name(), error.to_string()))?;
        json.push(b'\n');
        self.add(kind, &json)
    }

    fn add(&mut self, kind: &Kind, bytes: &[u8]) -> Result<(), BundleError> {
        let name = kind.name();
        if kind.rank() < self.rank {
            return Err(BundleError::layout(&name, "it comes too late"));
        }
        self.rank = kind.rank();
        let length = bytes.len() as u64;
        self.bytes += length;
        if self.bytes > BYTES {
            return Err(BundleError::TooLarge { of: "bytes", limit: BYTES });
        }
        self.write(&tar::header(&name, length))?;
        self.write(bytes)?;
        self.write(&[0; tar::BLOCK][..tar::padding(length)])?;
        let blake3 = blake3::hash(bytes).to_hex().to_string();
        self.members.push(Member { name, bytes: length, blake3 });
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), BundleError> {
        let failed = BundleError::io("write", self.temporary.path());
        self.out.write_all(bytes).map_err(failed)
    }
}
