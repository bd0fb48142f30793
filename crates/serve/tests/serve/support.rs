//! A server of small models, running in a thread until it is dropped.

use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use reqwest::blocking::{Client, Response};
use serde_json::{Value, json};
use tunebench_local_chat::{ChatTemplate, LocalModel};
use tunebench_model::backend::FAST;
use tunebench_model::{Tuning, Weights};
use tunebench_serve::{Ended, Options, ServedModel, Server};
use tunebench_spec::{Decoder, hash};
use tunebench_testkit::byte_level;

/// Turns in marks, as most models of today have them.
pub const CHATML: &str = "{%- for message in messages %}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

pub fn options() -> Options {
    Options {
        host: "127.0.0.1".to_owned(),
        port: 0,
        api_key: None,
        max_queue: 512,
        seed: 1,
        end_within: Duration::from_secs(60),
    }
}

pub fn parts((shape, weights): (Decoder, Weights), name: &str) -> LocalModel {
    LocalModel {
        name: name.to_owned(),
        identity: hash::of_bytes(name.as_bytes()),
        shape,
        weights,
        tuning: Tuning::none(),
        tokenizer: byte_level::tokenizer(),
        template: ChatTemplate::Jinja(CHATML.to_owned()),
        add_bos_token: false,
    }
}

pub fn served(model: (Decoder, Weights), id: &str) -> ServedModel {
    let (shape, quantised, parts) = (model.0.clone(), model.1.quantised(), parts(model, id));
    ServedModel { id: id.to_owned(), shape, quantised, trained: 0, open: Box::new(move || Ok(parts)) }
}

/// A model that says anything.
pub fn babbling() -> ServedModel {
    served(byte_level::babbling(), "babbling")
}

/// A model that says `aaaa…` for as long as it may.
pub fn endless() -> ServedModel {
    let (line, a) = (byte_level::byte("Ċ"), byte_level::byte("a"));
    let (mut shape, weights) = byte_level::chain(&[(line, a, 9.0), (a, a, 9.0)]);
    shape.max_position_embeddings = 1 << 18;
    served((shape, weights), "endless")
}

pub struct Running {
    pub url: String,
    pub client: Client,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Ended>>,
}

impl Running {
    pub fn new(models: Vec<ServedModel>, options: Options) -> Self {
        let server = Server::bind(options).unwrap();
        let url = format!("http://{}", server.address());
        let server = server.load(models, FAST).unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let asked = stop.clone();
        let thread = std::thread::spawn(move || server.run(|| asked.load(Ordering::Relaxed)).unwrap());
        let _ = rustls::crypto::ring::default_provider().install_default(); // once a process; plain HTTP needs none
        let client = Client::builder().timeout(Duration::from_secs(300)).no_proxy().build().unwrap();
        Self { url, client, stop, thread: Some(thread) }
    }

    pub fn babbling() -> Self {
        Self::new(vec![babbling()], options())
    }

    pub fn post(&self, path: &str, body: &Value) -> Response {
        self.client.post(format!("{}{path}", self.url)).json(body).send().unwrap()
    }

    pub fn get(&self, path: &str) -> Response {
        self.client.get(format!("{}{path}", self.url)).send().unwrap()
    }

    /// The body of a good answer.
    pub fn answer(&self, path: &str, body: &Value) -> Value {
        let response = self.post(path, body);
        let (status, body) = (response.status(), response.text().unwrap());
        assert!(status == 200, "{status}: {body}");
        serde_json::from_str(&body).unwrap()
    }

    pub fn complete(&self, body: &Value) -> Value {
        self.answer("/v1/completions", body)
    }

    pub fn chat(&self, body: &Value) -> Value {
        self.answer("/v1/chat/completions", body)
    }

    /// The events of a stream, and whether it ended as it should.
    pub fn stream(&self, path: &str, body: &Value) -> (Vec<Value>, bool) {
        let mut body = body.clone();
        body["stream"] = json!(true);
        let response = self.post(path, &body);
        assert_eq!(response.headers()["content-type"], "text/event-stream; charset=utf-8");
        events(response)
    }

    pub fn health(&self) -> Value {
        self.get("/health").json().unwrap()
    }

    pub fn tell_to_stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    pub fn end(mut self) -> Ended {
        self.tell_to_stop();
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.tell_to_stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

pub fn events(mut response: Response) -> (Vec<Value>, bool) {
    let mut text = Vec::new();
    let is_whole = response.read_to_end(&mut text).is_ok();
    let text = String::from_utf8(text).expect("no half characters");
    let mut datas: Vec<&str> = text.split("\n\n").filter_map(|event| event.strip_prefix("data: ")).collect();
    let is_done = is_whole && datas.last() == Some(&"[DONE]");
    datas.retain(|data| *data != "[DONE]");
    (datas.into_iter().filter_map(|data| serde_json::from_str(data).ok()).collect(), is_done)
}

/// A user's question.
pub fn ask(content: &str) -> Value {
    json!({ "model": "babbling", "messages": [{ "role": "user", "content": content }], "max_tokens": 24, "temperature": 0 })
}

/// `body` with more fields.
pub fn with(mut body: Value, more: Value) -> Value {
    let Value::Object(more) = more else { return body };
    more.into_iter().for_each(|(name, value)| body[name.as_str()] = value);
    body
}
