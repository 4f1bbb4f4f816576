//! Points in time as people write and read them: UTC, because a host's time zone is no business of a fleet.

use super::name::Unacceptable;

/// Seconds of a day.
const DAY: u64 = 86_400;
/// Further years are mistakes.
const YEARS: std::ops::RangeInclusive<u64> = 1970..=9999;
/// The last second of the last year.
const LAST: u64 = 253_402_300_799;

/// Seconds since 1970-01-01 UTC as people read them: `2026-11-22 13:20 UTC`.
#[must_use]
pub fn render_time(seconds: u64) -> String {
    let seconds = seconds.min(LAST);
    let (year, month, day) = date_of(seconds / DAY);
    let (hour, minute) = (seconds % DAY / 3600, seconds % 3600 / 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02} UTC")
}

/// Reads a point in time, `2026-11-22T13:20Z`, as seconds since 1970-01-01 UTC.
///
/// # Errors
/// Says what a point in time looks like.
pub fn parse_time(text: &str) -> Result<u64, Unacceptable> {
    seconds_of(text).ok_or_else(|| {
        Unacceptable(format!(
            "`{text}` is not a time; write it in UTC, as 2026-11-22T13:20Z"
        ))
    })
}

fn seconds_of(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let mut date = date.splitn(3, '-');
    let (year, month, day) = (
        number(date.next()?, 4)?,
        number(date.next()?, 2)?,
        number(date.next()?, 2)?,
    );
    let mut time = time.splitn(3, ':');
    let (hour, minute) = (number(time.next()?, 2)?, number(time.next()?, 2)?);
    let second = time.next().map_or(Some(0), |second| number(second, 2))?;
    let sensible = YEARS.contains(&year)
        && (1..=12).contains(&month)
        && (1..=days_of(year, month)).contains(&day)
        && hour < 24
        && minute < 60
        && second < 60;
    sensible.then(|| days_before(year, month, day) * DAY + hour * 3600 + minute * 60 + second)
}

fn number(text: &str, digits: usize) -> Option<u64> {
    let plain = text.len() == digits && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

const fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

const fn days_of(year: u64, month: u64) -> u64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap(year) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days from 1970-01-01 to this date.
fn days_before(year: u64, month: u64, day: u64) -> u64 {
    let past = year - 1;
    let leaps = past / 4 - past / 100 + past / 400 - (1969 / 4 - 1969 / 100 + 1969 / 400);
    let months: u64 = (1..month).map(|month| days_of(year, month)).sum();
    (year - 1970) * 365 + leaps + months + day - 1
}

/// Year, month and day of this many days after 1970-01-01.
fn date_of(days: u64) -> (u64, u64, u64) {
    // No day is further from the answer than a year of 365 days makes it, rounded up.
    let guess = 1970 + days / 366;
    let year = (guess..)
        .find(|year| days_before(year + 1, 1, 1) > days)
        .unwrap_or(guess);
    let mut rest = days - days_before(year, 1, 1);
    let mut month = 1;
    while rest >= days_of(year, month) {
        rest -= days_of(year, month);
        month += 1;
    }
    (year, month, rest + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn known_times_are_right() {
        let known = [
            ("1970-01-01T00:00Z", 0),
            ("2000-02-29T12:34Z", 951_827_640),
            ("2026-11-22T13:20:05Z", 1_795_353_605),
            ("2100-03-01T00:00Z", 4_107_542_400),
        ];
        for (text, seconds) in known {
            assert_eq!(parse_time(text).unwrap(), seconds, "{text}");
        }
        assert_eq!(render_time(951_827_659), "2000-02-29 12:34 UTC");
        assert_eq!(render_time(LAST), "9999-12-31 23:59 UTC");
        assert_eq!(render_time(u64::MAX), render_time(LAST));
    }

    #[test]
    fn what_is_no_time_is_said_so() {
        for text in [
            "",
            "Z",
            "TZ",
            "2026-11-22",
            "2026-11-22T13:20",
            "2026-11-22T24:00Z",
            "2026-02-29T00:00Z",
            "2026-13-01T00:00Z",
            "2026-00-01T00:00Z",
            "1969-12-31T00:00Z",
            "+026-11-22T13:20Z",
            "2026-11-22T13:20:61Z",
            "2026-11-22T13:20:00:00Z",
            "tomorrow",
        ] {
            assert!(parse_time(text).unwrap_err().0.contains("13:20Z"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn times_read_back_as_they_were_written(minutes in 0u64..4_200_000_000) {
            let written = render_time(minutes * 60).replace(" UTC", "Z").replace(' ', "T");
            prop_assert_eq!(parse_time(&written).unwrap(), minutes * 60);
        }
    }
}
