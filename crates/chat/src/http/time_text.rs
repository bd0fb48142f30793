//! Times as servers write them: durations of Go and of prose, HTTP and RFC 3339 dates, seconds since 1970.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Words behind a number, and the seconds that one of them is.
const UNITS: [(&[&str], f64); 7] = [
    (&["ns", "nanosecond", "nanoseconds"], 1e-9),
    (&["us", "µs", "μs", "microsecond", "microseconds"], 1e-6),
    (&["ms", "msec", "millisecond", "milliseconds", "毫秒"], 1e-3),
    (&["s", "sec", "secs", "second", "seconds", "秒", "秒钟"], 1.0),
    (&["m", "min", "mins", "minute", "minutes", "分", "分钟"], 60.0),
    (&["h", "hr", "hrs", "hour", "hours", "小时"], 3600.0),
    (&["d", "day", "days", "天"], 86_400.0),
];

/// Plain numbers above this are seconds since 1970, and above a thousand times this milliseconds since then.
const FIRST_EPOCH_SECOND: f64 = 1e9;

/// Seconds that text begins with: `6m0s`, `88ms`, `1.5`, `1 minute and 30 seconds`. A bare number is seconds.
pub(super) fn leading_seconds(text: &str) -> Option<f64> {
    let mut rest = text.trim_start();
    let mut sum = None;
    loop {
        let digits = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
        // A full stop that ends the sentence is none of the number's.
        let Ok(number) = rest[..digits].trim_end_matches('.').parse::<f64>() else { return sum };
        rest = rest[digits..].trim_start();
        let Some((length, seconds)) = leading_unit(rest) else {
            // `20` and `20 please` are seconds, the `30` of `1m 30 requests` is not.
            return sum.or(Some(number));
        };
        sum = Some(sum.unwrap_or(0.0) + number * seconds);
        rest = rest[length..].trim_start_matches([' ', ',']);
        rest = rest.strip_prefix("and ").unwrap_or(rest);
    }
}

/// Bytes and seconds of the unit that text begins with. A Latin word counts as a whole, Chinese has no spaces between words.
fn leading_unit(text: &str) -> Option<(usize, f64)> {
    let is_latin = |c: char| c.is_ascii_alphabetic() || matches!(c, 'µ' | 'μ');
    let length = text.find(|c: char| !is_latin(c)).unwrap_or(text.len());
    let word = text[..length].to_lowercase();
    let all = UNITS.iter().flat_map(|(words, seconds)| words.iter().map(move |known| (*known, *seconds)));
    if word.is_empty() {
        let fitting = all.filter(|(known, _)| text.starts_with(known));
        return fitting.map(|(known, seconds)| (known.len(), seconds)).max_by_key(|unit| unit.0);
    }
    all.into_iter().find(|(known, _)| *known == word).map(|(_, seconds)| (length, seconds))
}

/// Seconds from `now` until what the text says: a duration, a date, or seconds or milliseconds since 1970. What is over is 0.
pub(super) fn seconds_until(text: &str, now: SystemTime) -> Option<f64> {
    let text = text.trim();
    let since_1970 = now.duration_since(UNIX_EPOCH).ok()?.as_secs_f64();
    let seconds = match text.parse::<f64>() {
        Ok(number) if !number.is_finite() || number < 0.0 => return None,
        Ok(number) if number >= FIRST_EPOCH_SECOND * 1e3 => number / 1e3 - since_1970,
        Ok(number) if number >= FIRST_EPOCH_SECOND => number - since_1970,
        Ok(number) => number,
        Err(_) => match date(text) {
            Some(date) => date.duration_since(UNIX_EPOCH).ok()?.as_secs_f64() - since_1970,
            None => leading_seconds(text)?,
        },
    };
    Some(seconds.max(0.0))
}

/// A date of HTTP (`Sun, 06 Nov 1994 08:49:37 GMT`) or of RFC 3339 (`1994-11-06T08:49:37Z`).
pub(super) fn date(text: &str) -> Option<SystemTime> {
    http_date(text).or_else(|| rfc3339(text))
}

fn http_date(text: &str) -> Option<SystemTime> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let [_, day, month, year, time, "GMT"] = words[..] else { return None };
    let month = 1 + MONTHS.iter().position(|m| *m == month)? as u64;
    moment([year.parse().ok()?, month, day.parse().ok()?], time)
}

fn rfc3339(text: &str) -> Option<SystemTime> {
    let (day, time) = text.split_once(['T', 't', ' '])?;
    let day: Vec<u64> = day.split('-').map(str::parse).collect::<Result<_, _>>().ok()?;
    let day: [u64; 3] = day.try_into().ok()?;
    if let Some(time) = time.strip_suffix(['Z', 'z']) {
        return moment(day, time);
    }
    let (time, offset) = time.split_at_checked(time.rfind(['+', '-'])?)?;
    let (hours, minutes) = offset.get(1..)?.split_once(':')?;
    let offset_seconds = Duration::from_secs((hours.parse::<u64>().ok()? * 60 + minutes.parse::<u64>().ok()?) * 60);
    let there = moment(day, time)?;
    // What is ahead of Greenwich has its noon before it.
    if offset.starts_with('+') { there.checked_sub(offset_seconds) } else { there.checked_add(offset_seconds) }
}

/// A moment of year, month, day and `hours:minutes:seconds`, the seconds with a fraction or without.
fn moment([year, month, day]: [u64; 3], time: &str) -> Option<SystemTime> {
    let parts: Vec<&str> = time.split(':').collect();
    let [hour, minute, second] = parts[..] else { return None };
    let (hour, minute): (u64, u64) = (hour.parse().ok()?, minute.parse().ok()?);
    let second = Duration::try_from_secs_f64(second.parse().ok()?).ok()?;
    if !(1970..10_000).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    if hour > 23 || minute > 59 || second.as_secs() > 60 {
        return None;
    }
    // Days since 1970-01-01: years start in March, so that the leap day comes last.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468;
    UNIX_EPOCH.checked_add(Duration::from_secs(((days * 24 + hour) * 60 + minute) * 60))?.checked_add(second)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn durations_are_read_as_go_and_people_write_them() {
        for (text, expected) in [
            ("1s", Some(1.0)),
            ("6m0s", Some(360.0)),
            ("88ms", Some(0.088)),
            ("1h2m3.5s", Some(3723.5)),
            ("2m59.56s", Some(179.56)),
            ("120µs", Some(0.00012)),
            ("1.5", Some(1.5)),
            ("20", Some(20.0)),
            ("20s. Visit https://example.com", Some(20.0)),
            ("6 seconds. Contact us", Some(6.0)),
            ("7. Bye", Some(7.0)),
            ("1 minute and 30 seconds", Some(90.0)),
            ("1m 30s", Some(90.0)),
            ("2 Minutes, 1 second", Some(121.0)),
            ("30秒后重试", Some(30.0)),
            ("2分钟后重试", Some(120.0)),
            ("1m 30 requests", Some(60.0)),
            ("a moment", None),
            ("", None),
            ("..", None),
            ("1.2.3s", None),
        ] {
            let read = leading_seconds(text);
            let near = match (read, expected) {
                (Some(read), Some(expected)) => (read - expected).abs() < 1e-9,
                (read, expected) => read == expected,
            };
            assert!(near, "{text}: {read:?}, not {expected:?}");
        }
    }

    #[test]
    fn dates_match_the_calendar() {
        for (text, expected) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Tue, 29 Feb 2000 12:00:00 GMT", Some(951_825_600)),
            ("Mon, 01 Mar 2100 00:00:00 GMT", Some(4_107_542_400)),
            ("Fri, 31 Dec 2027 23:59:59 GMT", Some(1_830_297_599)),
            ("2027-12-31T23:59:59Z", Some(1_830_297_599)),
            ("2028-01-01T07:59:59+08:00", Some(1_830_297_599)),
            ("2027-12-31 18:29:59-05:30", Some(1_830_297_599)),
            ("Fri, 31 Dec 2027 24:00:00 GMT", None),
            ("Fri, 31 Dec 0000 00:00:00 GMT", None),
            ("Friday, 31-Dec-27 23:59:59 GMT", None),
            ("2027-13-31T23:59:59Z", None),
            ("2027-12-31T23:59:NaNZ", None),
            ("2027-12-31T23:59:59", None),
            ("99999999999999999999-01-01T00:00:00Z", None),
            ("", None),
        ] {
            assert_eq!(date(text), expected.map(at), "{text}");
        }
        assert_eq!(date("1970-01-01T00:00:01.25Z"), Some(UNIX_EPOCH + Duration::from_millis(1250)));
    }

    #[test]
    fn a_reset_is_read_in_every_form() {
        let now = at(1_830_297_500);
        for (text, expected) in [
            ("1s", Some(1.0)),
            ("30", Some(30.0)),
            ("0", Some(0.0)),
            ("1830297512", Some(12.0)),
            ("1830297512500", Some(12.5)),
            ("1830297000", Some(0.0)),
            ("2027-12-31T23:59:59Z", Some(99.0)),
            ("Fri, 31 Dec 2027 23:59:59 GMT", Some(99.0)),
            ("-4", None),
            ("NaN", None),
            ("inf", None),
            ("tomorrow", None),
        ] {
            assert_eq!(seconds_until(text, now), expected, "{text}");
        }
    }
}
