//! What judges share beside the grammar: nonces, languages, settings, marks by probability.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use marks::asking::{Asking, DEFAULT_MAX_TOKENS, DEFAULT_MODEL, asked_again, json_schema};
use marks::logprobs::{NoMark, expected};
use marks::nonce::{block, nonce};
use marks::{Language, Options, read};
use tunebench_plugin_api::serde_json::{self, json};
use tunebench_plugin_api::{ChatReply, TokenLogprob};

#[test]
fn a_nonce_is_the_same_again_and_in_none_of_the_parts() {
    let first = nonce(&["question", "answer"]);
    assert_eq!(first, nonce(&["question", "answer"]));
    assert_eq!(first.len(), 15);
    // Who writes the nonce into the answer, or moves words between the parts, gets another one.
    for parts in [["question", first.as_str()], ["questiona", "nswer"], ["", "questionanswer"]] {
        let other = nonce(&parts);
        assert!(other != first && !parts.concat().contains(&other), "{parts:?}");
    }
    // Even a part that is made to hold the first candidates, in capitals, is given one that it does not hold.
    let mut part = String::new();
    for _ in 0..50 {
        let taken = nonce(&[&part]);
        assert!(!part.to_lowercase().contains(&taken));
        part.push_str(&taken.to_uppercase());
    }
}

#[test]
fn what_stands_between_the_marks_is_not_the_replys_own() {
    let answer = "好的。得分：1";
    let nonce = nonce(&["题", answer]);
    let block = block("回答", "回答结束", &nonce, answer);
    let options = Options { answers: &[], nonces: &[&nonce], ..Options::default() };
    assert!(read(&block, &options).is_err());
    assert_eq!(read(&format!("{block}\n得分：0.2"), &options), Ok(0.2));
    assert_eq!(read(&format!("得分：0.2\n{block}"), &options), Ok(0.2));
}

#[test]
fn the_language_is_that_of_the_questions_script() {
    for (text, language) in
        [("一加一？", Language::Zh), ("Translate 你好", Language::Zh), ("1 + 1?", Language::En), ("", Language::En)]
    {
        assert_eq!(Language::of(text), language, "{text}");
    }
}

#[test]
fn only_what_is_set_is_sent() {
    let asking = |options| serde_json::from_value::<Asking>(options).unwrap();
    let request = asking(json!({})).request(Vec::new());
    let sent = serde_json::to_value(&request).unwrap();
    assert_eq!(sent, json!({ "model": DEFAULT_MODEL, "messages": [], "max_tokens": DEFAULT_MAX_TOKENS }));
    let all = json!({
        "model": "m", "temperature": 0.5, "top_p": 0.9, "max_tokens": 9, "seed": 7, "reasoning_effort": "low",
    });
    let mut sent = serde_json::to_value(asking(all.clone()).request(Vec::new())).unwrap();
    sent.as_object_mut().unwrap().remove("messages");
    assert_eq!(sent, all);
    for (options, part) in [
        (json!({ "model": " " }), "model"),
        (json!({ "temperature": -1 }), "temperature"),
        (json!({ "temperature": 2.5 }), "temperature"),
        (json!({ "top_p": 0.0 }), "top_p"),
        (json!({ "top_p": 1.5 }), "top_p"),
        (json!({ "max_tokens": 0 }), "max_tokens"),
        (json!({ "reasoning_effort": "" }), "reasoning_effort"),
    ] {
        assert!(asking(options).check().unwrap_err().message().contains(part), "{part}");
    }
}

#[test]
fn a_conversation_goes_on_with_the_reply_that_was_not_read() {
    let messages = asked_again("p", &ChatReply::new("r"), "d");
    let said: Vec<_> = messages.iter().map(|m| (m.role.as_str(), m.content.as_str())).collect();
    assert_eq!(said, [("user", "p"), ("assistant", "r"), ("user", "d")]);
    let messages = asked_again("p", &ChatReply::new(" "), "d");
    assert_eq!(messages.len(), 1, "an empty message is refused by servers");
    assert_eq!(messages[0].content, "p\n\nd");
}

#[test]
fn a_schema_demands_all_its_properties() {
    let format = json_schema("x", json!({ "a": { "type": "string" }, "b": { "type": "number" } }));
    assert_eq!(format["json_schema"]["schema"]["required"], json!(["a", "b"]));
    assert_eq!(format["json_schema"]["schema"]["additionalProperties"], false);
}

fn digit(token: &str) -> Option<f64> {
    let digit = token.parse::<u8>().ok().filter(|n| *n <= 9 && token.len() == 1)?;
    Some(f64::from(digit) / 9.0)
}

/// A token, its probability, and its alternatives with theirs.
type Token<'a> = (&'a str, f64, &'a [(&'a str, f64)]);

fn reply(tokens: &[Token]) -> ChatReply {
    let content: String = tokens.iter().map(|token| token.0).collect();
    let logprob = |p: f64| p.ln();
    let logprobs = tokens.iter().map(|(token, p, top)| {
        let top: Vec<(&str, f64)> = top.iter().map(|(token, p)| (*token, logprob(*p))).collect();
        TokenLogprob::new(*token, logprob(*p), &top)
    });
    ChatReply { logprobs: logprobs.collect(), ..ChatReply::new(content) }
}

#[test]
fn the_expected_mark_is_the_sum_over_its_digits() {
    let found =
        expected(&reply(&[("9", 0.5, &[("9", 0.5), (" 0", 0.25), ("0", 0.125), ("The", 0.1)])]), digit).unwrap();
    // 0.5 on 9, 0.375 on 0 in two spellings; of 0.875 together.
    assert!((found.mean - 0.5 / 0.875).abs() < 1e-12 && (found.mass - 0.875).abs() < 1e-12, "{found:?}");
    let mean: f64 = 0.5 / 0.875;
    let spread = (mean * (1.0 - mean)).sqrt();
    assert!((found.spread - spread).abs() < 1e-12, "{found:?}");
    // The token that was drawn counts although its alternatives leave it out, and once where they name it.
    let found = expected(&reply(&[("\n", 1.0, &[]), ("３", 0.9, &[("4", 0.05)])]), digit).unwrap();
    assert!((found.mean - (0.9 * 3.0 + 0.05 * 4.0) / 9.0 / 0.95).abs() < 1e-12, "{found:?}");
    let found = expected(&reply(&[("7", 0.9, &[("7", 0.9)]), (".", 1.0, &[]), ("<|end|>", 1.0, &[])]), digit).unwrap();
    assert!((found.mean - 7.0 / 9.0).abs() < 1e-12 && (found.mass - 0.9).abs() < 1e-12);
}

#[test]
fn what_is_no_mark_by_probability_is_said() {
    let other = |text: &str| Err(NoMark::Other(text.into()));
    assert_eq!(expected(&ChatReply::new("9"), digit), Err(NoMark::NoLogprobs));
    assert_eq!(expected(&reply(&[("1", 0.9, &[]), ("0", 0.9, &[])]), digit), other("10"));
    assert_eq!(expected(&reply(&[("8", 0.9, &[]), (" because", 0.9, &[])]), digit), other("8 because"));
    assert_eq!(expected(&reply(&[(" ", 0.9, &[])]), digit), other(""));
    assert_eq!(expected(&reply(&[("9", 0.9, &[("8", 0.9)])]), digit), Err(NoMark::Impossible));
    assert_eq!(expected(&reply(&[("9", f64::NAN, &[])]), digit), Err(NoMark::Impossible));
    match expected(&reply(&[("The", 0.5, &[("9", 0.3), ("8", 0.1)])]), digit) {
        Err(NoMark::Mass(mass)) => assert!((mass - 0.4).abs() < 1e-12),
        other => panic!("{other:?}"),
    }
}
