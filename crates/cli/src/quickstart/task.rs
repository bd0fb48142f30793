//! One instruction with its answer, as every generator of tasks makes it.

/// One instruction with its answer.
pub struct Task {
    pub instruction: String,
    pub input: String,
    pub output: String,
    /// What a judge compares with: the output, or all that would be right.
    pub reference: String,
}

impl Task {
    pub fn new(instruction: impl Into<String>, input: impl Into<String>, output: impl Into<String>) -> Self {
        let output = output.into();
        Self { instruction: instruction.into(), input: input.into(), reference: output.clone(), output }
    }

    /// What the model is asked: BELLE joins instruction and input with nothing between.
    pub fn question(&self) -> String {
        format!("{}{}", self.instruction, self.input)
    }
}
