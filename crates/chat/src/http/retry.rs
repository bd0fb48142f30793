//! What to do after an error response: the official OpenAI client's rules, except that a spent quota stops the run.

use std::time::{Duration, SystemTime};

use super::headers::Headers;
use super::time_text::{leading_seconds, seconds_until};
use crate::reply::ErrorBody;

/// The longest wait that a server may ask for; with a longer one the run stops.
const MAX_WAIT_SECONDS: f64 = 120.0;

/// Codes of a refusal that waiting does not cure: the account has nothing left.
const QUOTA_CODES: [&str; 9] = [
    "insufficient_quota",
    "credit_balance_exhausted",
    "organization_spend_limit_exceeded",
    "project_spend_limit_exceeded",
    "organization_usage_limit_exceeded",
    "billing_hard_limit_reached",
    "billing_not_active",
    "billing_error",
    "insufficient_balance",
];

/// The same in words, of servers without such codes; in lower case.
const QUOTA_WORDS: [&str; 8] = [
    "credit balance",
    "insufficient balance",
    "insufficient credit",
    "insufficient funds",
    "out of credits",
    "exceeded your current quota",
    "spending limit",
    "余额不足",
];

/// Statuses of a refusal that may be about money.
const QUOTA_STATUSES: [u16; 4] = [400, 402, 403, 429];

/// Statuses that every further request would meet too: a redirect, a wrong key, an empty account, a wrong address
/// or model.
const STOP_STATUSES: [u16; 9] = [301, 302, 303, 307, 308, 401, 402, 404, 405];

/// Statuses of a server that has too much to do: 529 is Anthropic's.
const OVERLOADED_STATUSES: [u16; 3] = [429, 503, 529];

/// What stands before a wait in the words or the JSON of an error, in lower case.
const WAIT_WORDS: [&str; 12] = [
    "try again in",
    "try again after",
    "retry in",
    "retry after",
    "please wait",
    "wait for",
    "available in",
    "retrydelay\"",
    "retry_after\"",
    "retry-after\"",
    "retry_after_seconds\"",
    "请在",
];

/// What becomes of a request after an error response.
#[derive(Debug, PartialEq)]
pub(super) enum RetryDecision {
    /// `after` is the server's wish; without one, [`backoff`].
    Retry {
        after: Option<Duration>,
    },
    Fail,
    /// Waiting would take longer than a run may be held up.
    TooLong {
        wait: Duration,
    },
    Stop,
}

/// `text` is the body as it came, `now` the server's time.
pub(super) fn decide(status: u16, headers: &Headers, error: &ErrorBody, text: &str, now: SystemTime) -> RetryDecision {
    let wait = wish(headers, text, now);
    if STOP_STATUSES.contains(&status) || is_quota(status, error, wait) {
        return RetryDecision::Stop;
    }
    // OpenAI answers 429 to a request that no minute has enough tokens for.
    if status == 429 && text.to_lowercase().contains("request too large") {
        return RetryDecision::Fail;
    }
    let again = match headers.get("x-should-retry") {
        Some("true") => true,
        Some("false") => false,
        _ => matches!(status, 408 | 409 | 425 | 429 | 500..),
    };
    if !again {
        return RetryDecision::Fail;
    }
    match wait {
        Some(seconds) if seconds > MAX_WAIT_SECONDS => {
            RetryDecision::TooLong { wait: Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX) }
        }
        wait => RetryDecision::Retry { after: wait.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()) },
    }
}

/// Whether the server has too much to do, and not this request a fault.
pub(super) fn is_overloaded(status: u16) -> bool {
    OVERLOADED_STATUSES.contains(&status)
}

/// Whether every further request would fail for the same reason: the money is gone. A server that says when to come back
/// means a pause, whatever it calls it: Google's "exceeded your current quota" is a limit per minute.
///
/// Only the message counts: what a filter refused may stand in the body, and an answer may speak of money.
fn is_quota(status: u16, error: &ErrorBody, wait: Option<f64>) -> bool {
    if QUOTA_CODES.iter().any(|code| error.is(code)) {
        return true;
    }
    let message = error.message.to_lowercase();
    wait.is_none() && QUOTA_STATUSES.contains(&status) && QUOTA_WORDS.iter().any(|words| message.contains(words))
}

/// Before attempt `attempt + 1`: 0.5, 1, 2, 4, 8, 8, … seconds, less up to a quarter; `jitter` in 0..1.
pub(super) fn backoff(attempt: u32, jitter: f64) -> Duration {
    let seconds = (0.5 * f64::from(1 << attempt.min(4))).min(8.0);
    Duration::from_secs_f64(seconds * (1.0 - 0.25 * jitter))
}

/// Seconds that the server asks to wait, by its headers or else its words; none when it asks for nothing, or for nothing sensible.
fn wish(headers: &Headers, text: &str, now: SystemTime) -> Option<f64> {
    let ms = headers.get("retry-after-ms").and_then(|ms| ms.parse::<f64>().ok()).map(|ms| ms / 1000.0);
    let sensible = |seconds: &f64| seconds.is_finite() && *seconds > 0.0;
    ms.or_else(|| seconds_until(headers.get("retry-after")?, now)).filter(sensible).or_else(|| {
        let text = text.to_lowercase();
        WAIT_WORDS.iter().find_map(|words| wait_behind(&text, words)).filter(sensible)
    })
}

fn wait_behind(text: &str, words: &str) -> Option<f64> {
    text.match_indices(words).find_map(|(at, _)| {
        let rest = text[at + words.len()..].trim_start_matches([' ', ':', '"', '~', '=']);
        leading_seconds(rest.strip_prefix("about ").unwrap_or(rest))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    type Pairs = &'static [(&'static str, &'static str)];

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn decision_follows_status_headers_code_and_words() {
        let again = |ms: u64| RetryDecision::Retry { after: Some(Duration::from_millis(ms)) };
        let soon = || RetryDecision::Retry { after: None };
        let too_long = |s| RetryDecision::TooLong { wait: Duration::from_secs(s) };
        let rate = r#"{"error":{"message":"slow","code":"rate_limit_exceeded"}}"#;
        let quota = r#"{"error":{"message":"none left","type":"insufficient_quota","code":null}}"#;
        let spend = r#"{"error":{"message":"none left","code":"project_spend_limit_exceeded"}}"#;
        let credit =
            r#"{"type":"error","error":{"type":"invalid_request_error","message":"Your credit balance is too low"}}"#;
        let google = r#"{"error":{"code":429,"message":"You exceeded your current quota, please check your plan and billing",
            "details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"12s"}]}}"#;
        let plain_quota = r#"{"error":{"message":"You exceeded your current quota, please check your plan"}}"#;
        let flagged = r#"{"error":{"message":"flagged","metadata":{"flagged_input":"my credit balance is too low"}}}"#;
        // 784111777 is the date below; `now` is 7 seconds before.
        const DATE: Pairs = &[("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT")];
        let cases: Vec<(u16, Pairs, &str, RetryDecision)> = vec![
            (408, &[], "", soon()),
            (409, &[], "", soon()),
            (429, &[], rate, soon()),
            (500, &[], "", soon()),
            (503, &[], "<html>", soon()),
            (529, &[], r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#, soon()),
            (400, &[], "", RetryDecision::Fail),
            (403, &[], "", RetryDecision::Fail),
            (422, &[], "", RetryDecision::Fail),
            (401, &[], "", RetryDecision::Stop),
            (402, &[], "", RetryDecision::Stop),
            (404, &[], "", RetryDecision::Stop),
            (307, &[], "", RetryDecision::Stop),
            (429, &[], quota, RetryDecision::Stop),
            (429, &[("retry-after", "3")], quota, RetryDecision::Stop),
            (429, &[("x-should-retry", "true")], spend, RetryDecision::Stop),
            (400, &[], credit, RetryDecision::Stop),
            (429, &[], plain_quota, RetryDecision::Stop),
            (500, &[], plain_quota, soon()),
            (403, &[], flagged, RetryDecision::Fail),
            (429, &[], google, again(12_000)),
            (400, &[("x-should-retry", "true")], "", soon()),
            (500, &[("x-should-retry", "false")], "", RetryDecision::Fail),
            (429, &[("retry-after-ms", "250"), ("retry-after", "9")], rate, again(250)),
            (429, &[("retry-after", "1.5")], rate, again(1500)),
            (429, &[("retry-after", "1m30s")], rate, again(90_000)),
            (503, DATE, "", again(7000)),
            (503, &[("retry-after", "120")], "", again(120_000)),
            (503, &[("retry-after", "121")], "", too_long(121)),
            (429, &[("retry-after", "86400")], rate, too_long(86_400)),
            (503, &[("retry-after", "0")], "", soon()),
            (503, &[("retry-after", "-4")], "", soon()),
            (503, &[("retry-after", "NaN")], "", soon()),
            (503, &[("retry-after", "tomorrow")], "", soon()),
            (503, &[("retry-after", "Sun, 06 Nov 1994 08:49:00 GMT")], "", soon()),
            (429, &[], "Request too large for gpt-6 on tokens per min: Limit 10, Requested 20.", RetryDecision::Fail),
            (429, &[], "Rate limit reached. Please try again in 20s. Visit us", again(20_000)),
            (429, &[], "Please try again in 1m30s.", again(90_000)),
            (429, &[], "TRY AGAIN IN 250ms", again(250)),
            (429, &[], "Please retry after 6 seconds.", again(6000)),
            (429, &[], "try again in 6m0s", too_long(360)),
            (429, &[], r#"{"message":"slow","retry_after": 2.5}"#, again(2500)),
            (429, &[], "please try again in a moment", soon()),
            (429, &[], "请在30秒后重试", again(30_000)),
        ];
        for (status, pairs, body, expected) in cases {
            let headers: Headers = pairs.iter().map(|(name, value)| (*name, *value)).collect();
            let decision = decide(status, &headers, &ErrorBody::read(body), body, at(784_111_770));
            assert_eq!(decision, expected, "{status} {pairs:?} {body}");
        }
    }

    #[test]
    fn backoff_doubles_to_eight_seconds() {
        let seconds: Vec<f64> = (0..7).map(|n| backoff(n, 0.0).as_secs_f64()).collect();
        assert_eq!(seconds, [0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0]);
        assert_eq!(backoff(u32::MAX, 1.0).as_secs_f64(), 6.0);
    }
}
