//! The table of models: whose it is, what it costs, and when it goes.
#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use tunebench_chat::models::{self, DEFAULT_MODEL, Date, Model};

const OPENAI: &str = "https://api.openai.com/v1";
const ANTHROPIC: &str = "https://api.anthropic.com/v1";
const OPENROUTER: &str = "https://openrouter.ai/api/v1";

fn date(text: &str) -> Date {
    text.to_owned().try_into().unwrap()
}

fn find(name: &str, base_url: &str) -> Option<&'static str> {
    models::find(name, base_url).map(|model| model.id.as_str())
}

#[test]
fn models_are_known_where_their_provider_answers() {
    for (name, base_url, expected) in [
        ("gpt-4o", OPENAI, Some("gpt-4o")),
        ("gpt-4o", "HTTPS://API.OPENAI.COM:443/v1/", Some("gpt-4o")),
        ("gpt-4o-2024-08-06", OPENAI, Some("gpt-4o")),
        ("gpt-4o-2024-05-13", OPENAI, Some("gpt-4o-2024-05-13")),
        ("gpt-4o-mini-2024-07-18", OPENAI, Some("gpt-4o-mini")),
        ("gpt-4o-2024-08", OPENAI, None),
        ("gpt-4o-audio", OPENAI, None),
        ("gpt-3.5-turbo-0125", OPENAI, Some("gpt-3.5-turbo")),
        ("gpt-6.1-sol-2026-09-29", OPENAI, Some("gpt-6.1-sol")),
        ("ft:gpt-4o-2024-08-06:me::1", OPENAI, None),
        ("claude-sonnet-4-5-20250929", ANTHROPIC, Some("claude-sonnet-4-5")),
        ("claude-sonnet-4-20250514", ANTHROPIC, Some("claude-sonnet-4-0")),
        (
            "models/gemini-3.8-flash",
            "https://generativelanguage.googleapis.com/v1beta/openai",
            Some("gemini-3.8-flash"),
        ),
        ("deepseek-flash", "https://api.deepseek.com", Some("deepseek-flash")),
        // Handed on.
        ("openai/gpt-4o", OPENROUTER, Some("gpt-4o")),
        ("openai/gpt-4o-2024-11-20", OPENROUTER, Some("gpt-4o")),
        ("anthropic/claude-haiku-5.5", OPENROUTER, Some("claude-haiku-5-5")),
        ("google/gpt-4o", OPENROUTER, None),
        ("gpt-4o", OPENROUTER, None),
        ("openai/gpt-4o:free", OPENROUTER, None),
        ("qwen/qwen3.8-flash", OPENROUTER, None), // at prices of its own
        // Others' servers may call their models what they like.
        ("gpt-3.5-turbo", "http://127.0.0.1:8000/v1", None),
        ("gpt-3.5-turbo", "http://localhost/v1", None),
        ("gpt-4o", "https://api.openai.com.example.org/v1", None),
        ("gpt-4o", "https://example.org/api.openai.com", None),
        ("gpt-4o", "https://api.openai.com@example.org/v1", None),
        ("gpt-4o", "https://me.openai.azure.com/openai/v1", None),
        ("gpt-4o", "local:gpt-4o", None),
        ("gpt-4o", "", None),
        ("", OPENAI, None),
        ("😀-2024-08-06", OPENAI, None),
    ] {
        assert_eq!(find(name, base_url), expected, "{name} at {base_url}");
    }
}

#[test]
fn the_default_is_cheap_and_stays() {
    let model = models::find(DEFAULT_MODEL, OPENAI).unwrap();
    let as_of = models::as_of().unwrap();
    assert!(model.retires.is_none_or(|retires| retires.days_after(as_of) > 365));
    assert_eq!(model.remark(as_of), None);
    let cost = |model: &Model| model.cost_usd(1000, 500, false);
    let now = models::all().iter().filter(|other| other.provider == "OpenAI" && other.retires.is_none());
    let cheapest = now.filter_map(cost).fold(f64::INFINITY, f64::min);
    assert_eq!(cost(model), Some(cheapest));
    assert!(model.structured_output == Some(true) && model.batch_discount.is_some());
}

#[test]
fn prices_are_of_the_whole_request() {
    let model = models::find("gpt-6-luna", OPENAI).unwrap();
    let close = |cost: Option<f64>, expected: f64| assert!((cost.unwrap() - expected).abs() < 1e-12, "{cost:?}");
    close(model.cost_usd(1_000, 100, false), 0.000_1 + 0.000_05);
    close(model.cost_usd(1_000, 100, true), 0.000_075);
    close(model.cost_usd(272_000, 0, false), 0.0272);
    close(model.cost_usd(300_000, 1_000, false), 0.06 + 0.000_75); // long prompts are dearer
    close(model.cost_usd(0, 0, true), 0.0);
    let deepseek = models::find("deepseek-flash", "https://api.deepseek.com").unwrap();
    assert_eq!(deepseek.cost_usd(1, 1, true), None, "it has no batches");
    let unpriced = models::all().iter().find(|model| model.usd_per_million_prompt_tokens.is_none()).unwrap();
    assert_eq!(unpriced.cost_usd(1, 1, false), None);
}

#[test]
fn what_goes_is_spoken_of_in_time() {
    for (name, base_url, today, expected) in [
        (
            "gpt-3.5-turbo",
            OPENAI,
            "2026-11-25",
            Some("OpenAI retired gpt-3.5-turbo on 2026-10-23: it answers no more; its replacement is gpt-5.6-terra"),
        ),
        (
            "gpt-4o",
            OPENAI,
            "2026-11-25",
            Some("OpenAI retires gpt-4o on 2027-01-14, in 50 days; its replacement is gpt-6-luna"),
        ),
        (
            "gpt-4o",
            OPENAI,
            "2027-01-13",
            Some("OpenAI retires gpt-4o on 2027-01-14, in 1 day; its replacement is gpt-6-luna"),
        ),
        (
            "gpt-4o",
            OPENAI,
            "2027-01-14",
            Some("OpenAI retired gpt-4o on 2027-01-14: it answers no more; its replacement is gpt-6-luna"),
        ),
        (
            "gpt-4o",
            OPENAI,
            "2026-10-16",
            Some("OpenAI retires gpt-4o on 2027-01-14, in 90 days; its replacement is gpt-6-luna"),
        ),
        ("gpt-4o", OPENAI, "2026-10-15", None),
        ("gpt-5.4-nano", OPENAI, "2027-03-01", Some("OpenAI retires gpt-5.4-nano on 2027-04-01, in 31 days")),
        ("gpt-6-luna", OPENAI, "2099-01-01", None),
        (
            "claude-sonnet-4-5",
            ANTHROPIC,
            "2026-11-25",
            Some("Anthropic retires claude-sonnet-4-5 on 2026-11-30, in 5 days; its replacement is claude-sonnet-5-5"),
        ),
    ] {
        let remark = models::find(name, base_url).unwrap().remark(date(today));
        assert_eq!(remark.as_deref(), expected, "{name} on {today}");
    }
}

#[test]
fn dates_are_days_of_the_calendar() {
    for (text, days) in [("1970-01-01", 0), ("2000-02-29", 11_016), ("2026-11-25", 20_782), ("2100-03-01", 47_541)] {
        assert_eq!(date(text).days_after(date("1970-01-01")), days, "{text}");
        assert_eq!(date(text).to_string(), text);
    }
    for text in [
        "",
        "2026",
        "2026-02-29",
        "2026-04-31",
        "2026-13-01",
        "2026-00-10",
        "2026-1-1",
        "2026-11-25T",
        "-2026-11-25",
        "+2026-11-25",
        "99999-01-01",
        "2026/11/25",
    ] {
        assert!(Date::try_from(text.to_owned()).is_err(), "{text}");
    }
    assert!(Date::today() > date("2026-01-01"));
}

/// Plugins know no crate of ours but their own contract, so the name stands there once more.
#[test]
fn judges_ask_the_default_model_of_the_table() {
    let plugins = include_str!("../../../plugins/marks/src/asking.rs");
    assert!(plugins.contains(&format!("pub const DEFAULT_MODEL: &str = \"{DEFAULT_MODEL}\";")));
}
