//! Why a batch was not made, or may not have been.

use crate::error::ChatError;

/// Why there is no batch.
#[derive(Debug)]
pub(super) enum CreateError {
    /// There is none: the server said no, or was not reached.
    Refused { status: u16, reason: String },
    /// There may be one.
    Unknown(String),
    /// Nothing can be sent any more.
    Ended(ChatError),
}

impl From<ChatError> for CreateError {
    fn from(error: ChatError) -> Self {
        Self::Ended(error)
    }
}
