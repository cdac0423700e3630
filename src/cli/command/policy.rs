//! What becomes of a run's attempts, as options: retries, accepted codes, order, locks.

use crate::daemon::protocol::{After, Common};
use crate::model::notation::{self, backoff};
use crate::model::{Backoff, Condition, OnInterrupt, Retry};

/// What runs and lines of batches take.
#[derive(clap::Args, Debug, Clone)]
pub struct PolicyArgs {
    /// Try so many times more if it does not succeed
    #[arg(long, value_name = "N")]
    retries: Option<u32>,
    /// Time before a retry: FIRST[,max=DURATION][,factor=N][,jitter=N%]
    /// [default: 1s,max=5m,factor=2,jitter=10%]
    #[arg(long, value_name = "SPEC", value_parser = backoff, requires = "retries")]
    backoff: Option<Backoff>,
    /// Exit codes that are a success besides 0, such as 3,10-12
    #[arg(long, value_name = "CODES", value_parser = codes)]
    ok: Option<Codes>,
    /// If jr loses sight of an attempt, at a reboot say [default: fail]
    #[arg(long, value_name = "fail|requeue|ask", value_parser = on_interrupt)]
    on_interrupt: Option<OnInterrupt>,
}

/// A value of `--ok`: a type of its own, so that clap takes the whole list as one value.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Codes(Vec<u8>);

impl PolicyArgs {
    /// Puts them where the daemon looks for them.
    pub fn apply(&self, common: &mut Common) {
        if let Some(times) = self.retries {
            let declared = common.retry.map(|retry| retry.backoff);
            let backoff = self.backoff.or(declared).unwrap_or(Backoff::DEFAULT);
            common.retry = (times > 0).then_some(Retry { times, backoff });
        }
        if let Some(codes) = &self.ok {
            common.ok_codes.clone_from(&codes.0);
        }
        common.on_interrupt = self.on_interrupt.unwrap_or(common.on_interrupt);
    }
}

/// For clap.
fn codes(text: &str) -> Result<Codes, String> {
    notation::codes(text).map(Codes)
}

fn on_interrupt(text: &str) -> Result<OnInterrupt, String> {
    match text {
        "fail" => Ok(OnInterrupt::Fail),
        "requeue" => Ok(OnInterrupt::Requeue),
        "ask" => Ok(OnInterrupt::Ask),
        _ => Err("it must be fail, requeue or ask".to_owned()),
    }
}

/// For clap: `SEL`, `SEL:ok` or `SEL:any`.
///
/// # Errors
/// There is no selector.
pub fn after(text: &str) -> Result<After, String> {
    let (selector, condition) = match text.rsplit_once(':') {
        Some((selector, "ok")) => (selector, Condition::Ok),
        Some((selector, "any")) => (selector, Condition::Any),
        _ => (text, Condition::Ok),
    };
    if selector.is_empty() {
        return Err("it must be a run, then :ok or :any if need be".to_owned());
    }
    Ok(After { selector: selector.to_owned(), condition })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dependency_ends_with_its_word() {
        let read = |text| after(text).map(|after| (after.selector, after.condition));
        assert_eq!(read("build"), Ok(("build".to_owned(), Condition::Ok)));
        assert_eq!(read("label:k=v:any"), Ok(("label:k=v".to_owned(), Condition::Any)));
        assert_eq!(read("name:ok"), Ok(("name".to_owned(), Condition::Ok)));
        assert!(read(":any").is_err());
    }
}
