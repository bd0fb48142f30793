//! Compact letters: arms that share a letter cannot be told apart.
//!
//! Insert and absorb (Piepho 2004, "An algorithm for a letter-based representation of all-pairwise comparisons", Journal of
//! Computational and Graphical Statistics 13): all arms begin in one group; each pair that differs splits every group
//! that holds both into one without the first and one without the second; groups inside another are dropped.

/// Groups of arms that cannot be told apart, and each arm's letters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letters {
    /// Arms of each group, best first; the group of the best arm comes first.
    pub groups: Vec<Vec<usize>>,
    /// For each arm, in the order given: the letters of its groups, such as `ab`.
    pub letters: Vec<String>,
}

/// Letters of arms numbered from 0, of which `order` lists each once, best first; `differ` says whether two were told apart.
pub fn letters(order: &[usize], differ: impl Fn(usize, usize) -> bool) -> Letters {
    let ranks = order.len();
    let mut groups: Vec<Vec<bool>> = if ranks == 0 { Vec::new() } else { vec![vec![true; ranks]] };
    for first in 0..ranks {
        for second in first + 1..ranks {
            if differ(order[first], order[second]) {
                groups = absorb(split(groups, first, second));
            }
        }
    }
    // A group comes before another when its best member is better, then its second best, and so on.
    groups.sort_by(|a, b| b.cmp(a));
    let members =
        |group: &Vec<bool>| order.iter().zip(group).filter(|(_, is_in)| **is_in).map(|(arm, _)| *arm).collect();
    let groups: Vec<Vec<usize>> = groups.iter().map(members).collect();
    let mut letters = vec![String::new(); order.iter().map(|arm| arm + 1).max().unwrap_or(0)];
    for (i, group) in groups.iter().enumerate() {
        for arm in group {
            letters[*arm].push_str(&letter(i));
        }
    }
    Letters { groups, letters }
}

fn split(groups: Vec<Vec<bool>>, first: usize, second: usize) -> Vec<Vec<bool>> {
    let without = |group: &[bool], rank: usize| {
        let mut group = group.to_vec();
        group[rank] = false;
        group
    };
    let pieces = groups.into_iter().flat_map(|group| match group[first] && group[second] {
        true => vec![without(&group, first), without(&group, second)],
        false => vec![group],
    });
    pieces.collect()
}

fn absorb(groups: Vec<Vec<bool>>) -> Vec<Vec<bool>> {
    let inside = |a: &[bool], b: &[bool]| a.iter().zip(b).all(|(a, b)| !a || *b);
    let mut kept: Vec<Vec<bool>> = Vec::new();
    for group in groups {
        if kept.iter().any(|other| inside(&group, other)) {
            continue;
        }
        kept.retain(|other| !inside(other, &group));
        kept.push(group);
    }
    kept
}

/// a to z, A to Z, then numbers in brackets.
fn letter(i: usize) -> String {
    match u8::try_from(i) {
        Ok(i @ 0..26) => char::from(b'a' + i).to_string(),
        Ok(i @ 26..52) => char::from(b'A' + i - 26).to_string(),
        _ => format!("[{}]", i + 1),
    }
}
