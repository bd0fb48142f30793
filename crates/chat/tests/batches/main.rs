//! Batches of both providers, against a provider on this machine that misbehaves by a script: what is told, and that each
//! request is billed once.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

/// What comes of requests, whatever becomes of them.
mod answers;
/// A process killed at each of its durable writes.
mod kills;
/// Submissions of which nobody knows whether they were made.
mod recovery;
/// Requests, and a client that hurries.
mod support;
