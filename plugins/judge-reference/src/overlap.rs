//! How much of a reference an answer has: as a bag, or in order.

use std::collections::BTreeMap;

use crate::text::tokens;

/// Tokens of either text that [`rouge_l`] reads; its work is the product of both.
pub const LONGEST: usize = 4_000;

/// F1 over the bags of tokens: how many the two have in common, against how many each has.
pub fn char_f1(answer: &str, reference: &str) -> f64 {
    let mut left: BTreeMap<String, usize> = BTreeMap::new();
    let mut wanted = 0;
    for token in tokens(reference) {
        *left.entry(token).or_default() += 1;
        wanted += 1;
    }
    let (mut common, mut given) = (0, 0);
    for token in tokens(answer) {
        given += 1;
        if let Some(n) = left.get_mut(&token).filter(|n| **n > 0) {
            *n -= 1;
            common += 1;
        }
    }
    f1(common, given, wanted)
}

/// ROUGE-L (Lin 2004) with equal weight for precision and recall: F1 of the longest common subsequence of tokens,
/// of the first [`LONGEST`] of each text.
pub fn rouge_l(answer: &str, reference: &str) -> f64 {
    let mut numbers: BTreeMap<String, usize> = BTreeMap::new();
    let mut numbered = |text: &str| -> Vec<usize> {
        let number = |token| {
            let next = numbers.len();
            *numbers.entry(token).or_insert(next)
        };
        tokens(text).take(LONGEST).map(number).collect()
    };
    let (answer, reference) = (numbered(answer), numbered(reference));
    f1(common_subsequence(&answer, &reference), answer.len(), reference.len())
}

/// Length of the longest common subsequence, in one row of the usual table.
fn common_subsequence(a: &[usize], b: &[usize]) -> usize {
    let mut row = vec![0; b.len() + 1];
    for x in a {
        let mut diagonal = 0;
        for (j, y) in b.iter().enumerate() {
            let above = row[j + 1];
            row[j + 1] = if x == y { diagonal + 1 } else { above.max(row[j]) };
            diagonal = above;
        }
    }
    row[b.len()]
}

fn f1(common: usize, given: usize, wanted: usize) -> f64 {
    if given + wanted == 0 {
        return 0.0;
    }
    2.0 * common as f64 / (given + wanted) as f64
}
