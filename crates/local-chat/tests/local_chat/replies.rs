//! Replies: read by the reader of any server's, the same bytes in any company, with exact log-probabilities.

use std::collections::BTreeMap;
use std::path::Path;

use tunebench_chat::{BatchServer, ChatError, ChatServer, Failure, NamedRequest, RawResponse, Reply};
use tunebench_local_chat::{ChatTemplate, LocalChat};
use tunebench_model::Tuning;
use tunebench_model::backend::{Backend, FAST, Parts, REFERENCE};
use tunebench_spec::{ChatRequest, TokenLogprob};
use tunebench_testkit::methods::{ALL, adapted, lora};
use tunebench_testkit::values;

use crate::models::{
    CHATML, SPACE_EIGHT, TEN, ask, babbling, byte, chain, chat, logprobs, messages, named, parts, scorer,
};

fn replies(chat: &LocalChat, requests: &[NamedRequest]) -> BTreeMap<String, Result<RawResponse, Failure>> {
    let mut found = BTreeMap::new();
    let each = &mut |name: &str, response| {
        assert!(found.insert(name.to_owned(), response).is_none(), "told twice");
        true
    };
    chat.answer(requests, Path::new("/nowhere"), each).unwrap();
    assert_eq!(found.len(), requests.len());
    found
}

#[test]
fn a_mark_comes_with_its_log_probabilities() {
    let (chat, (shape, weights)) = (chat(scorer(), CHATML), scorer());
    let request = ChatRequest { top_logprobs: Some(3), max_tokens: Some(5), ..ask("How good is it?") };
    let response = chat.send(&request, "a name by content that is long").unwrap();
    let reply = Reply::read(&response.body).unwrap();
    assert_eq!((reply.chat.content.as_str(), reply.chat.finish_reason.as_str()), ("8", "stop"));
    assert_eq!((reply.model.as_str(), response.adapted.as_str()), (ChatServer::url(&chat), ""));
    assert!(reply.fingerprint.starts_with("fp_"), "{}", reply.fingerprint);
    let usage = reply.usage.unwrap();
    let prompt = chat.prompt(&request).unwrap();
    assert_eq!((usage.prompt, usage.completion), (prompt.len() as u64, 1));

    let [TokenLogprob { token, logprob, top_logprobs }] = reply.chat.logprobs.as_slice() else { panic!() };
    let texts: Vec<&str> = top_logprobs.iter().map(|top| top.token.as_str()).collect();
    assert_eq!((token.as_str(), texts), ("8", vec!["8", "10", " 8"]));
    // The scores of the same model, by its passes alone.
    let model = FAST.generator(Parts { shape: &shape, weights, tuning: Tuning::none() }).unwrap();
    let mut scores = vec![];
    model.rows().prefill(&[prompt.as_slice().into()], &mut scores).unwrap();
    let total: f64 = scores.iter().map(|s| f64::from(*s).exp()).sum();
    let exact = [byte("8"), TEN, SPACE_EIGHT].map(|id| (f64::from(scores[id as usize]).exp() / total).ln());
    for (exact, found) in exact.iter().zip(top_logprobs) {
        assert!((exact - found.logprob).abs() < 1e-12, "{exact} {found:?}");
    }
    assert!((logprob - exact[0]).abs() < 1e-12);
    assert!(top_logprobs.iter().map(|top| top.logprob.exp()).sum::<f64>() <= 1.0);
    // As it was made: e^9 and e^8 against e^0 for the rest.
    assert!((exact[0] - exact[1] - 1.0).abs() < 0.05, "{exact:?}");

    let plain = chat.send(&ChatRequest { top_logprobs: None, ..request }, "b").unwrap();
    assert!(plain.body.contains(r#""logprobs":null"#), "{}", plain.body);
}

#[test]
fn parts_of_characters_are_spelt_as_openai_does() {
    // 分 is e5 88 86.
    let parts = ["å", "Ī", "Ĩ"].map(byte);
    let line = byte("Ċ");
    let scores: Vec<(u32, u32, f32)> =
        [line, parts[0], parts[1]].into_iter().zip(parts).map(|(last, next)| (last, next, 20.0)).collect();
    let request = ChatRequest { top_logprobs: Some(0), max_tokens: Some(3), ..ask("x") };
    let body = chat(chain(&scores), CHATML).send(&request, "a").unwrap().body;
    let reply = Reply::read(&body).unwrap();
    assert_eq!((reply.chat.content.as_str(), reply.chat.finish_reason.as_str()), ("分", "length"));
    assert!(body.contains(r#""token":"bytes:\\xe5","logprob":"#), "{body}");
    assert!(body.contains(r#""bytes":[229]"#), "{body}");
}

/// Requests of several manners and lengths.
fn mixed() -> Vec<NamedRequest> {
    let long = "a long question, and longer ".repeat(12);
    let texts = ["x", "Why?", "a question", &long, "12345", "一二三", "y"];
    named(texts.iter().enumerate().flat_map(|(i, text)| {
        let request = ChatRequest { max_tokens: Some(6 + i as u32), ..ask(text) };
        [
            request.clone(),
            ChatRequest { top_logprobs: Some(2), max_tokens: Some(9), ..request.clone() },
            ChatRequest { temperature: Some(1.2), top_p: Some(0.9), max_tokens: Some(9), ..request.clone() },
            ChatRequest { temperature: Some(1.2), seed: Some(i as u64), max_tokens: Some(9), ..request },
        ]
    }))
}

#[test]
fn replies_are_the_same_bytes_in_any_company() {
    let requests = mixed();
    let together = chat(babbling(), CHATML);
    let found = replies(&together, &requests);
    let mut turned = requests.clone();
    turned.reverse();
    let other = chat(babbling(), CHATML);
    let some = replies(&other, &turned[..11]);
    for NamedRequest { name, request } in &requests {
        let body = &found[name].as_ref().unwrap().body;
        assert_eq!(&other.send(request, name).unwrap().body, body);
        assert!(some.get(name).is_none_or(|found| &found.as_ref().unwrap().body == body));
    }
    assert_eq!(replies(&together, &requests).len(), requests.len(), "asked again by the same");
}

#[test]
fn the_reference_engine_replies_the_same_in_any_company_too() {
    let open = || LocalChat::from_parts(parts(babbling(), ChatTemplate::Jinja(CHATML.into())), REFERENCE).unwrap();
    let requests = &mixed()[..8];
    let chat = open();
    let found = replies(&chat, requests);
    for NamedRequest { name, request } in requests {
        assert_eq!(open().send(request, name).unwrap().body, found[name].as_ref().unwrap().body);
    }
    // Rounded by another engine: the name of the model is the same, that of the engine is not.
    let fast = self::chat(babbling(), CHATML);
    assert_eq!(ChatServer::url(&fast), ChatServer::url(&chat));
    let fingerprint =
        |chat: &LocalChat| Reply::read(&chat.send(&requests[0].request, "a").unwrap().body).unwrap().fingerprint;
    assert_ne!(fingerprint(&fast), fingerprint(&chat));
}

#[test]
fn what_is_drawn_depends_on_the_seed_and_without_one_on_the_name() {
    let chat = chat(babbling(), CHATML);
    let hot = ChatRequest { temperature: Some(1.5), max_tokens: Some(12), ..ask("x") };
    let content =
        |request: &ChatRequest, name: &str| Reply::read(&chat.send(request, name).unwrap().body).unwrap().chat;
    let seeded = |seed| ChatRequest { seed: Some(seed), ..hot.clone() };
    assert_ne!(content(&hot, "a"), content(&hot, "b"));
    assert_eq!(content(&seeded(1), "a"), content(&seeded(1), "b"));
    assert_ne!(content(&seeded(1), "a"), content(&seeded(2), "a"));
    let cold = ChatRequest { temperature: Some(0.0), ..hot.clone() };
    let none = ChatRequest { temperature: None, ..hot };
    assert_eq!(content(&cold, "a"), content(&none, "b"));
}

#[test]
fn an_adapter_answers_beside_its_weights() {
    let (shape, weights) = babbling();
    let tuning = values::moved(&shape, &weights, adapted(&shape, &ALL, lora, 0.0));
    let model = parts((shape, weights), ChatTemplate::Jinja(CHATML.into()));
    let tuned = tunebench_local_chat::LocalModel { tuning, identity: "with an adapter".into(), ..model };
    let tuned = LocalChat::from_parts(tuned, FAST).unwrap();
    let plain = chat(babbling(), CHATML);
    let request = ChatRequest { max_tokens: Some(8), top_logprobs: Some(1), ..ask("x") };
    let of_first = |chat: &LocalChat| logprobs(&chat.send(&request, "a").unwrap().body)[0]["logprob"].as_f64().unwrap();
    assert_ne!(of_first(&tuned), of_first(&plain));
    assert_ne!(ChatServer::url(&tuned), ChatServer::url(&plain));
}

#[test]
fn what_cannot_be_asked_fails_alone_and_says_why() {
    let chat = chat(babbling(), CHATML);
    let long = "12 ".repeat(2048);
    let tokens = chat.prompt(&ask(&long)).unwrap().len();
    let good = ChatRequest { max_tokens: Some(3), ..ask("x") };
    let bad = [
        (ask(&long), format!("the prompt has {tokens} tokens, and the model has positions for 2048")),
        (ChatRequest { temperature: Some(-0.1), ..good.clone() }, "temperature is -0.1; it must be at least 0".into()),
        (ChatRequest { temperature: Some(f64::NAN), ..good.clone() }, "temperature is NaN".into()),
        (ChatRequest { top_p: Some(0.0), ..good.clone() }, "top_p is 0; it must be above 0 and at most 1".into()),
        (ChatRequest { max_tokens: Some(0), ..good.clone() }, "max_tokens is 0; it must be at least 1".into()),
        (ChatRequest { messages: messages(&[("tool", "x")]), ..good.clone() }, "no role `tool`".into()),
    ];
    let mut requests: Vec<NamedRequest> = (0..)
        .zip(&bad)
        .map(|(i, (request, _))| NamedRequest { name: format!("bad {i}"), request: request.clone() })
        .collect();
    requests.push(NamedRequest { name: "good".into(), request: good });
    let found = replies(&chat, &requests);
    for (i, (_, reason)) in bad.iter().enumerate() {
        let Err(Failure::Request(found)) = &found[&format!("bad {i}")] else { panic!("{reason}") };
        assert!(found.contains(reason.as_str()), "{found}");
    }
    assert!(found["good"].is_ok());
}

#[test]
fn nothing_is_answered_when_no_more_is_wanted() {
    let chat = chat(babbling(), CHATML);
    let requests = mixed();
    let mut told = 0;
    let each = &mut |_: &str, _| {
        told += 1;
        told < 3
    };
    chat.answer(&requests, Path::new("/nowhere"), each).unwrap();
    assert_eq!(told, 3);

    chat.stop(ChatError::Ended("enough".into()));
    chat.stop(ChatError::Ended("more than enough".into()));
    let reason = ChatError::Ended("enough".into());
    assert_eq!(chat.send(&ask("x"), "a"), Err(Failure::Stopped(reason.clone())));
    let never = &mut |_: &str, _| panic!("told of one");
    assert_eq!(chat.answer(&requests, Path::new("/nowhere"), never), Err(reason));
}

#[test]
fn a_damaged_model_gives_no_reply() {
    let (shape, weights) = chain(&[(byte("Ċ"), byte("8"), f32::NAN)]);
    let backend: &'static dyn Backend = FAST;
    let model = parts((shape, weights), ChatTemplate::Jinja(CHATML.into()));
    let chat = LocalChat::from_parts(model, backend).unwrap();
    let found = replies(&chat, &named([ask("x"), ask("y")]));
    for response in found.into_values() {
        assert!(matches!(response, Err(Failure::Request(reason)) if reason.contains("not numbers")));
    }
}

#[test]
fn what_is_left_out_is_said() {
    let with = |template: &str, request: ChatRequest| chat(babbling(), template).send(&request, "a").unwrap().adapted;
    let asked = ChatRequest { max_tokens: Some(2), reasoning_effort: Some("low".into()), ..ask("x") };
    assert_eq!(with(CHATML, asked.clone()), "reasoning_effort left out");
    let thinks =
        format!("{CHATML}{{% if enable_thinking is defined and not enable_thinking %}}<think></think>{{% endif %}}");
    assert_eq!(with(&thinks, asked.clone()), "reasoning_effort left out");
    let none = ChatRequest { reasoning_effort: Some("minimal".into()), ..asked.clone() };
    assert_eq!(with(&thinks, none.clone()), "");
    assert_eq!(
        chat(babbling(), &thinks).prompt(&none).unwrap().len(),
        chat(babbling(), CHATML).prompt(&none).unwrap().len() + 2
    );
    assert_eq!(with(&format!("{CHATML}{{{{ reasoning_effort }}}}"), asked.clone()), "");
    assert_eq!(with(&format!("{CHATML}{{{{ strftime_now('%Y') }}}}"), ask_briefly()), "date 26 Jul 2024");
    let developer = ChatRequest { messages: messages(&[("developer", "s"), ("user", "x")]), ..ask_briefly() };
    assert_eq!(with(CHATML, developer), "developer as system");
}

fn ask_briefly() -> ChatRequest {
    ChatRequest { max_tokens: Some(2), ..ask("x") }
}
