//! Figures of a log, for `jr log stat`: counted while reading all of it, verified.

use std::collections::BTreeMap;

use super::chain::Head;
use super::error::LogError;
use super::reader::Reader;
use super::versions;
use crate::model::UnixMillis;

/// What a log holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// Segment files.
    pub segments: usize,
    /// Their bytes on disk; 0 for a log in memory.
    pub file_bytes: u64,
    /// The first record that is kept.
    pub first_seq: u64,
    /// The last record.
    pub head: Head,
    /// Bytes of all records, headers and hashes included.
    pub record_bytes: u64,
    /// Records whose payload was pruned.
    pub pruned: u64,
    /// The least time of a record that is whole.
    pub first_time: Option<UnixMillis>,
    /// The greatest time of a record that is whole.
    pub last_time: Option<UnixMillis>,
    /// Records and their bytes by the name of their kind.
    pub kinds: BTreeMap<&'static str, KindStat>,
}

/// Figures of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KindStat {
    /// Records.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Counts a log.
pub fn stat(reader: &Reader) -> Result<Stat, LogError> {
    let mut cursor = reader.cursor(reader.first_seq())?;
    let mut stat = Stat {
        segments: reader.files().len(),
        file_bytes: reader.file_bytes(),
        first_seq: reader.first_seq(),
        head: cursor.position(),
        record_bytes: 0,
        pruned: 0,
        first_time: None,
        last_time: None,
        kinds: BTreeMap::new(),
    };
    while let Some(record) = cursor.next_record()? {
        let bytes = record.bytes.len() as u64;
        stat.record_bytes += bytes;
        let name = versions::kind(record.shape.kind).map_or("unknown", |line| line.name);
        let kind = stat.kinds.entry(name).or_default();
        kind.records += 1;
        kind.bytes += bytes;
        match record.content {
            None => stat.pruned += 1,
            Some(content) => {
                let time = content.time;
                stat.first_time = Some(stat.first_time.map_or(time, |first| first.min(time)));
                stat.last_time = Some(stat.last_time.map_or(time, |last| last.max(time)));
            }
        }
    }
    stat.head = cursor.position();
    Ok(stat)
}
