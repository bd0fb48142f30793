//! Studies drawn at random, of which the truth is known, to show what the methods do.

mod judge;
mod world;

pub use judge::{JudgeWorld, JudgedStudy, SimulatedJudge};
pub use world::{Arm, ScoreKind, SeedDraws, World};
