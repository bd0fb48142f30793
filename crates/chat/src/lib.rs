//! Chat requests to replies: dialects, transport, what a server allows, and what its models cost.
//!
//! - [`ChatServer`], [`BatchServer`]: whoever answers, one request at a time or many at once; what comes is a [`RawResponse`],
//!   which is kept as it came
//! - [`Reply`]: what a response says, read by the same code whether it is fresh or was kept
//! - [`Chat`]: a server behind HTTP
//!
//! Nothing here knows what is asked for, and by whom.

mod error;
mod http;
mod reply;
mod server;

pub use error::ChatError;
pub use http::Chat;
pub use reply::{Reply, Usage};
pub use server::{BatchServer, ChatServer, Failure, NamedRequest, RawResponse};
