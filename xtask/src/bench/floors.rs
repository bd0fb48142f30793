//! What the machine can do at best, as `tunebench-bench floors` says it: what measurements are shares of.

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::programs::Programs;

/// A line of our side.
#[derive(Deserialize)]
#[serde(tag = "floor", rename_all = "lowercase")]
enum Line {
    Memory { bytes_per_s: f64, level: String },
    Arithmetic { kind: String, flop_per_s: f64, level: String },
}

/// All of it.
pub struct Floors {
    /// What memory is read at.
    pub bytes_per_s: f64,
    /// The level in force.
    pub level: String,
    /// The levels of this CPU, lowest first, each with the operations per second that it reaches in bf16.
    pub bf16: Vec<(String, f64)>,
}

impl Floors {
    /// # Errors
    /// When our side fails, or says nothing of memory.
    pub fn measure(programs: &Programs<'_>) -> Result<Self> {
        Self::of(programs.lines("floors")?).context("`tunebench-bench floors` says nothing of memory")
    }

    fn of(lines: Vec<Line>) -> Option<Self> {
        let (mut memory, mut bf16) = (None, Vec::new());
        for line in lines {
            match line {
                Line::Memory { bytes_per_s, level } => memory = Some((bytes_per_s, level)),
                Line::Arithmetic { kind, flop_per_s, level } if kind == "bf16" => bf16.push((level, flop_per_s)),
                Line::Arithmetic { .. } => {}
            }
        }
        memory.map(|(bytes_per_s, level)| Self { bytes_per_s, level, bf16 })
    }

    /// Operations per second that a level reaches in bf16; infinite where this CPU lacks it.
    pub fn peak(&self, level: &str) -> f64 {
        self.bf16.iter().find(|(name, _)| name == level).map_or(f64::INFINITY, |(_, peak)| *peak)
    }

    /// The share of what memory gives that so many tokens per second are, when each reads so many bytes.
    pub fn of_memory(&self, bytes: f64, tokens_per_s: f64) -> f64 {
        bytes * tokens_per_s / self.bytes_per_s
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_of_the_bytes_that_memory_gives() {
        let line = |text: &str| serde_json::from_str::<Line>(text).unwrap();
        let lines = vec![
            line(r#"{"floor":"memory","bytes_per_s":100.0,"level":"avx2"}"#),
            line(r#"{"floor":"arithmetic","kind":"f32","flop_per_s":1.0,"level":"portable"}"#),
            line(r#"{"floor":"arithmetic","kind":"bf16","flop_per_s":2.0,"level":"portable"}"#),
            line(r#"{"floor":"arithmetic","kind":"bf16","flop_per_s":8.0,"level":"avx2"}"#),
        ];
        let floors = Floors::of(lines).unwrap();
        assert_eq!(floors.bf16, [("portable".to_owned(), 2.0), ("avx2".to_owned(), 8.0)]);
        assert_eq!((floors.level.as_str(), floors.of_memory(10.0, 5.0)), ("avx2", 0.5));
        assert!(Floors::of(vec![]).is_none());
    }
}
