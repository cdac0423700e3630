//! How people write durations, sizes, cores, exit codes, waits and locks: on the command line as in
//! configuration files.

use super::id::BadName;
use super::spec::{Backoff, LockBusy, LockWish};

/// What would have been understood.
const DURATIONS: &str = "a duration such as 90 (seconds), 1m30s, 2h, 500ms or 01:30:00";

/// A duration in milliseconds.
///
/// # Errors
/// What would have been understood.
pub fn duration(text: &str) -> Result<u64, String> {
    let wrong = || format!("{text:?} is not {DURATIONS}");
    let trimmed = text.trim();
    if trimmed.is_empty() || trimmed.starts_with('-') {
        return Err(wrong());
    }
    if trimmed.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return seconds_millis(trimmed).ok_or_else(wrong);
    }
    if trimmed.contains(':') {
        return clock_millis(trimmed).ok_or_else(wrong);
    }
    units_millis(trimmed).ok_or_else(wrong)
}

fn seconds_millis(text: &str) -> Option<u64> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if seconds.is_empty() || fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let millis: u64 = format!("{fraction:0<3}")[..3].parse().ok()?;
    seconds.parse::<u64>().ok()?.checked_mul(1_000)?.checked_add(millis)
}

/// `MM:SS` and `HH:MM:SS`.
fn clock_millis(text: &str) -> Option<u64> {
    let mut seconds = 0_u64;
    let parts: Vec<&str> = text.split(':').collect();
    if !(2..=3).contains(&parts.len()) {
        return None;
    }
    for (place, part) in parts.iter().enumerate() {
        let number: u64 = part.parse().ok()?;
        if place > 0 && (number > 59 || part.len() != 2) {
            return None;
        }
        seconds = seconds.checked_mul(60)?.checked_add(number)?;
    }
    seconds.checked_mul(1_000)
}

/// `1h30m`, `1m 30s`, `500ms`, `2d`; each unit once, from large to small.
fn units_millis(text: &str) -> Option<u64> {
    const UNITS: [(&str, u64); 6] = [
        ("w", 604_800_000),
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ];
    let mut rest = text;
    let mut total = 0_u64;
    let mut largest = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let letters = rest[digits..].trim_start();
        let end = letters.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(letters.len());
        let unit = match &letters[..end] {
            "sec" | "secs" | "second" | "seconds" => "s",
            "min" | "mins" | "minute" | "minutes" => "m",
            "hour" | "hours" | "hr" => "h",
            "day" | "days" => "d",
            "week" | "weeks" => "w",
            other => other,
        };
        let place = UNITS.iter().position(|(name, _)| *name == unit)?;
        if place < largest {
            return None;
        }
        largest = place + 1;
        // Thousandths of a unit are exact enough for `1.5h`.
        let thousandths = seconds_millis(&rest[..digits])?;
        total = total.checked_add(thousandths.checked_mul(UNITS[place].1)? / 1_000)?;
        rest = letters[end..].trim_start();
    }
    Some(total)
}

/// Cores with up to three decimals, as thousandths.
pub fn cpu_millis(text: &str) -> Option<u32> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(part) || part.len() > 3 {
        return None;
    }
    let part: u32 = format!("{part:0<3}").parse().ok()?;
    let millis = whole.parse::<u32>().ok()?.checked_mul(1_000)?.checked_add(part)?;
    (millis > 0).then_some(millis)
}

/// Bytes, or with K, M, G or T so many times 1,024.
pub fn bytes(text: &str) -> Option<u64> {
    let number = text.trim_end_matches(|end: char| end.is_ascii_alphabetic());
    let shift = match text[number.len()..].to_ascii_uppercase().as_str() {
        "" | "B" => 0,
        "K" | "KB" | "KIB" => 10,
        "M" | "MB" | "MIB" => 20,
        "G" | "GB" | "GIB" => 30,
        "T" | "TB" | "TIB" => 40,
        _ => return None,
    };
    let number: u64 = number.parse().ok().filter(|number| *number > 0)?;
    number.checked_mul(1 << shift)
}

/// Waiting times: `1s,max=5m,factor=2,jitter=10%`.
///
/// # Errors
/// What would have been understood.
pub fn backoff(text: &str) -> Result<Backoff, String> {
    let mut parts = text.split(',');
    let first_ms = duration(parts.next().unwrap_or_default())?;
    let mut backoff = Backoff { first_ms, ..Backoff::DEFAULT };
    backoff.max_ms = backoff.max_ms.max(first_ms);
    for part in parts {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        match name.trim() {
            "max" => backoff.max_ms = duration(value)?,
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

/// Exit codes: `3,10-12`; 0 is left out.
///
/// # Errors
/// What would have been understood.
pub fn codes(text: &str) -> Result<Vec<u8>, String> {
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
    Ok(codes)
}

/// A lock and what to do if it is taken: `NAME`, `NAME:wait`, `NAME:fail` or `NAME:skip`.
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
    let name = name.parse().map_err(|error: BadName| error.to_string())?;
    Ok(LockWish { name, otherwise })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_as_people_type_them() {
        for (text, expected) in [
            ("90", 90_000),
            ("0", 0),
            ("1.5", 1_500),
            ("1m30s", 90_000),
            ("1m 30s", 90_000),
            ("2h", 7_200_000),
            ("1.5h", 5_400_000),
            ("500ms", 500),
            ("1d", 86_400_000),
            ("10 min", 600_000),
            ("01:30:00", 5_400_000),
            ("1:30", 90_000),
        ] {
            assert_eq!(duration(text), Ok(expected), "{text}");
        }
        for bad in ["", "-1", "x", "1x", "30s1m", "1m1m", "1:2", "1:60", "1:00:00:00", "h", "."] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        assert!(duration("99999999999999999999").is_err());
        assert!(duration("99999999999999999w").is_err());
    }

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
        assert_eq!(codes("3,10-12,0,11"), Ok(vec![3, 10, 11, 12]));
        for bad in ["", "256", "-1", "5-3", "a", "1,,2"] {
            assert!(codes(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_lock_ends_with_its_word() {
        let read = |text| lock(text).map(|lock| (lock.name.to_string(), lock.otherwise));
        assert_eq!(read("db"), Ok(("db".to_owned(), LockBusy::Wait)));
        assert_eq!(read("db:wait"), Ok(("db".to_owned(), LockBusy::Wait)));
        assert_eq!(read("db:skip"), Ok(("db".to_owned(), LockBusy::Skip)));
        assert!(read("db:never").is_err() && read("DB").is_err() && read(":fail").is_err());
    }
}
