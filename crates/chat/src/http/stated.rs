//! What a server states of its limits in the headers of a response, in all forms that are in use.

use std::time::SystemTime;

use super::headers::Headers;
use super::time_text::{leading_seconds, seconds_until};

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Requests,
    /// Of prompt and reply together.
    Tokens,
    InputTokens,
    OutputTokens,
}

/// Every [`Kind`], in the order of its discriminants.
pub(super) const KINDS: [Kind; 4] = [Kind::Requests, Kind::Tokens, Kind::InputTokens, Kind::OutputTokens];

/// What one response says of one limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stated {
    pub kind: Kind,
    /// Tells it from others of its kind: a server may have a limit a minute and another one a day.
    pub source: usize,
    pub limit: Option<f64>,
    pub remaining: Option<f64>,
    /// Seconds until it is whole again, or the next window begins.
    pub reset: Option<f64>,
    /// Seconds that the limit is for; none where the server does not say.
    pub window: Option<f64>,
}

/// Policies of the standard that are read; a server has one or two.
const MOST_POLICIES: usize = 8;

const MINUTE: Option<f64> = Some(60.0);
const DAY: Option<f64> = Some(86_400.0);

/// Kind, window, and the names of limit, remaining and reset. OpenAI's words, then Anthropic's, Mistral's and Cerebras', then
/// those of everybody, which say nothing of the window.
const FAMILIES: [(Kind, Option<f64>, [&str; 3]); 14] = [
    (
        Kind::Requests,
        MINUTE,
        ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"],
    ),
    (Kind::Tokens, MINUTE, ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"]),
    (
        Kind::Requests,
        MINUTE,
        [
            "anthropic-ratelimit-requests-limit",
            "anthropic-ratelimit-requests-remaining",
            "anthropic-ratelimit-requests-reset",
        ],
    ),
    (
        Kind::Tokens,
        MINUTE,
        [
            "anthropic-ratelimit-tokens-limit",
            "anthropic-ratelimit-tokens-remaining",
            "anthropic-ratelimit-tokens-reset",
        ],
    ),
    (
        Kind::InputTokens,
        MINUTE,
        [
            "anthropic-ratelimit-input-tokens-limit",
            "anthropic-ratelimit-input-tokens-remaining",
            "anthropic-ratelimit-input-tokens-reset",
        ],
    ),
    (
        Kind::OutputTokens,
        MINUTE,
        [
            "anthropic-ratelimit-output-tokens-limit",
            "anthropic-ratelimit-output-tokens-remaining",
            "anthropic-ratelimit-output-tokens-reset",
        ],
    ),
    (
        Kind::Requests,
        MINUTE,
        ["x-ratelimit-limit-req-minute", "x-ratelimit-remaining-req-minute", "x-ratelimit-reset-req-minute"],
    ),
    (
        Kind::Requests,
        MINUTE,
        [
            "x-ratelimit-limit-requests-minute",
            "x-ratelimit-remaining-requests-minute",
            "x-ratelimit-reset-requests-minute",
        ],
    ),
    (
        Kind::Tokens,
        MINUTE,
        ["x-ratelimit-limit-tokens-minute", "x-ratelimit-remaining-tokens-minute", "x-ratelimit-reset-tokens-minute"],
    ),
    (
        Kind::Requests,
        DAY,
        ["x-ratelimit-limit-requests-day", "x-ratelimit-remaining-requests-day", "x-ratelimit-reset-requests-day"],
    ),
    (Kind::Requests, None, ["x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"]),
    (Kind::Requests, None, ["x-rate-limit-limit", "x-rate-limit-remaining", "x-rate-limit-reset"]),
    (Kind::Requests, None, ["ratelimit-limit", "ratelimit-remaining", "ratelimit-reset"]),
    (Kind::Requests, None, ["rate-limit-limit", "rate-limit-remaining", "rate-limit-reset"]),
];

/// All that the headers state. `now` is the server's time: dates are its own.
pub(super) fn read(headers: &Headers, now: SystemTime) -> Vec<Stated> {
    let families = FAMILIES.iter().enumerate();
    let mut found: Vec<Stated> = families.filter_map(|(i, family)| read_family(headers, i, family, now)).collect();
    found.extend(read_structured(headers, now));
    found
}

fn read_family(
    headers: &Headers,
    source: usize,
    (kind, window, [limit, remaining, reset]): &(Kind, Option<f64>, [&str; 3]),
    now: SystemTime,
) -> Option<Stated> {
    let limit_text = headers.get(limit);
    let stated = Stated {
        kind: *kind,
        source,
        limit: limit_text.and_then(amount).filter(|limit| *limit >= 1.0),
        remaining: headers.get(remaining).and_then(amount),
        reset: headers.get(reset).and_then(|text| seconds_until(text, now)),
        // A draft of the standard: `100, 100;w=60`.
        window: window.or_else(|| parameter(limit_text?, "w")),
    };
    (stated.limit.is_some() || stated.remaining.is_some()).then_some(stated)
}

/// The standard's own fields, `RateLimit: "default";r=50;t=30` with `RateLimit-Policy: "default";q=100;w=60`, and the
/// `RateLimit: limit=100, remaining=50, reset=5` of a draft.
fn read_structured(headers: &Headers, now: SystemTime) -> Vec<Stated> {
    let (fields, policies) = (headers.list("ratelimit"), headers.list("ratelimit-policy"));
    if fields.contains("remaining=") {
        let flat = fields.replace(',', ";");
        let named = |name: &str| parameter(&flat, name);
        let (limit, window) = (named("limit").filter(|l| *l >= 1.0), parameter(&policies, "w"));
        return vec![Stated {
            kind: Kind::Requests,
            source: FAMILIES.len(),
            limit,
            remaining: named("remaining"),
            reset: named("reset").and_then(|reset| seconds_until(&reset.to_string(), now)),
            window,
        }];
    }
    let items = |list: &'_ str| -> Vec<String> { list.split(',').map(|item| item.trim().to_owned()).collect() };
    let policies = items(&policies);
    let policy_of = |name: &str| policies.iter().find(|policy| item_name(policy) == name);
    let of_requests = |policy: &Option<&String>| policy.is_none_or(|p| !p.contains("qu=") || p.contains("\"request"));
    items(&fields)
        .iter()
        .take(MOST_POLICIES)
        .enumerate()
        .filter_map(|(i, field)| {
            let policy = Some(policy_of(item_name(field))).filter(of_requests)?;
            Some(Stated {
                kind: Kind::Requests,
                source: FAMILIES.len() + i,
                limit: policy.and_then(|p| parameter(p, "q")).filter(|limit| *limit >= 1.0),
                remaining: Some(parameter(field, "r")?),
                reset: parameter(field, "t"),
                window: policy.and_then(|p| parameter(p, "w")),
            })
        })
        .collect()
}

fn item_name(item: &str) -> &str {
    item.split(';').next().unwrap_or_default().trim().trim_matches('"')
}

/// The number of `;name=number`.
fn parameter(item: &str, name: &str) -> Option<f64> {
    item.split(';').find_map(|part| amount(part.trim().strip_prefix(name)?.trim_start().strip_prefix('=')?))
}

/// A count that text begins with; none for what is negative, as the -1 of those who mean no limit.
fn amount(text: &str) -> Option<f64> {
    let first = text.trim().split([',', ';', ' ']).next()?;
    let number = first.replace('_', "").parse::<f64>().ok().or_else(|| leading_seconds(first))?;
    (number.is_finite() && number >= 0.0).then_some(number)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::*;

    type Pairs = &'static [(&'static str, &'static str)];
    type Row = (Kind, Option<f64>, Option<f64>, Option<f64>, Option<f64>);

    #[test]
    fn limits_are_read_in_every_spelling() {
        let cases: Vec<(Pairs, Vec<Row>)> = vec![
            (
                &[
                    ("x-ratelimit-limit-requests", "500"),
                    ("x-ratelimit-remaining-requests", "499"),
                    ("x-ratelimit-reset-requests", "120ms"),
                    ("x-ratelimit-limit-tokens", "30000"),
                    ("x-ratelimit-remaining-tokens", "29000"),
                    ("x-ratelimit-reset-tokens", "6m0s"),
                ],
                vec![
                    (Kind::Requests, Some(500.0), Some(499.0), Some(0.12), Some(60.0)),
                    (Kind::Tokens, Some(30_000.0), Some(29_000.0), Some(360.0), Some(60.0)),
                ],
            ),
            (
                &[
                    ("anthropic-ratelimit-requests-limit", "50"),
                    ("anthropic-ratelimit-requests-remaining", "49"),
                    ("anthropic-ratelimit-requests-reset", "2027-12-31T23:59:59Z"),
                    ("anthropic-ratelimit-input-tokens-limit", "40000"),
                    ("anthropic-ratelimit-output-tokens-remaining", "8000"),
                ],
                vec![
                    (Kind::Requests, Some(50.0), Some(49.0), Some(9.0), Some(60.0)),
                    (Kind::InputTokens, Some(40_000.0), None, None, Some(60.0)),
                    (Kind::OutputTokens, None, Some(8000.0), None, Some(60.0)),
                ],
            ),
            (
                &[("X-RateLimit-Limit", "20"), ("X-RateLimit-Remaining", "19"), ("X-RateLimit-Reset", "1830297612000")],
                vec![(Kind::Requests, Some(20.0), Some(19.0), Some(22.0), None)],
            ),
            (
                &[("ratelimit-limit", "100, 100;w=60"), ("ratelimit-remaining", "7"), ("ratelimit-reset", "30")],
                vec![(Kind::Requests, Some(100.0), Some(7.0), Some(30.0), Some(60.0))],
            ),
            (
                &[("RateLimit", r#""default";r=50;t=30"#), ("RateLimit-Policy", r#""default";q=100;w=10"#)],
                vec![(Kind::Requests, Some(100.0), Some(50.0), Some(30.0), Some(10.0))],
            ),
            (
                &[
                    ("RateLimit", r#""a";r=5;t=3, "b";r=9;t=1"#),
                    ("RateLimit-Policy", r#""b";q=10;w=1;qu="content-bytes""#),
                ],
                vec![(Kind::Requests, None, Some(5.0), Some(3.0), None)],
            ),
            (
                &[("RateLimit", "limit=100, remaining=50, reset=5"), ("RateLimit-Policy", "100;w=60")],
                vec![(Kind::Requests, Some(100.0), Some(50.0), Some(5.0), Some(60.0))],
            ),
            (&[("x-ratelimit-limit-requests", "-1"), ("x-ratelimit-remaining-requests", "lots")], vec![]),
            (&[("x-ratelimit-limit-requests", "0")], vec![]),
            (&[("ratelimit", ";;==,,")], vec![]),
            (&[], vec![]),
        ];
        for (pairs, expected) in cases {
            let headers: Headers = pairs.iter().map(|(name, value)| (*name, *value)).collect();
            let found = read(&headers, UNIX_EPOCH + Duration::from_secs(1_830_297_590));
            let found: Vec<Row> = found.iter().map(|s| (s.kind, s.limit, s.remaining, s.reset, s.window)).collect();
            assert_eq!(found, expected, "{pairs:?}");
        }
    }
}
