//! Chat requests answered by small models: what the models are given, what they reply, and in which form.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

mod forms;
mod models;
mod opening;
mod prompts;
mod replies;
