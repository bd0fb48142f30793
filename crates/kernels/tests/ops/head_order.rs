//! Queries, keys and values by head and by kind.

use tunebench_kernels::ops::head_order::{blocks_of_heads, heads_of_blocks};

#[test]
fn heads_become_blocks_and_back() {
    for [n, heads, head_dim] in [[0, 2, 3], [1, 1, 5], [3, 2, 4], [400, 7, 16]] {
        let x: Vec<f32> = (0..n * heads * 3 * head_dim).map(|i| i as f32).collect();
        let (mut blocks, mut back) = (vec![-1.0; x.len()], vec![-1.0; x.len()]);
        blocks_of_heads(&x, [heads, head_dim], &mut blocks);
        heads_of_blocks(&blocks, [heads, head_dim], &mut back);
        assert_eq!(back, x);
        let at = |t: usize, head: usize, part: usize, i: usize| x[((t * heads + head) * 3 + part) * head_dim + i];
        for t in 0..n {
            for (part, head) in (0..3).flat_map(|part| (0..heads).map(move |head| (part, head))) {
                let found = &blocks[((t * 3 + part) * heads + head) * head_dim..][..head_dim];
                assert!((0..head_dim).all(|i| found[i] == at(t, head, part, i)), "{t} {part} {head}");
            }
        }
    }
}
