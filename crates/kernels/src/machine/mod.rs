//! Memory and threads of this process and of the machine.

pub mod memory;
pub mod threads;
