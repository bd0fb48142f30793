//! Fetching from a hub: a local server that speaks its protocol, with every fault that a network or a hub has.
#![allow(clippy::unwrap_used)]

mod addresses;
mod choosing;
mod faults;
mod fetching;
mod server;
