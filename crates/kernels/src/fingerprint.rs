//! Whether numbers have changed: a fingerprint of them, for comparison within one machine and one process.

use rayon::prelude::*;

use crate::Element;
use crate::tasks::TASK;

/// A number of 64 bits that changes when any one element does, and by chance alone stays when several do; whatever the
/// number of threads, and on every machine the same.
pub fn fingerprint<E: Element>(x: &[E]) -> u64 {
    let pieces: Vec<u64> =
        x.par_chunks(TASK).map(|x| mixed(x.iter().map(|x| u64::from(x.to_f32().to_bits())))).collect();
    mixed(pieces.into_iter())
}

/// The words mixed in their order. Each step is a bijection of what was mixed before, so one other word is another result.
pub(crate) fn mixed(words: impl Iterator<Item = u64>) -> u64 {
    const ODD: u64 = 0x9e37_79b9_7f4a_7c15;
    words.fold(ODD, |mixed, word| (mixed ^ word).wrapping_mul(ODD).rotate_left(29))
}

#[cfg(test)]
mod tests {
    use half::bf16;

    use super::*;

    #[test]
    fn any_one_change_is_seen() {
        let numbers: Vec<f32> = (0..100_000).map(|i| (i as f32).sin()).collect();
        let before = fingerprint(&numbers);
        assert_eq!(before, fingerprint(&numbers));
        for at in [0, 1, TASK - 1, TASK, 99_999] {
            let mut changed = numbers.clone();
            changed[at] = f32::from_bits(changed[at].to_bits() ^ 1);
            assert_ne!(before, fingerprint(&changed), "{at}");
        }
        let half: Vec<bf16> = numbers.iter().map(|x| bf16::from_f32(*x)).collect();
        assert_ne!(before, fingerprint(&half));
        assert_ne!(fingerprint::<f32>(&[0.0]), fingerprint::<f32>(&[-0.0]));
        assert_ne!(fingerprint::<f32>(&[]), fingerprint::<f32>(&[0.0]));
    }
}
