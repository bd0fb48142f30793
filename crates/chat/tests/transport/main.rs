//! The transport against a real HTTP server that misbehaves by script.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

mod adaptation;
mod calls;
mod faults;
mod pace;
mod probe;
mod secrets;
mod settings;
mod stops;

use tunebench_chat::{Chat, ChatServer, Clock, Failure, RawResponse};
use tunebench_scripted_server::Server;
use tunebench_spec::study::ChatSettings;
use tunebench_spec::{ChatMessage, ChatRequest};

/// A clock in which a second of waiting is a millisecond.
fn quick() -> Clock {
    Clock::faster(1000.0)
}

fn request(prompt: &str) -> ChatRequest {
    ChatRequest {
        model: "test-model".into(),
        messages: vec![ChatMessage { role: "user".into(), content: prompt.into() }],
        temperature: Some(0.0),
        max_tokens: Some(50),
        ..ChatRequest::default()
    }
}

fn chat(settings: &ChatSettings) -> Chat {
    Chat::with_clock(settings, quick()).unwrap()
}

/// Sends one request to the server with these settings.
fn send(chat: &Chat, prompt: &str) -> Result<RawResponse, Failure> {
    chat.send(&request(prompt), prompt)
}

fn retrying(server: &Server, retries: u32) -> ChatSettings {
    ChatSettings { retries, ..server.settings() }
}
