//! Recorded graphs with candle's operations, for both engines.
//!
//! - [`site`]: checks and runs a graph: an adapted weight's forward, its merge, its parameters' initial values
//! - `ops`: a decoder's operations with gradients; `attach`: the only home of derivatives written by hand

pub(crate) mod attach;
pub(crate) mod ops;
pub mod site;
