//! A run's arms and base models, served by the executable.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::study::Study;

/// What a server answers to one request on a connection of its own.
fn ask(address: &str, head: &str, body: &Value) -> Value {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let mut stream = TcpStream::connect(address).unwrap();
    let rest = format!("content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    stream.write_all(format!("{head} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{rest}").as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    serde_json::from_str(text.split_once("\r\n\r\n").unwrap().1).unwrap()
}

#[test]
fn arms_and_base_models_are_served_by_their_names() {
    let study = Study::new();
    let arm = "tuner = \"lora-all-linear\"\ndataset = \"few\"";
    study.edit("study.toml", arm, &format!("{arm}\ntemplate = \"plain\""));
    study.run(&["study", "study.toml", "--out", "out", "--only", "all"]);
    let error = study.fails(&["serve", "out", "nobody", "--port", "0"]);
    assert!(error.contains("nobody") && error.contains("all@3"), "{error}");

    let mut server = study.command(&["serve", "out", "all", "tiny", "all@3", "--port", "0"]);
    let mut server = server.stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(server.stderr.take().unwrap()).lines();
    let address = lines.by_ref().map(Result::unwrap).find_map(|line| {
        let (_, rest) = line.split_once("http://")?;
        rest.split_once("/v1").map(|(address, _)| address.to_owned())
    });
    let address = address.expect("the server says where it listens");

    let models = ask(&address, "GET /v1/models", &Value::Null);
    let ids: Vec<&str> = models["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["all", "tiny", "all@3"]);

    // The same weights by both names, and other ones by that of the base model.
    let score = |model: &str| {
        let body = json!({ "model": model, "prompt": "第1题", "max_tokens": 0, "echo": true, "logprobs": 0 });
        ask(&address, "POST /v1/completions", &body)["choices"][0]["logprobs"]["token_logprobs"].clone()
    };
    assert_eq!(score("all"), score("all@3"));
    assert_ne!(score("all"), score("tiny"));

    // The base model is asked by the study's template, not by that of an arm over it.
    let asked = |model: &str| {
        let body = json!({ "model": model, "messages": [{ "role": "user", "content": "第1题" }], "max_tokens": 1 });
        ask(&address, "POST /v1/chat/completions", &body)["usage"]["prompt_tokens"].as_u64().unwrap()
    };
    assert!(asked("all") < asked("tiny"), "{} {}", asked("all"), asked("tiny"));

    let body = json!({ "model": "all", "messages": [{ "role": "user", "content": "第1题" }], "max_tokens": 8, "temperature": 0 });
    let found = ask(&address, "POST /v1/chat/completions", &body);
    let mut chat = study.command(&["chat", "out", "all", "--max-new-tokens", "8"]);
    let mut chat = chat.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    chat.stdin.take().unwrap().write_all("第1题\n".as_bytes()).unwrap();
    let said = String::from_utf8(chat.wait_with_output().unwrap().stdout).unwrap();
    let content = found["choices"][0]["message"]["content"].as_str().unwrap();
    // The terminal's answer has what would steer it escaped.
    assert_eq!(
        tunebench_spec::escape::line(content.trim()).replace("\\n", "\n"),
        said.trim_end_matches('\n'),
        "{found}"
    );

    assert!(Command::new("kill").arg(server.id().to_string()).status().unwrap().success());
    assert_eq!(server.wait().unwrap().code(), Some(0));
    assert!(lines.map(Result::unwrap).any(|line| line == "ended"));
}
