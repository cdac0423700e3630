//! What runs printed, as it goes into a bundle: bounded and redacted.

use std::collections::BTreeSet;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::gather::Gathered;
use super::known::Known;
use crate::bundle::layout::{
    LeftOut, OUTPUT_BYTES, OUTPUT_BYTES_ALL, OutputName, OutputPart, Redactions,
};
use crate::bundle::redact::Redactor;
use crate::bundle::{BundleError, Writer};
use crate::cli::text;
use crate::daemon::place::Place;
use crate::model::RunId;
use crate::runners::capture::index::ENTRY_BYTES;
use crate::sys::regular;

/// So much before a cut is looked at as well: no secret is longer.
const CUT_BYTES: u64 = 1 << 20;

/// Copies the output of these runs; what is left out is noted. Without `known` it does not matter
/// whose secrets can be looked for.
///
/// # Errors
/// The bundle cannot be written.
pub fn copy(
    runs: &BTreeSet<RunId>,
    gathered: &Gathered,
    known: Option<&Known>,
    (place, redactor): (&Place, &Redactor),
    writer: &mut Writer,
) -> Result<Redactions, BundleError> {
    let mut names = Vec::new();
    let mut redactions = Redactions::default();
    for (run, seen) in gathered.runs.iter().filter(|(run, _)| runs.contains(run)) {
        let unknown = known.map(|known| known.unknown(seen)).unwrap_or_default();
        if !unknown.is_empty() {
            let member = format!("output/{run}");
            let unknown = unknown.join(", ");
            let why = format!("its secrets are not known here any more ({unknown})");
            redactions.left_out.push(LeftOut { member, bytes: 0, why });
            continue;
        }
        for attempt in 1..=seen.attempts {
            names.extend(OutputPart::ALL.map(|part| OutputName { run: *run, attempt, part }));
        }
    }
    names.sort_by_cached_key(OutputName::member);
    let mut copied = 0;
    for name in names {
        let member = name.member();
        let base = place.output(name.run, name.attempt);
        let read = newest(&base.with_added_extension(name.part.extension()), name.part);
        let Newest { mut bytes, start, before } = match read {
            Ok(newest) => newest,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                redactions.left_out.push(LeftOut { member, bytes: 0, why: error.to_string() });
                continue;
            }
        };
        let length = (bytes.len() - before) as u64;
        if copied + length > OUTPUT_BYTES_ALL || !writer.has_room(length) {
            let why = "the bundle would become too large".to_owned();
            redactions.left_out.push(LeftOut { member, bytes: start + length, why });
            continue;
        }
        copied += length;
        if start > 0 {
            let why = format!("only the newest {} of a stream are taken", text::size(OUTPUT_BYTES));
            redactions.left_out.push(LeftOut { member: member.clone(), bytes: start, why });
        }
        if name.part != OutputPart::Index {
            redactions.items.extend(redactor.redact(&member, &mut bytes));
        }
        writer.output(name, &bytes[before..])?;
    }
    Ok(redactions)
}

/// The newest bytes of a file.
struct Newest {
    bytes: Vec<u8>,
    /// Where what is taken begins in the file.
    start: u64,
    /// So many of the bytes are from before that: a secret across the cut is found by them.
    before: usize,
}

/// The newest [`OUTPUT_BYTES`] of a file, of an index in whole entries.
fn newest(path: &Path, part: OutputPart) -> io::Result<Newest> {
    let file = regular::open(path)?;
    let length = file.metadata()?.len();
    let start = length.saturating_sub(OUTPUT_BYTES);
    let (start, from) = match part {
        OutputPart::Index => {
            let start = start.next_multiple_of(ENTRY_BYTES as u64);
            (start, start)
        }
        OutputPart::Out | OutputPart::Err => (start, start.saturating_sub(CUT_BYTES)),
    };
    let mut bytes = vec![0; usize::try_from(length.saturating_sub(from)).unwrap_or(0)];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], from + filled as u64)? {
            0 => break,
            count => filled += count,
        }
    }
    bytes.truncate(filled);
    let before = usize::try_from(start - from).unwrap_or(0).min(bytes.len());
    Ok(Newest { bytes, start, before })
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    #[test]
    fn of_a_long_stream_the_newest_is_taken_with_what_a_secret_across_the_cut_needs() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("x.1.out");
        let file = File::create(&path).expect("a file");
        file.set_len(OUTPUT_BYTES + 100).expect("grows");
        file.write_all_at(b"c4nary-value", 95).expect("written");
        let Newest { mut bytes, start, before } = newest(&path, OutputPart::Out).expect("reads");
        assert_eq!((start, before, bytes.len() as u64), (100, 100, OUTPUT_BYTES + 100));
        Redactor::new([&b"c4nary-value"[..]]).redact("x", &mut bytes);
        let taken = &bytes[before..];
        assert_eq!(taken.len() as u64, OUTPUT_BYTES);
        assert_eq!(&taken[..7], b"et]****");
        file.set_len(OUTPUT_BYTES + CUT_BYTES + 5).expect("grows");
        let Newest { start, before, .. } = newest(&path, OutputPart::Out).expect("reads");
        assert_eq!((start, before as u64), (CUT_BYTES + 5, CUT_BYTES));
        let index = newest(&path, OutputPart::Index).expect("reads");
        assert_eq!((index.start % ENTRY_BYTES as u64, index.before), (0, 0));
    }
}
