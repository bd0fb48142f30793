//! Settings that cannot work are refused before anything is sent, with what to do.

use std::collections::BTreeMap;

use tunebench_chat::{Chat, ChatError};
use tunebench_spec::study::{ChatSettings, Dialect};

const UNSET: &str = "TUNEBENCH_TEST_VARIABLE_NOBODY_SETS";

fn usual() -> ChatSettings {
    ChatSettings {
        base_url: "http://127.0.0.1:9/v1".into(),
        key_variable: Some(UNSET.into()),
        ..ChatSettings::default()
    }
}

fn map(name: &str, value: &str) -> BTreeMap<String, String> {
    BTreeMap::from([(name.to_owned(), value.to_owned())])
}

#[test]
fn each_fault_is_named() {
    let headers = |name, value| ChatSettings { headers: map(name, value), ..usual() };
    let query = |name, value| ChatSettings { query: map(name, value), ..usual() };
    let cases: Vec<(ChatSettings, &str)> = vec![
        (
            ChatSettings { base_url: "https://host/v1/chat/completions".into(), ..usual() },
            "base_url: ends in what is added",
        ),
        (ChatSettings { requests_per_minute: Some(0), ..usual() }, "requests_per_minute: must be at least 1"),
        (ChatSettings { tokens_per_minute: Some(0), ..usual() }, "tokens_per_minute: must be at least 1"),
        (ChatSettings { concurrency: u32::MAX, ..usual() }, "concurrency: must be at most 1024"),
        (ChatSettings { concurrency: 0, ..usual() }, "concurrency: must be at least 1"),
        (ChatSettings { timeout_seconds: 0, ..usual() }, "timeout_seconds: must be at least 1"),
        (ChatSettings { timeout_seconds: u64::MAX, ..usual() }, "timeout_seconds: must be at most 86400"),
        (ChatSettings { budget_usd: Some(f64::NAN), ..usual() }, "budget_usd: must be 0 or more"),
        (ChatSettings { budget_usd: Some(-1.0), ..usual() }, "budget_usd: must be 0 or more"),
        (
            ChatSettings { usd_per_million_prompt_tokens: Some(1.0), ..usual() },
            "usd_per_million_completion_tokens: is missing",
        ),
        (
            ChatSettings { usd_per_million_completion_tokens: Some(1.0), ..usual() },
            "usd_per_million_prompt_tokens: is missing",
        ),
        (
            ChatSettings {
                usd_per_million_prompt_tokens: Some(f64::INFINITY),
                usd_per_million_completion_tokens: Some(1.0),
                ..usual()
            },
            "usd_per_million_prompt_tokens: must be 0 or more",
        ),
        (ChatSettings { max_failed_share: 1.5, ..usual() }, "max_failed_share: must be from 0 to 1"),
        (ChatSettings { max_failed_share: f64::NAN, ..usual() }, "max_failed_share: must be from 0 to 1"),
        (
            headers("x-key", &format!("${{{UNSET}}}")),
            "the environment variable TUNEBENCH_TEST_VARIABLE_NOBODY_SETS is not set",
        ),
        (headers("x-site", "${"), "a `${` has no `}`"),
        (headers("x-site", "${}"), "no name of an environment variable"),
        (headers("x-site", "${PATH and more}"), "no name of an environment variable"),
        (headers("a b", "x"), "is no name of a header"),
        (headers("x-site", "a\nb"), "a line break"),
        (headers("Content-Type", "text/plain"), "is set by tunebench"),
        (headers("Authorization", "Bearer secret-1234567"), "looks like a key"),
        (headers("api-key", "secret-1234567"), "looks like a key"),
        (headers("x-anything", "sk-secret-1234567"), "looks like a key"),
        (headers("x-anything", "Bearer secret-1234567"), "looks like a key"),
        (query("key", "secret-1234567"), "query: `key`: looks like a key"),
        (query("x", &format!("${{{UNSET}}}")), "is not set"),
        (ChatSettings { key_variable: Some("sk-secret-1234567".into()), ..usual() }, "never the key itself"),
        (ChatSettings { key_variable: Some(String::new()), ..usual() }, "never the key itself"),
        (ChatSettings { base_url: "https://chat.invalid/v1".into(), ..usual() }, UNSET),
        (
            ChatSettings {
                base_url: "https://chat.invalid/v1".into(),
                dialect: Some(Dialect::Anthropic),
                key_variable: Some(UNSET.into()),
                ..usual()
            },
            UNSET,
        ),
    ];
    for (settings, part) in cases {
        let error = Chat::new(&settings).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(part) && !error.contains("secret-1"), "{part}: {error}");
    }
}

#[test]
fn what_can_work_is_taken() {
    for settings in [
        usual(),
        ChatSettings { headers: map("HTTP-Referer", "https://example.com"), ..usual() },
        ChatSettings { headers: map("x-max-tokens", "5"), query: map("api-version", "2024-10-21"), ..usual() },
        ChatSettings { headers: map("authorization", "Bearer ${CARGO_PKG_NAME}"), ..usual() },
        ChatSettings {
            base_url: "https://chat.invalid/v1".into(),
            key_variable: Some("CARGO_PKG_NAME".into()),
            ..usual()
        },
        // A header that carries a secret of the environment is key enough.
        ChatSettings {
            base_url: "https://chat.invalid/v1".into(),
            headers: map("api-key", "${CARGO_PKG_NAME}"),
            key_variable: None,
            ..usual()
        },
        ChatSettings { max_failed_share: 0.0, budget_usd: Some(0.0), ..usual() },
    ] {
        assert!(Chat::new(&settings).is_ok(), "{settings:?}");
    }
}

#[test]
fn a_missing_key_is_named_with_its_variable() {
    let settings = ChatSettings { base_url: "https://chat.invalid/v1".into(), ..usual() };
    let error = Chat::new(&settings).map(|_| ()).unwrap_err();
    let expected = ChatError::MissingKey { url: "https://chat.invalid/v1".into(), variable: UNSET.into() };
    assert_eq!(error, expected);
}
