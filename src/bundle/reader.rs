//! Opens a bundle: nothing of it is believed before its seal, its members, their digests and the
//! chain of its records were checked. Nothing in it names a file.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use zstd::stream::read::Decoder;

use super::error::BundleError;
use super::layout::{
    BYTES, FORMAT, FREE_BYTES, Header, Kind, MEMBER_BYTES, MEMBERS, Manifest, Member, OutputName,
    RATIO, Redactions,
};
use super::seal;
use super::spool::Spool;
use super::tar;
use crate::log::Head;
use crate::log::part::{Frames, Origin};
use crate::log::record::{Distrust, ParseError, Record};
use crate::model::Digest;
use crate::projections::digest::Folding;
use crate::sys::regular;

/// Of what a decompressor may need (RFC 8878, 3.1.1.1.2): 2 to the power of this, in bytes.
const WINDOW_LOG: u32 = 27;
/// Of a document.
const DOCUMENT_BYTES: u64 = 64 << 20;
/// What is read at once.
const PIECE: usize = 1 << 17;

/// A bundle that was found to be whole.
#[derive(Debug)]
pub struct Bundle {
    /// Where it lies.
    pub path: PathBuf,
    /// What it is.
    pub header: Header,
    /// What it says of its parts.
    pub manifest: Manifest,
    /// What was taken out.
    pub redactions: Redactions,
    pub(super) origin: Origin,
    pub(super) head: Head,
    pub(super) spool: Spool,
    /// Frames of records, by their place after the first.
    pub(super) records: Vec<u64>,
    /// Frames of records from before.
    pub(super) kept: Vec<u64>,
    blobs: BTreeMap<Digest, Range<u64>>,
    outputs: BTreeMap<OutputName, Range<u64>>,
    facts: BTreeMap<String, Range<u64>>,
}

/// Takes a record with its place in the spool, or says what is wrong with which.
type TakeRecord<'a> = dyn FnMut(u64, &Record<'_>) -> Result<(), (u64, &'static str)> + 'a;

/// Why it cannot be decompressed.
fn undone(path: &Path, error: std::io::Error) -> BundleError {
    if error.kind() == std::io::ErrorKind::UnexpectedEof {
        return BundleError::layout("the archive", "it ends before its end");
    }
    BundleError::io("decompress", path)(error)
}

/// Members as they lie in the spool.
struct Members {
    spool: Spool,
    list: Vec<(Kind, Range<u64>, Member)>,
}

impl Bundle {
    /// Opens and checks it.
    ///
    /// # Errors
    /// [`BundleError`]: the first thing that is wrong.
    pub fn open(path: &Path) -> Result<Self, BundleError> {
        let file = regular::open(path).map_err(BundleError::io("open", path))?;
        let body = seal::check(path, &file)?;
        let members = Members::read(path, &file, body)?;
        Self::of_members(path, members)
    }

    fn of_members(path: &Path, members: Members) -> Result<Self, BundleError> {
        let header: Header = members.document(&Kind::Header)?;
        if header.format > FORMAT {
            return Err(BundleError::Newer(header.format));
        }
        header.check()?;
        let manifest: Manifest = members.document(&Kind::Manifest)?;
        members.check(&manifest)?;
        let redactions = members.document(&Kind::Redactions)?;
        let before = header.first_seq.checked_sub(1);
        let before = before.ok_or_else(|| BundleError::layout("bundle.json", "no first record"))?;
        let origin = Origin::decode(path, before, &members.bytes(&Kind::Origin)?)?;
        let (mut records, mut kept) = (Vec::new(), Vec::new());
        let (mut blobs, mut outputs, mut facts) =
            <(BTreeMap<_, _>, BTreeMap<_, _>, BTreeMap<_, _>)>::default();
        let mut head = origin.head;
        for (kind, range, member) in &members.list {
            match kind {
                Kind::Records(_) => members.chain(range, member, &mut head, &mut records)?,
                Kind::Kept(_) => members.intact(range, member, before, &mut kept)?,
                Kind::Blobs(_) => members.blobs(range, member, &mut blobs)?,
                Kind::Output(name) => drop(outputs.insert(*name, range.clone())),
                Kind::Facts(name) => drop(facts.insert(name.clone(), range.clone())),
                Kind::Header | Kind::Origin | Kind::Redactions | Kind::Manifest => {}
            }
        }
        if head.seq != header.head_seq || head.hash.to_string() != manifest.head_hash {
            let what = "it does not end where the bundle says".to_owned();
            return Err(BundleError::Record { seq: head.seq, what });
        }
        let (path, spool) = (path.to_owned(), members.spool);
        Ok(Self {
            path,
            header,
            manifest,
            redactions,
            origin,
            head,
            spool,
            records,
            kept,
            blobs,
            outputs,
            facts,
        })
    }

    /// How many records it has.
    pub fn len(&self) -> u64 {
        self.records.len() as u64
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// What a digest names.
    ///
    /// # Errors
    /// The spool cannot be read.
    pub fn blob(&self, digest: Digest) -> Result<Option<Vec<u8>>, BundleError> {
        self.blobs.get(&digest).map(|range| self.spool.read(range)).transpose()
    }

    /// A file of an attempt's output.
    ///
    /// # Errors
    /// The spool cannot be read.
    pub fn output(&self, name: OutputName) -> Result<Option<Vec<u8>>, BundleError> {
        self.outputs.get(&name).map(|range| self.spool.read(range)).transpose()
    }

    /// A fact of the machine that it was made on.
    ///
    /// # Errors
    /// The spool cannot be read.
    pub fn fact(&self, name: &str) -> Result<Option<Vec<u8>>, BundleError> {
        self.facts.get(name).map(|range| self.spool.read(range)).transpose()
    }

    /// Folds all records and compares what each projection comes to with what it came to where the
    /// bundle was made; the names of those that were compared.
    ///
    /// # Errors
    /// [`BundleError::Projection`]: the first that differs.
    pub fn check_projections(&self) -> Result<Vec<String>, BundleError> {
        let illegal = |error: crate::projections::ViewsError| {
            BundleError::layout("records", error.to_string())
        };
        let mut folding = Folding::new();
        self.each_kept(&mut |stored| folding.take_kept(&stored).map_err(illegal))?;
        folding.begin(self.origin.state.clone());
        self.each_from(self.header.first_seq, &mut |stored| {
            folding.take(&stored).map_err(illegal).map(|()| true)
        })?;
        let mut compared = Vec::new();
        for (name, found) in folding.digests() {
            // Another version has other shapes: there is nothing to compare.
            let Some(expected) = self.manifest.projections.get(&name) else { continue };
            let found = found.to_string();
            if found != *expected {
                let expected = expected.clone();
                return Err(BundleError::Projection { name, expected, found });
            }
            compared.push(name);
        }
        // What this very version sealed has no others.
        let known: BTreeSet<&String> = compared.iter().collect();
        let other = self.manifest.projections.iter().find(|(name, _)| !known.contains(name));
        if let Some((name, expected)) =
            other.filter(|_| self.header.jr == env!("CARGO_PKG_VERSION"))
        {
            let (name, expected) = (name.clone(), expected.clone());
            return Err(BundleError::Projection { name, expected, found: "nothing".to_owned() });
        }
        Ok(compared)
    }
}

impl Members {
    /// Takes the archive apart.
    fn read(path: &Path, file: &File, body: u64) -> Result<Self, BundleError> {
        let io = |error| undone(path, error);
        let compressed = BufReader::with_capacity(PIECE, file.take(body));
        let mut from = Decoder::with_buffer(compressed).map_err(io)?.single_frame();
        from.window_log_max(WINDOW_LOG).map_err(io)?;
        let mut members = Self { spool: Spool::new()?, list: Vec::new() };
        let limit = FREE_BYTES.saturating_add(RATIO.saturating_mul(body)).min(BYTES);
        let mut block = [0; tar::BLOCK];
        loop {
            from.read_exact(&mut block).map_err(io)?;
            if block == [0; tar::BLOCK] {
                break;
            }
            members.read_one(&block, &mut from, limit, path)?;
        }
        // The second block of the end, and nothing behind it.
        from.read_exact(&mut block).map_err(io)?;
        let is_end = block == [0; tar::BLOCK] && from.read(&mut block).map_err(io)? == 0;
        let mut rest = from.finish();
        let is_all = rest.read(&mut block).map_err(io)? == 0;
        if !is_end || !is_all {
            return Err(BundleError::layout("the archive", "there is something behind its end"));
        }
        Ok(members)
    }

    fn read_one(
        &mut self,
        block: &[u8; tar::BLOCK],
        from: &mut impl Read,
        limit: u64,
        path: &Path,
    ) -> Result<(), BundleError> {
        let io = |error| undone(path, error);
        let place = format!("member {}", self.list.len() + 1);
        let (name, bytes) = tar::parse(block)
            .ok_or_else(|| BundleError::layout(&place, "its header is not as jr writes it"))?;
        let kind = Kind::of_name(&name)
            .ok_or_else(|| BundleError::layout(&place, format!("no member is called {name:?}")))?;
        let last = self.list.last().map(|(kind, ..)| (kind.rank(), kind.name()));
        if last.is_some_and(|last| last >= (kind.rank(), kind.name())) {
            return Err(BundleError::layout(&name, "it is there twice, or not in its place"));
        }
        if self.list.len() as u64 >= MEMBERS {
            return Err(BundleError::TooLarge { of: "members", limit: MEMBERS });
        }
        if bytes > MEMBER_BYTES {
            return Err(BundleError::TooLarge { of: "bytes in a member", limit: MEMBER_BYTES });
        }
        let start = self.spool.length();
        if start + bytes > limit {
            return Err(BundleError::TooLarge { of: "bytes", limit });
        }
        let (mut hasher, mut left) = (blake3::Hasher::new(), bytes);
        let mut buffer = vec![0; PIECE];
        while left > 0 {
            let wanted = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
            from.read_exact(&mut buffer[..wanted]).map_err(io)?;
            hasher.update(&buffer[..wanted]);
            self.spool.push(&buffer[..wanted])?;
            left -= wanted as u64;
        }
        let padding = &mut buffer[..tar::padding(bytes)];
        from.read_exact(padding).map_err(io)?;
        if padding.iter().any(|byte| *byte != 0) {
            return Err(BundleError::layout(&name, "there is something between it and the next"));
        }
        let blake3 = hasher.finalize().to_hex().to_string();
        self.list.push((kind, start..start + bytes, Member { name, bytes, blake3 }));
        Ok(())
    }

    fn bytes(&self, kind: &Kind) -> Result<Vec<u8>, BundleError> {
        let found = self.list.iter().find(|(other, ..)| other == kind);
        let (_, range, _) =
            found.ok_or_else(|| BundleError::layout(&kind.name(), "it is missing"))?;
        self.spool.read(range)
    }

    fn document<T: DeserializeOwned>(&self, kind: &Kind) -> Result<T, BundleError> {
        let bytes = self.bytes(kind)?;
        if bytes.len() as u64 > DOCUMENT_BYTES {
            return Err(BundleError::TooLarge { of: "bytes in a document", limit: DOCUMENT_BYTES });
        }
        let read = serde_json::from_slice(&bytes);
        read.map_err(|error| BundleError::layout(&kind.name(), error.to_string()))
    }

    /// Whether the members are those of the manifest.
    fn check(&self, manifest: &Manifest) -> Result<(), BundleError> {
        let all_but_itself = self.list.iter().map(|(_, _, member)| member);
        let mut expected = manifest.members.iter();
        for found in all_but_itself.filter(|member| member.name != super::layout::MANIFEST) {
            match expected.next() {
                Some(member) if member == found => {}
                Some(member) if member.name == found.name => {
                    return Err(BundleError::layout(&found.name, "it does not match its digest"));
                }
                _ => return Err(BundleError::layout(&found.name, "the manifest lacks it")),
            }
        }
        match expected.next() {
            Some(member) => Err(BundleError::layout(&member.name, "it is missing")),
            None => Ok(()),
        }
    }

    /// Notes the places of records that continue `head`.
    fn chain(
        &self,
        range: &Range<u64>,
        member: &Member,
        head: &mut Head,
        places: &mut Vec<u64>,
    ) -> Result<(), BundleError> {
        self.each_frame(range, member, &mut |place, record| {
            let seq = head.seq + 1;
            if record.seq != seq {
                return Err((seq, "another one is in its place"));
            }
            record.verify(head.hash).map_err(|distrust| match distrust {
                Distrust::Digest => (seq, "it does not match its digest"),
                Distrust::Chain => (seq, "it does not continue its predecessor"),
            })?;
            *head = Head { seq, hash: record.hash };
            places.push(place);
            Ok(())
        })
    }

    /// Notes the places of whole records that ascend up to `before`.
    fn intact(
        &self,
        range: &Range<u64>,
        member: &Member,
        before: u64,
        places: &mut Vec<u64>,
    ) -> Result<(), BundleError> {
        let mut last = 0;
        self.each_frame(range, member, &mut |place, record| {
            if record.seq <= last || record.seq > before {
                return Err((record.seq, "it is not in its place"));
            }
            if !record.is_intact() {
                return Err((record.seq, "it does not match its digest"));
            }
            last = record.seq;
            places.push(place);
            Ok(())
        })
    }

    fn each_frame(
        &self,
        range: &Range<u64>,
        member: &Member,
        take: &mut TakeRecord<'_>,
    ) -> Result<(), BundleError> {
        let bytes = self.spool.read(range)?;
        let mut place = range.start;
        for frame in Frames::new(&bytes) {
            let frame = frame.ok_or_else(|| BundleError::layout(&member.name, "a frame is cut"))?;
            let record = Record::parse(frame).map_err(|error| match error {
                ParseError::Newer(format) => BundleError::Newer(u64::from(format)),
                ParseError::Fault(fault) => BundleError::layout(&member.name, fault.to_string()),
            })?;
            let wrong =
                |(seq, what): (u64, &str)| BundleError::Record { seq, what: what.to_owned() };
            take(place, &record).map_err(wrong)?;
            place += 4 + frame.len() as u64;
        }
        Ok(())
    }

    fn blobs(
        &self,
        range: &Range<u64>,
        member: &Member,
        blobs: &mut BTreeMap<Digest, Range<u64>>,
    ) -> Result<(), BundleError> {
        let bytes = self.spool.read(range)?;
        let (mut rest, mut at) = (&bytes[..], range.start);
        while !rest.is_empty() {
            let cut = || BundleError::layout(&member.name, "a blob is cut");
            let (digest, after) = rest.split_first_chunk::<32>().ok_or_else(cut)?;
            let (length, after) = after.split_first_chunk::<4>().ok_or_else(cut)?;
            let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
            let (blob, after) = after.split_at_checked(length).ok_or_else(cut)?;
            let digest = Digest(*digest);
            if crate::log::chain::digest(blob) != digest {
                let what = format!("blob {digest} does not match its digest");
                return Err(BundleError::layout(&member.name, what));
            }
            blobs.insert(digest, at + 36..at + 36 + length as u64);
            at += 36 + length as u64;
            rest = after;
        }
        Ok(())
    }
}
