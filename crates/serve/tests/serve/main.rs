//! A server over real sockets, asked by a real client.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

mod answers;
mod bad_requests;
mod limits;
mod scores;
mod support;
