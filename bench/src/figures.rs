//! What is printed of every measurement: a median, and peak memory.

use tunebench_kernels::machine;

/// Peak resident memory so far in MiB; 0 where the system does not say.
pub fn peak_rss_mib() -> f64 {
    machine::memory::peak().unwrap_or(0) as f64 / f64::from(1 << 20)
}

/// The middle of some numbers, the mean of the two in the middle when their number is even; NaN of none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        n if n % 2 == 1 => values[middle],
        _ => f64::midpoint(values[middle - 1], values[middle]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_two() {
        assert_eq!(median(vec![9.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![9.0, 1.0, 2.0, 4.0]), 3.0);
        assert!(median(vec![]).is_nan());
    }
}
