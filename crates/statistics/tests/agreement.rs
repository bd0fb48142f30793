//! How far raters agree: published examples, and what is refused.

#![allow(clippy::unwrap_used)] // a test fails by panicking, in its helpers too

use tunebench_statistics::Bootstrap;
use tunebench_statistics::agreement::*;

const QUICK: Bootstrap = Bootstrap { draws: 400, seed: 1 };

fn near(found: f64, want: f64, tolerance: f64) {
    assert!((found - want).abs() <= tolerance, "{found}, wanted {want}");
}

/// Marks of a rater, one character an item; a dot is a gap.
fn units(raters: &[&str]) -> Vec<Vec<Option<f64>>> {
    let item = |i: usize| raters.iter().map(|marks| f64::from(marks.as_bytes()[i]) - 48.0).collect::<Vec<_>>();
    (0..raters[0].len()).map(|i| item(i).into_iter().map(|mark| (mark >= 0.0).then_some(mark)).collect()).collect()
}

/// Krippendorff (2011), "Computing Krippendorff's alpha-reliability": two observers of binary data, two of nominal data
/// (a to e as 1 to 5), and four observers with gaps.
#[test]
fn alpha_is_that_of_krippendorffs_examples() {
    let binary = units(&["0100000010", "1110010000"]);
    let nominal = units(&["112243335441", "212223335444"]);
    let gaps = units(&["123321412...", "1233224125.3", ".3332342251.", "12332441251."]);
    let cases = [
        (&binary, MeasurementLevel::Nominal, 0.095),
        (&nominal, MeasurementLevel::Nominal, 0.692),
        (&gaps, MeasurementLevel::Nominal, 0.743),
        (&gaps, MeasurementLevel::Ordinal, 0.815),
        (&gaps, MeasurementLevel::Interval, 0.849),
    ];
    for (items, level, want) in cases {
        let found = krippendorff_alpha(items, level, QUICK).unwrap();
        near(found.alpha, want, 0.0005);
        let interval = found.interval.clone().unwrap();
        assert!(interval.low < found.alpha && found.alpha < interval.high, "{found:?}");
        assert_eq!(found, krippendorff_alpha(items, level, QUICK).unwrap(), "the same seed gives the same interval");
    }
    let found = krippendorff_alpha(&gaps, MeasurementLevel::Nominal, QUICK).unwrap();
    assert_eq!((found.items, found.marks, found.left_out), (11, 40, 1));
}

/// Cohen (1960), table 1: 200 patients by two psychologists; weighted ones and standard errors of statsmodels 0.15.0
/// (`cohens_kappa(table, wt=...)`).
#[test]
fn kappa_is_that_of_cohens_example() {
    let table = [[88, 10, 2], [14, 40, 6], [18, 10, 12]];
    let mut pairs = Vec::new();
    for (i, row) in table.iter().enumerate() {
        for (j, count) in row.iter().enumerate() {
            pairs.extend(std::iter::repeat_n((i as f64, j as f64), *count));
        }
    }
    let bins = Bins::new(vec![0.5, 1.5]).unwrap();
    let cases = [
        (KappaWeights::Unweighted, 0.49152542372881347, 0.05100181557607786),
        (KappaWeights::Linear, 0.4736842105263158, 0.05443230917764151),
        (KappaWeights::Quadratic, 0.4545454545454546, 0.06645368159107816),
    ];
    for (weights, kappa, error) in cases {
        let found = cohens_kappa(&pairs, &bins, weights).unwrap();
        near(found.kappa, kappa, 1e-12);
        near(found.uncertainty.unwrap().standard_error, error, 1e-12);
        assert_eq!(found.table, table);
    }
}
