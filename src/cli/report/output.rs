//! What runs printed, as it goes into a bundle: bounded and redacted.

use std::collections::BTreeSet;
use std::fs::File;
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
use crate::daemon::place::Place;
use crate::model::RunId;

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
        let bytes = match read(&base.with_added_extension(name.part.extension())) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => {
                redactions.left_out.push(LeftOut { member, bytes: 0, why: error.to_string() });
                continue;
            }
        };
        let Some(mut bytes) = bytes else {
            let why = format!("more than {OUTPUT_BYTES} bytes");
            redactions.left_out.push(LeftOut { member, bytes: 0, why });
            continue;
        };
        let length = bytes.len() as u64;
        if copied + length > OUTPUT_BYTES_ALL || !writer.has_room(length) {
            let why = "the bundle would become too large".to_owned();
            redactions.left_out.push(LeftOut { member, bytes: length, why });
            continue;
        }
        copied += length;
        if name.part != OutputPart::Index {
            redactions.items.extend(redactor.redact(&member, &mut bytes));
        }
        writer.output(name, &bytes)?;
    }
    Ok(redactions)
}

/// All of a file; `None` if it is too large.
fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    if length > OUTPUT_BYTES {
        return Ok(None);
    }
    let mut bytes = vec![0; usize::try_from(length).unwrap_or(0)];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], filled as u64)? {
            0 => break,
            count => filled += count,
        }
    }
    bytes.truncate(filled);
    Ok(Some(bytes))
}
