//! Behaviour of the frames: what is written comes back, damaged files say so, scores are right, SQL answers.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

mod files;
mod labels;
mod query;
mod samples;
mod scores;
