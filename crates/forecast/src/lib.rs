//! What a study will take and could show, as tables: parameters and memory, time, money, and differences.
//!
//! - [`arms_table`]: what each arm trains; [`time_table`]: how long that takes here
//! - [`judging_tables`]: what judging takes, and what it would take with other models
//! - [`job_stages`], [`cluster_tables`]: what a scheduler is told, and what a described cluster would take
//! - [`power_table`]: which difference the study could show

mod arms;
mod cluster;
mod judging;
mod power;
mod time;

pub use arms::arms_table;
pub use cluster::{cluster_tables, job_stages};
pub use judging::judging_tables;
pub use power::power_table;
pub use time::time_table;
