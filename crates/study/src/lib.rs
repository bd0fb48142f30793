//! Running a study: the only wiring of stages, each a function from what was there to what is added.
//!
//! - [`setup`]: a study file with its folder and plugins
//! - [`plan`]: what each arm trains, from shapes alone
//! - [`data`]: datasets through their plugins, as examples and as tokens
//! - [`models`]: base models as a study names them, from their [`files`]
//! - [`trained`]: a trained arm, opened again
//! - [`folder`]: what is kept where, named by content
//! - [`arms`]: training; [`memory`]: its peak
//! - [`answers`]: what the arms say to the evaluation items
//! - [`verdicts`]: what the judge says to that
//! - [`records`]: the frames as they grow
//! - [`study`]: all of them in order

pub mod answers;
pub mod arms;
pub mod data;
pub mod files;
pub mod folder;
pub mod memory;
pub mod models;
pub mod plan;
pub mod records;
pub mod setup;
pub mod study;
pub mod trained;
pub mod verdicts;
