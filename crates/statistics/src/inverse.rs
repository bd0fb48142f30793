//! The inverse of a small matrix.

/// A square matrix, row by row.
pub(crate) type Matrix = Vec<Vec<f64>>;

/// Gauss and Jordan's elimination with the largest pivot of each column; none where the matrix is singular to 12
/// digits.
pub(crate) fn inverse(matrix: &Matrix) -> Option<Matrix> {
    let n = matrix.len();
    let size = matrix.iter().flatten().map(|value| value.abs()).fold(0.0, f64::max);
    let unit = |row: usize| (0..n).map(move |column| f64::from(u8::from(row == column)));
    let mut rows: Matrix =
        matrix.iter().enumerate().map(|(i, row)| row.iter().copied().chain(unit(i)).collect()).collect();
    for column in 0..n {
        let pivot = (column..n).max_by(|a, b| rows[*a][column].abs().total_cmp(&rows[*b][column].abs()))?;
        let largest = rows[pivot][column];
        let regular = largest.is_finite() && largest.abs() > 1e-12 * size;
        if !regular {
            return None;
        }
        rows.swap(column, pivot);
        rows[column].iter_mut().for_each(|value| *value /= largest);
        let pivot_row = rows[column].clone();
        for (i, row) in rows.iter_mut().enumerate() {
            let factor = row[column];
            if i != column && factor != 0.0 {
                row.iter_mut().zip(&pivot_row).for_each(|(value, pivot)| *value -= factor * pivot);
            }
        }
    }
    Some(rows.into_iter().map(|row| row[n..].to_vec()).collect())
}

/// Matrix times vector.
pub(crate) fn times(matrix: &Matrix, vector: &[f64]) -> Vec<f64> {
    matrix.iter().map(|row| row.iter().zip(vector).map(|(a, b)| a * b).sum()).collect()
}

/// vectorᵀ matrix vector.
pub(crate) fn quadratic(matrix: &Matrix, vector: &[f64]) -> f64 {
    times(matrix, vector).iter().zip(vector).map(|(a, b)| a * b).sum()
}
