//! What is measured when nothing else is asked for, and how else to ask.

use std::str::FromStr;

/// The tuners that are compared, as both sides name them.
pub const TUNERS: [&str; 3] = ["ft", "lora-attention", "lora-all-linear"];

/// A batch to train on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Case {
    /// Rows.
    pub batch: usize,
    /// Tokens of each row.
    pub seq: usize,
}

/// A batch of short rows and one of long ones.
pub const USUAL: [Case; 2] = [Case { batch: 4, seq: 256 }, Case { batch: 2, seq: 1024 }];

/// Folders whose files are the text to train on.
pub const TEXT: [&str; 2] = ["crates/kernels/src", "crates/model/src"];

/// Generation: so many prompts at once, of so many tokens, answered with so many.
pub const PROMPTS: usize = 64;
pub const PROMPT_TOKENS: usize = 64;
pub const NEW_TOKENS: usize = 64;

/// Texts answered at once beside llama.cpp.
pub const STREAMS: [usize; 2] = [1, 64];

impl FromStr for Case {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |text: &str| text.parse().ok().filter(|n| (1..1 << 20).contains(n));
        let parsed = text.split_once('x').and_then(|(batch, seq)| Some((number(batch)?, number(seq)?)));
        let (batch, seq) = parsed.ok_or("rows x tokens is wanted, e.g. 4x256")?;
        Ok(Self { batch, seq })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_is_rows_by_tokens() {
        assert_eq!("4x256".parse(), Ok(Case { batch: 4, seq: 256 }));
        for bad in ["", "4", "x", "4x", "0x256", "4x256x2", "4X256", "-1x2", "1x99999999999"] {
            assert!(bad.parse::<Case>().is_err(), "{bad}");
        }
    }
}
