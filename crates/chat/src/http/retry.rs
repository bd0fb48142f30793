//! What to do after an error response: the official OpenAI client's rules, except that a spent quota stops the run.

use std::time::{Duration, SystemTime};

use reqwest::header::HeaderMap;

use crate::reply::ErrorBody;

/// The longest wait that a server may ask for; with a longer one the request fails at once.
const MAX_WAIT: Duration = Duration::from_secs(120);

/// Codes of a 429 that waiting does not cure: the account has nothing left.
const QUOTA_CODES: [&str; 5] = [
    "insufficient_quota",
    "credit_balance_exhausted",
    "organization_spend_limit_exceeded",
    "project_spend_limit_exceeded",
    "organization_usage_limit_exceeded",
];

/// Statuses that every further request would meet too: a redirect, a wrong key, an empty account, a wrong address
/// or model.
const STOP_STATUSES: [u16; 9] = [301, 302, 303, 307, 308, 401, 402, 404, 405];

/// What becomes of a request after an error response.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum RetryDecision {
    /// `after` is the server's wish; without one, [`backoff`].
    Retry {
        after: Option<Duration>,
    },
    Fail,
    TooLong {
        wait: Duration,
    },
    Stop,
}

pub(super) fn decide(status: u16, headers: &HeaderMap, error: &ErrorBody, now: SystemTime) -> RetryDecision {
    if STOP_STATUSES.contains(&status) || QUOTA_CODES.iter().any(|code| error.is(code)) {
        return RetryDecision::Stop;
    }
    let again = match header(headers, "x-should-retry") {
        Some("true") => true,
        Some("false") => false,
        _ => matches!(status, 408 | 409 | 429 | 500..),
    };
    if !again {
        return RetryDecision::Fail;
    }
    match wish(headers, now) {
        Some(wait) if wait > MAX_WAIT => RetryDecision::TooLong { wait },
        after => RetryDecision::Retry { after },
    }
}

/// Seconds before attempt `attempt + 1`: 0.5, 1, 2, 4, 8, 8, …, less up to a quarter; `jitter` in 0..1.
pub(super) fn backoff(attempt: u32, jitter: f64) -> Duration {
    let seconds = (0.5 * f64::from(1 << attempt.min(4))).min(8.0);
    Duration::from_secs_f64(seconds * (1.0 - 0.25 * jitter))
}

/// The wait that the headers ask for; none when they ask for nothing, or for nothing sensible.
fn wish(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let number = |name| header(headers, name).and_then(|v| v.trim().parse::<f64>().ok());
    let seconds = match (number("retry-after-ms"), number("retry-after")) {
        (Some(ms), _) => ms / 1000.0,
        (None, Some(seconds)) => seconds,
        (None, None) => {
            let date = http_date(header(headers, "retry-after")?)?;
            date.duration_since(now).ok()?.as_secs_f64()
        }
    };
    // `try_from` refuses what is negative, infinite or not a number.
    Duration::try_from_secs_f64(seconds).ok().filter(|d| !d.is_zero())
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// RFC 9110's preferred date form: `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date(text: &str) -> Option<SystemTime> {
    const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let [_, day, month, year, time, "GMT"] = words[..] else { return None };
    let month = 1 + MONTHS.iter().position(|m| *m == month)? as u64;
    let (day, year): (u64, u64) = (day.parse().ok()?, year.parse().ok()?);
    let clock: Vec<u64> = time.split(':').map(str::parse).collect::<Result<_, _>>().ok()?;
    let [hour, minute, second] = clock[..] else { return None };
    if !(1970..10_000).contains(&year) || !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    // Days since 1970-01-01: years start in March, so that the leap day comes last.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day - 1 - 719_468;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(((days * 24 + hour) * 60 + minute) * 60 + second))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Pairs = &'static [(&'static str, &'static str)];

    fn headers(pairs: Pairs) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn decision_follows_status_headers_and_code() {
        let again = |ms: u64| RetryDecision::Retry { after: Some(Duration::from_millis(ms)) };
        let soon = || RetryDecision::Retry { after: None };
        let too_long = |s| RetryDecision::TooLong { wait: Duration::from_secs(s) };
        let rate = r#"{"error":{"message":"slow","code":"rate_limit_exceeded"}}"#;
        let quota = r#"{"error":{"message":"none left","type":"insufficient_quota","code":null}}"#;
        let spend = r#"{"error":{"message":"none left","code":"project_spend_limit_exceeded"}}"#;
        // 784111777 is the date below; `now` is 7 seconds before.
        const DATE: Pairs = &[("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")];
        let cases: Vec<(u16, Pairs, &str, RetryDecision)> = vec![
            (408, &[], "", soon()),
            (409, &[], "", soon()),
            (429, &[], rate, soon()),
            (500, &[], "", soon()),
            (503, &[], "<html>", soon()),
            (400, &[], "", RetryDecision::Fail),
            (403, &[], "", RetryDecision::Fail),
            (422, &[], "", RetryDecision::Fail),
            (401, &[], "", RetryDecision::Stop),
            (404, &[], "", RetryDecision::Stop),
            (307, &[], "", RetryDecision::Stop),
            (429, &[], quota, RetryDecision::Stop),
            (429, &[("x-should-retry", "true")], spend, RetryDecision::Stop),
            (400, &[("x-should-retry", "true")], "", soon()),
            (500, &[("x-should-retry", "false")], "", RetryDecision::Fail),
            (429, &[("retry-after-ms", "250"), ("retry-after", "9")], rate, again(250)),
            (429, &[("retry-after", "1.5")], rate, again(1500)),
            (503, DATE, "", again(7000)),
            (503, &[("retry-after", "120")], "", again(120_000)),
            (503, &[("retry-after", "121")], "", too_long(121)),
            (503, &[("retry-after", "0")], "", soon()),
            (503, &[("retry-after", "-4")], "", soon()),
            (503, &[("retry-after", "NaN")], "", soon()),
            (503, &[("retry-after", "tomorrow")], "", soon()),
            (503, &[("retry-after", "Sun, 06 Nov 1994 08:49:00 GMT")], "", soon()),
        ];
        for (status, pairs, body, expected) in cases {
            let decision = decide(status, &headers(pairs), &ErrorBody::read(body), at(784_111_770));
            assert_eq!(decision, expected, "{status} {pairs:?} {body}");
        }
    }

    #[test]
    fn dates_match_the_calendar() {
        for (text, expected) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Tue, 29 Feb 2000 12:00:00 GMT", Some(951_825_600)),
            ("Mon, 01 Mar 2100 00:00:00 GMT", Some(4_107_542_400)),
            ("Fri, 31 Dec 2027 23:59:59 GMT", Some(1_830_297_599)),
            ("Fri, 31 Dec 2027 24:00:00 GMT", None),
            ("Fri, 31 Dec 0000 00:00:00 GMT", None),
            ("Friday, 31-Dec-27 23:59:59 GMT", None),
            ("", None),
        ] {
            assert_eq!(http_date(text), expected.map(at), "{text}");
        }
    }

    #[test]
    fn backoff_doubles_to_eight_seconds() {
        let seconds: Vec<f64> = (0..7).map(|n| backoff(n, 0.0).as_secs_f64()).collect();
        assert_eq!(seconds, [0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]);
        assert_eq!(backoff(u32::MAX, 1.0).as_secs_f64(), 6.0);
    }
}
