//! Behaviour of the analyses on small runs, as the tables a reader sees.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

mod design;
mod drawn;
mod evidence;
mod judges;
mod paper;
mod quality;
mod render;
mod run;
mod seeds;
mod study;
mod training;
