//! Pairwise judging: which of two answers to an item a judge prefers.
//!
//! [`win_rate`] compares two arms, [`position_effect`] says what the order of the two does,
//! [`length_controlled_win_rate`] what is left of a win rate when answers are of one length, and [`bradley_terry`] puts
//! many arms on one scale. One item's comparisons belong together in all intervals.

mod bradley_terry;
mod comparison;
mod length_controlled;
mod position;
mod win_rate;

pub use bradley_terry::{BradleyTerry, Strength, bradley_terry};
pub use comparison::Comparison;
pub use length_controlled::{LengthControlled, LengthPair, length_controlled_win_rate};
pub use position::{PositionEffect, position_effect};
pub use win_rate::{WinRate, win_rate};
