//! Moments and durations as people type them, and as they read them.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan, Zoned};

use crate::model::notation::duration;

/// What would have been understood.
const MOMENTS: &str = "a time such as 2026-11-20T14:00:00Z, '2026-11-20 14:00', 14:00, -2h, \
    '2h ago', today, yesterday or @1700000000";

/// The moment that `text` means, in Unix milliseconds, seen from `now`.
///
/// # Errors
/// What would have been understood.
pub fn moment(text: &str, now: &Zoned) -> Result<i64, String> {
    let text = text.trim();
    let wrong = || format!("{text:?} is not {MOMENTS}");
    let zoned = match text {
        "now" => Some(now.clone()),
        "today" => now.start_of_day().ok(),
        "yesterday" => now.yesterday().and_then(|day| day.start_of_day()).ok(),
        "tomorrow" => now.tomorrow().and_then(|day| day.start_of_day()).ok(),
        _ => None,
    };
    if let Some(zoned) = zoned {
        return Ok(zoned.timestamp().as_millisecond());
    }
    if let Some(epoch) = text.strip_prefix('@') {
        return epoch_millis(epoch).ok_or_else(wrong);
    }
    if let Some(ago) = text.strip_prefix('-').or_else(|| text.strip_suffix(" ago")) {
        return before(ago.trim(), now).ok_or_else(wrong);
    }
    if let Ok(timestamp) = text.parse::<Timestamp>() {
        return Ok(timestamp.as_millisecond());
    }
    if let Some((day, clock)) = text.split_once(' ') {
        let clock = clock_time(clock).ok_or_else(wrong)?;
        let start = moment(day, now).map_err(|_| wrong())?;
        let day = Timestamp::from_millisecond(start).map_err(|_| wrong())?;
        let day = day.to_zoned(now.time_zone().clone()).date();
        return local(day.to_datetime(clock), now).ok_or_else(wrong);
    }
    if let Some(clock) = clock_time(text) {
        return local(now.date().to_datetime(clock), now).ok_or_else(wrong);
    }
    let civil = text.parse::<DateTime>().ok();
    let civil = civil.or_else(|| text.parse::<Date>().ok().map(|date| date.at(0, 0, 0, 0)));
    civil.and_then(|civil| local(civil, now)).ok_or_else(wrong)
}

/// `14:00` and `14:00:05`; jiff alone would also take forms that mean something else here, and of
/// a date with a time it would drop the date.
fn clock_time(text: &str) -> Option<Time> {
    let is_clock = text.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b':' | b'.'));
    (is_clock && text.contains(':') && text.len() >= 4)
        .then(|| if text.len() == 4 { format!("0{text}") } else { text.to_owned() })
        .and_then(|text| text.parse().ok())
}

fn local(civil: DateTime, now: &Zoned) -> Option<i64> {
    civil.to_zoned(now.time_zone().clone()).ok().map(|zoned| zoned.timestamp().as_millisecond())
}

/// `@1700000000` and `@1700000000.5`.
fn epoch_millis(text: &str) -> Option<i64> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, "0"));
    if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let millis: i64 = format!("{fraction:0<3}")[..3].parse().ok()?;
    let seconds: i64 = seconds.parse().ok()?;
    seconds.checked_mul(1_000)?.checked_add(if seconds < 0 { -millis } else { millis })
}

/// Days are calendar days: a day ago is the same clock time, whatever the summer time does.
fn before(text: &str, now: &Zoned) -> Option<i64> {
    let days = text.strip_suffix('d').and_then(|days| days.parse::<i32>().ok());
    let then = if let Some(days) = days {
        now.checked_sub(days.checked_abs()?.days()).ok()?
    } else {
        let millis = i64::try_from(duration(text).ok()?).ok()?;
        now.checked_sub(SignedDuration::from_millis(millis)).ok()?
    };
    Some(then.timestamp().as_millisecond())
}

/// Where the system's own time zone lies (localtime(5)).
const LOCALTIME: &str = "/etc/localtime";

/// The time zone of whoever reads: `TZ`, else the system's. Finding the latter's name, which nobody
/// asks for, would mean to list all time zones, and that takes longer than all else that a reading
/// command does.
pub fn zone() -> TimeZone {
    match std::env::var_os("TZ") {
        Some(name) if name == "UTC" || name.is_empty() => TimeZone::UTC,
        Some(_) => TimeZone::system(),
        None => {
            let rules = std::fs::read(LOCALTIME).ok();
            let zone = rules.and_then(|rules| TimeZone::tzif("localtime", &rules).ok());
            zone.unwrap_or(TimeZone::UTC)
        }
    }
}

/// This moment, in the reader's time zone.
pub fn now() -> Zoned {
    Timestamp::now().to_zoned(zone())
}

/// Time of day where it was today, else with its date.
pub fn show(rfc3339: &str, now: &Zoned) -> String {
    let timestamp = rfc3339.parse::<Timestamp>();
    timestamp.map_or_else(|_| rfc3339.to_owned(), |timestamp| show_timestamp(timestamp, now))
}

/// As [`show`]; what no calendar has becomes its first or last moment, as in documents.
pub fn show_millis(unix_millis: i64, now: &Zoned) -> String {
    let outside = if unix_millis < 0 { Timestamp::MIN } else { Timestamp::MAX };
    show_timestamp(Timestamp::from_millisecond(unix_millis).unwrap_or(outside), now)
}

fn show_timestamp(timestamp: Timestamp, now: &Zoned) -> String {
    let local = timestamp.to_zoned(now.time_zone().clone());
    let (date, time) = (local.date(), local.time());
    let (hour, minute, second) = (time.hour(), time.minute(), time.second());
    if date == now.date() {
        format!("{hour:02}:{minute:02}:{second:02}")
    } else {
        format!("{date} {hour:02}:{minute:02}:{second:02}")
    }
}

/// Local date and time, to the millisecond.
pub fn show_exact(rfc3339: &str, now: &Zoned) -> String {
    let Ok(timestamp) = rfc3339.parse::<Timestamp>() else { return rfc3339.to_owned() };
    timestamp.to_zoned(now.time_zone().clone()).strftime("%Y-%m-%d %H:%M:%S%.3f").to_string()
}

/// As documents have it: UTC with milliseconds.
pub fn rfc3339(unix_millis: i64) -> Option<String> {
    let timestamp = Timestamp::from_millisecond(unix_millis).ok()?;
    Some(timestamp.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string())
}

/// Time since, in milliseconds; 0 if it lies ahead.
pub fn age_ms(rfc3339: &str, now: &Zoned) -> Option<u64> {
    let then = rfc3339.parse::<Timestamp>().ok()?.as_millisecond();
    Some(u64::try_from(now.timestamp().as_millisecond() - then).unwrap_or(0))
}

/// A duration for people: the two largest units.
pub fn show_duration(millis: u64) -> String {
    let seconds = millis / 1_000;
    match seconds {
        0 => format!("{millis}ms"),
        1..=9 => format!("{}.{}s", seconds, millis % 1_000 / 100),
        10..=59 => format!("{seconds}s"),
        60..=3_599 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3_600..=86_399 => format!("{}h{:02}m", seconds / 3_600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noon() -> Zoned {
        "2026-11-20T12:00:00+01:00[Europe/Berlin]".parse().expect("a time zone database")
    }

    fn at(text: &str) -> String {
        let millis = moment(text, &noon()).expect(text);
        Timestamp::from_millisecond(millis).expect("in range").to_string()
    }

    #[test]
    fn moments_as_people_type_them() {
        for (text, expected) in [
            ("2026-11-20T14:00:00Z", "2026-11-20T14:00:00Z"),
            ("2026-11-20T14:00:00.250+02:00", "2026-11-20T12:00:00.25Z"),
            ("2026-11-20 14:00", "2026-11-20T13:00:00Z"),
            ("2026-11-20 14:00:30", "2026-11-20T13:00:30Z"),
            ("2025-11-22 14:00", "2025-11-22T13:00:00Z"),
            ("2026-11-19 14:00:30", "2026-11-19T13:00:30Z"),
            ("2026-11-19 14:00:30.5", "2026-11-19T13:00:30.5Z"),
            ("2026-11-19T14:00", "2026-11-19T13:00:00Z"),
            ("2026-11-19T14:00:30", "2026-11-19T13:00:30Z"),
            ("1999-07-01 08:00", "1999-07-01T06:00:00Z"),
            ("2026-07-01", "2026-06-30T22:00:00Z"),
            ("14:00", "2026-11-20T13:00:00Z"),
            ("9:05", "2026-11-20T08:05:00Z"),
            ("-2h", "2026-11-20T09:00:00Z"),
            ("-90", "2026-11-20T10:58:30Z"),
            ("2h ago", "2026-11-20T09:00:00Z"),
            ("-30d", "2026-10-21T10:00:00Z"),
            ("today", "2026-11-19T23:00:00Z"),
            ("yesterday", "2026-11-18T23:00:00Z"),
            ("yesterday 15:00", "2026-11-19T14:00:00Z"),
            ("2026-07-01 9:05", "2026-07-01T07:05:00Z"),
            ("now", "2026-11-20T11:00:00Z"),
            ("@1700000000", "2023-11-14T22:13:20Z"),
            ("@1700000000.5", "2023-11-14T22:13:20.5Z"),
        ] {
            assert_eq!(at(text), expected, "{text}");
        }
        for bad in [
            "",
            "nonsense",
            "25:00",
            "2026-13-01",
            "@",
            "@x",
            "-",
            "-x",
            "2 ago x",
            "2026-11-19 25:00",
        ] {
            let error = moment(bad, &noon()).expect_err(bad);
            assert!(error.contains("is not a time such as"), "{error}");
        }
    }

    #[test]
    fn times_for_people() {
        assert_eq!(show("2026-11-20T10:00:00.123Z", &noon()), "11:00:00");
        assert_eq!(show("2026-11-19T10:00:00.123Z", &noon()), "2026-11-19 11:00:00");
        assert_eq!(show_exact("2026-11-19T10:00:00.123Z", &noon()), "2026-11-19 11:00:00.123");
        assert_eq!(age_ms("2026-11-20T10:59:58Z", &noon()), Some(2_000));
        for (millis, text) in
            [(7, "7ms"), (1_234, "1.2s"), (59_999, "59s"), (61_000, "1m01s"), (90_000_000, "1d01h")]
        {
            assert_eq!(show_duration(millis), text);
        }
    }
}
