//! The fields of a row, for datasets: which of them were read, what is left to tell, and what a row says of itself as a
//! whole. Nothing is lost without a word, and nothing learnt that is marked not to be.

mod notes;
mod object;
mod whole;

pub use notes::Notes;
pub use object::{Fault, Fields, is_blank};
pub use whole::{check_learnt, tools};
