//! Points in time as people write and read them, in UTC: the hosts of a fleet may be in several time zones.

use std::time::{Duration, UNIX_EPOCH};

/// The last second of the year 9999; later times are mistakes.
const LAST: u64 = 253_402_300_799;

/// Seconds since 1970-01-01 UTC as people read them: `2026-11-22 13:20 UTC`.
#[must_use]
pub fn render_time(seconds: u64) -> String {
    let time = UNIX_EPOCH + Duration::from_secs(seconds.min(LAST));
    let text = humantime::format_rfc3339_seconds(time).to_string();
    let (date, time) = text.split_at(10);
    format!("{date} {} UTC", &time[1..6])
}

/// Reads a point in time, `2026-11-22T13:20Z` or with seconds, as seconds since 1970-01-01 UTC.
#[must_use]
pub fn parse_time(text: &str) -> Option<u64> {
    let to_the_second = match text.len() {
        17 => &text.replace('Z', ":00Z"),
        _ => text,
    };
    let time = humantime::parse_rfc3339(to_the_second).ok()?;
    Some(time.duration_since(UNIX_EPOCH).ok()?.as_secs())
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
            assert_eq!(parse_time(text), Some(seconds), "{text}");
        }
        for text in "|Z|2026-11-22|2026-11-22T13:20|2026-11-22T24:00Z|2026-02-29T00:00Z|1969-12-31T00:00Z|+026-11-22T13:20Z\
            |2026-11-22T13:20:61Z|2026-11-22T13:20:00:00Z|tomorrow".split('|')
        {
            assert_eq!(parse_time(text), None, "{text}");
        }
        assert_eq!(render_time(951_827_659), "2000-02-29 12:34 UTC");
        assert_eq!(render_time(LAST), "9999-12-31 23:59 UTC");
        assert_eq!(render_time(u64::MAX), render_time(LAST));
    }

    proptest! {
        #[test]
        fn times_read_back_as_they_were_written(minutes in 0u64..4_200_000_000) {
            let written = render_time(minutes * 60).replace(" UTC", "Z").replace(' ', "T");
            prop_assert_eq!(parse_time(&written), Some(minutes * 60));
        }

        #[test]
        fn no_text_panics(text in ".{0,20}|[0-9TZ:-]{17}|.{5}é.{10}") {
            let _ = parse_time(&text);
        }
    }
}
