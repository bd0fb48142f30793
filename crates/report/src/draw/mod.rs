//! The pictures: each a function from values to inline SVG.

pub mod axis;
pub mod canvas;
pub mod curves;
pub mod marks;
pub mod pareto;
pub mod rows;
