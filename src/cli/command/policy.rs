//! What becomes of a run's attempts, as options: retries, accepted codes, order, locks.

use crate::cli::time_arg;
use crate::daemon::protocol::{After, Common};
use crate::model::{Backoff, Condition, LockBusy, LockWish, OnInterrupt, Retry};

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
        let backoff = self.backoff.unwrap_or(Backoff::DEFAULT);
        let retries = self.retries.filter(|times| *times > 0);
        common.retry = retries.map(|times| Retry { times, backoff });
        common.ok_codes = self.ok.clone().map(|codes| codes.0).unwrap_or_default();
        common.on_interrupt = self.on_interrupt.unwrap_or_default();
    }
}

/// For clap: `1s,max=5m,factor=2,jitter=10%`.
fn backoff(text: &str) -> Result<Backoff, String> {
    let mut parts = text.split(',');
    let first_ms = time_arg::duration(parts.next().unwrap_or_default())?;
    let mut backoff = Backoff { first_ms, ..Backoff::DEFAULT };
    backoff.max_ms = backoff.max_ms.max(first_ms);
    for part in parts {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        match name.trim() {
            "max" => backoff.max_ms = time_arg::duration(value)?,
            "factor" => backoff.factor_percent = factor(value)?,
            "jitter" => backoff.jitter_percent = jitter(value)?,
            _ => return Err(format!("{part:?} is none of max=…, factor=… and jitter=…")),
        }
    }
    if backoff.max_ms < first_ms {
        return Err("the first wait is longer than max".to_owned());
    }
    Ok(backoff)
}

fn factor(text: &str) -> Result<u32, String> {
    let number = text.parse::<f64>().ok().filter(|number| (1.0..=100.0).contains(number));
    let number = number.ok_or("the factor must be a number from 1 to 100")?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is between 100 and 10,000"
    )]
    Ok((number * 100.0).round() as u32)
}

fn jitter(text: &str) -> Result<u8, String> {
    let number = text.strip_suffix('%').unwrap_or(text).parse::<u8>().ok();
    number.filter(|number| *number <= 100).ok_or("the jitter must be 0% to 100%".to_owned())
}

/// For clap: `3,10-12`.
fn codes(text: &str) -> Result<Codes, String> {
    let bad = || "codes are numbers from 0 to 255, such as 3,10-12".to_owned();
    let mut codes = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (first.trim().parse::<u8>(), last.trim().parse::<u8>());
        let (Ok(first), Ok(last)) = (first, last) else { return Err(bad()) };
        if first > last {
            return Err(bad());
        }
        codes.extend(first..=last);
    }
    codes.sort_unstable();
    codes.dedup();
    codes.retain(|code| *code != 0);
    Ok(Codes(codes))
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

/// For clap: `NAME`, `NAME:wait`, `NAME:fail` or `NAME:skip`.
///
/// # Errors
/// The name is no name, or the word is another one.
pub fn lock(text: &str) -> Result<LockWish, String> {
    let (name, otherwise) = match text.split_once(':') {
        None | Some((_, "wait")) => (text.strip_suffix(":wait").unwrap_or(text), LockBusy::Wait),
        Some((name, "fail")) => (name, LockBusy::Fail),
        Some((name, "skip")) => (name, LockBusy::Skip),
        Some((_, other)) => return Err(format!("{other:?} is none of wait, fail and skip")),
    };
    let name = name.parse().map_err(|error: crate::model::BadName| error.to_string())?;
    Ok(LockWish { name, otherwise })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backoff_says_what_differs_from_the_usual() {
        assert_eq!(backoff("1s"), Ok(Backoff::DEFAULT));
        let fixed = backoff("250ms,factor=1,jitter=0").expect("valid");
        assert_eq!((fixed.first_ms, fixed.factor_percent, fixed.jitter_percent), (250, 100, 0));
        let long = backoff("10m").expect("longer than the usual bound");
        assert_eq!(long.max_ms, 600_000);
        let all = backoff("2s,max=1m,factor=1.5,jitter=25%").expect("valid");
        assert_eq!((all.max_ms, all.factor_percent, all.jitter_percent), (60_000, 150, 25));
        for bad in ["", "soon", "1s,max=1ms", "1s,factor=0.5", "1s,jitter=101", "1s,min=3", "1s,,"]
        {
            assert!(backoff(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn accepted_codes_are_numbers_and_ranges() {
        assert_eq!(codes("3,10-12,0,11"), Ok(Codes(vec![3, 10, 11, 12])));
        for bad in ["", "256", "-1", "5-3", "a", "1,,2"] {
            assert!(codes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_dependency_and_a_lock_end_with_their_word() {
        let read = |text| after(text).map(|after| (after.selector, after.condition));
        assert_eq!(read("build"), Ok(("build".to_owned(), Condition::Ok)));
        assert_eq!(read("label:k=v:any"), Ok(("label:k=v".to_owned(), Condition::Any)));
        assert_eq!(read("name:ok"), Ok(("name".to_owned(), Condition::Ok)));
        assert!(read(":any").is_err());
        let read = |text| lock(text).map(|lock| (lock.name.to_string(), lock.otherwise));
        assert_eq!(read("db"), Ok(("db".to_owned(), LockBusy::Wait)));
        assert_eq!(read("db:wait"), Ok(("db".to_owned(), LockBusy::Wait)));
        assert_eq!(read("db:skip"), Ok(("db".to_owned(), LockBusy::Skip)));
        assert!(read("db:never").is_err() && read("DB").is_err() && read(":fail").is_err());
    }
}
