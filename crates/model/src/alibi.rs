//! ALiBi (Press et al. 2022): how fast each head's scores fall with distance.

/// The slope of each head, as BLOOM's: a geometric series where their number is a power of two; else that of the power
/// below, and then every other slope of the one above. A score falls by its head's slope with each place between query and
/// key.
pub fn slopes(heads: usize) -> Vec<f32> {
    let below = 1 << heads.max(1).ilog2();
    let slope = |of: usize, i: usize| (-8.0 * i as f64 / of as f64).exp2() as f32;
    let first = (1..=below).map(|i| slope(below, i));
    first.chain((1..).step_by(2).map(|i| slope(2 * below, i))).take(heads).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_are_those_that_transformers_gives_bloom() {
        assert_eq!(slopes(1), [0.00390625]);
        assert_eq!(slopes(2), [0.0625, 0.00390625]);
        assert_eq!(slopes(4), [0.25, 0.0625, 0.015625, 0.00390625]);
        let six = [0.25, 0.0625, 0.015625, 0.00390625, 0.5, 0.125];
        assert_eq!(slopes(6), six);
    }
}
