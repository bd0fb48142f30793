//! Models behind OpenAI's HTTP API: many requests at once by continuous batching, on this machine.
//!
//! ```text
//! connection ─ routes ─ chat, completions ─> Choice ─> worker, one thread: rows of every model, a token a turn
//!              (checks)  (prompts, settings)               │
//!                                    answer, sse <─ Event ─┘ text
//! ```
//!
//! - [`Server`]: listens, checks what memory its models take together, answers until it is told to end
//! - [`ServedModel`]: a model under the id that requests name it by; [`Options`]: what bounds a server
//! - `fields`: a request's fields, each checked; one that would change the answer and is not carried out is refused
//! - `worker`: the engine's thread; `text`: tokens to text, stop sequences, and where each token stands
//! - `connections`: what a client may take of time and memory before it has asked anything
//!
//! An answer is the same bytes whatever is answered beside it, streamed or not. Nothing here knows studies and arms.

mod answer;
mod api_error;
mod chat;
mod completions;
mod connections;
mod error;
mod fields;
mod models;
mod prepare;
mod routes;
mod server;
mod sse;
mod text;
mod tokens;
mod worker;

pub use error::Error;
pub use models::{OpenLocalModel, ServedModel};
pub use server::{Ended, Options, ReadyServer, Server};
