//! What the views' file says of itself, without a look at its rows or at the log.

use std::path::Path;

use super::backend::Lying;
use super::error::ViewsError;
use super::rows::{META, Meta, NAME, Table, VERSION, decode};
use super::store::Store;
use crate::log::overlay::Overlay;
use crate::model::BootId;
use crate::sys::regular;

/// Who wrote it, and up to where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The last record that is in it.
    pub applied: u64,
    /// This jr can use it; else it is made anew.
    pub is_current: bool,
    /// The boot that wrote it; in another one it is made anew.
    pub boot: BootId,
}

/// Reads it; `None` if nothing was written yet. No byte of the file changes. The caller sees to it
/// that no daemon writes meanwhile.
///
/// # Errors
/// [`ViewsError`]: it is damaged, or may not be read.
pub fn read(path: &Path) -> Result<Option<Stamp>, ViewsError> {
    let bytes = regular::open(path).and_then(|file| Overlay::new(Lying::File(file)));
    let store = Store::open(bytes.map_err(|source| ViewsError::Io { operation: "open", source })?)?;
    if store.is_new()? {
        return Ok(None);
    }
    let Some(row) = store.get(Table::Meta, META)? else { return Ok(None) };
    let meta: Meta = decode(Table::Meta, &row)?;
    let is_current = meta.name == NAME && meta.version == VERSION;
    Ok(Some(Stamp { applied: meta.applied, is_current, boot: meta.boot }))
}
