//! A chat server behind HTTP: one request, as many attempts as the settings allow, at the pace that the server allows.
//!
//! `chat` is the whole, from a request to its reply. `settings` and `address` check what is given, `connection` sends,
//! `verdict`, `retry`, `patience` and `streak` say what a response means for what comes next, and `gate` with `pace` and
//! `meter` who may send when.

mod address;
mod chat;
mod clock;
mod connection;
mod download;
mod estimate;
mod faults;
mod gate;
mod headers;
mod learnt;
mod meter;
mod pace;
mod patience;
mod patient_call;
mod probe;
mod retry;
mod settings;
#[cfg(test)]
mod simulation;
mod stated;
mod streak;
mod time_text;
mod upload;
mod verdict;

pub use self::address::server_name;
pub use self::chat::Chat;
pub use self::clock::Clock;
pub use self::connection::{Body, CallError, Connection, Method, Response};
pub use self::headers::Headers;
pub use self::upload::Upload;
