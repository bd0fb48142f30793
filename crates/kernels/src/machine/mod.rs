//! Memory and threads of this process and of the machine.

pub mod bandwidth;
mod control_groups;
mod limits;
pub mod mapping;
pub mod memory;
pub mod threads;
