//! Chat requests to replies: dialects, transport, what a server allows, and what its models cost.
//!
//! - [`ChatServer`], [`BatchServer`]: whoever answers, one request at a time or many at once; what comes is a [`RawResponse`],
//!   which is kept as it came
//! - [`Reply`]: what a response says, read by the same code whether it is fresh or was kept
//! - [`Chat`]: a server behind HTTP; [`Connection`]: one call of it, whatever it is about
//! - [`BatchChat`]: a server's batch API, at half the price: `batch/mod.rs` says how nothing is paid for twice
//! - [`models`]: what is known of rented models; [`Redactor`]: keeps keys out of what is kept and shown
//!
//! Nothing here knows what is asked for, and by whom.

mod address;
mod batch;
mod error;
mod http;
pub mod models;
mod redact;
mod reply;
mod server;
mod wire;

pub use batch::{BatchChat, BatchOptions, BatchProgress};
pub use error::ChatError;
pub use http::{Body, CallError, Chat, Clock, Connection, Headers, Method, Response, Upload, server_name};
pub use redact::Redactor;
pub use reply::{Reply, Unreadable, Usage};
pub use server::{BatchServer, ChatServer, Failure, NamedRequest, Probe, RawResponse};
