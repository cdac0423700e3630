//! What a run was started with, to the byte: for `jr repro` and `jr diff`.

use super::answer::{Where, view_at};
use super::moment::Moment;
use super::query::QueryError;
use super::select::select_one;
use super::view::{InForceView, RecordedView};
use crate::model::{Digest, State};

pub(super) fn recorded(
    selector: &str,
    moment: &Moment<'_>,
    place: &Where<'_>,
) -> Result<RecordedView, QueryError> {
    let row = select_one(moment, selector)?;
    let spec = &row.run.spec;
    let variables = spec.variables.map(|digest| (place.variables)(digest));
    let (variables, variables_error) = match variables {
        None => (Vec::new(), None),
        Some(Ok(variables)) => (variables, None),
        Some(Err(error)) => (Vec::new(), Some(error)),
    };
    let (config_document, config_error) = text(spec.config, place);
    Ok(RecordedView {
        schema: "jr.recorded/1".to_owned(),
        run: view_at(&row, moment, place),
        argv: spec.command.clone(),
        directory: spec.cwd.clone(),
        umask: spec.umask,
        variables,
        variables_error,
        line: spec.line.clone(),
        has_secrets: spec.secrets.is_some(),
        timeout_ms: spec.timeout_ms,
        stop_signal: spec.stop_signal.to_string(),
        grace_ms: spec.grace_ms,
        config_document,
        config_error,
    })
}

/// The configuration in force.
pub(super) fn in_force(state: &State, place: &Where<'_>) -> InForceView {
    let (document, error) = text(state.config.config, place);
    let environment = place.environment.to_owned();
    InForceView { schema: "jr.in_force/1".to_owned(), environment, document, error }
}

/// A blob of text, or why it cannot be read.
fn text(digest: Option<Digest>, place: &Where<'_>) -> (Option<String>, Option<String>) {
    match digest.map(|digest| (place.text)(digest)).transpose() {
        Ok(document) => (document, None),
        Err(error) => (None, Some(error)),
    }
}
