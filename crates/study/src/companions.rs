//! Which other models a model may answer beside, in a round's order of work.

use crate::model_key::ModelKey;
use crate::work::{Piece, PieceKind, WorkGraph};

/// Most models that answer in one batch: each has its adapter in memory.
pub const MOST: usize = 16;

/// An answering waits for others where its items are fewer than so many batches: of more, the last ones are few among all.
pub const BATCHES: usize = 4;

/// And as long as all that is to be trained before takes no longer than this, each going by the model's own training: who
/// watches does not wait much longer for the first judgements than without.
pub const MOST_SECONDS: f64 = 900.0;

/// The answerings of others that can be made in one batch with one, as indices of pieces.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Companions {
    /// All that they need is there.
    pub ready: Vec<usize>,
    /// Something is to be done before.
    pub later: Vec<usize>,
}

impl Companions {
    /// Of the answering `index`, which is not among those that are done, as its companions are not; `is_companion` says who
    /// may be one.
    pub fn of(graph: &WorkGraph, index: usize, is_done: &[bool], is_companion: impl Fn(&ModelKey) -> bool) -> Self {
        let mut found = Self::default();
        for (other, piece) in graph.pieces.iter().enumerate() {
            if other == index || piece.kind != PieceKind::Answer || is_done[other] || !is_companion(&piece.model) {
                continue;
            }
            // Of two with the same content the second only finds what the first did.
            if is_second(graph, piece) || piece.id == graph.pieces[index].id {
                continue;
            }
            match piece.depends_on.iter().all(|before| is_done[*before]) {
                true => found.ready.push(other),
                false => found.later.push(other),
            }
        }
        found
    }
}

fn is_second(graph: &WorkGraph, piece: &Piece) -> bool {
    piece.depends_on.iter().any(|before| graph.pieces[*before].id == piece.id)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::work::ModelWork;

    #[test]
    fn companions_are_those_that_are_not_answered_and_answer_for_themselves() {
        let work = |arm: &str, content: &str| ModelWork {
            train: Some(format!("train {content}")),
            answer: Some(format!("answer {content}")),
            ..ModelWork::nothing(ModelKey::single(arm, 0))
        };
        let base = ModelWork { train: None, ..work("base", "base") };
        let all = [base, work("a", "a"), work("b", "b"), work("twin", "a"), work("other", "other"), work("c", "c")];
        let graph = WorkGraph::new(&all);
        let at = |kind, arm: &str| {
            graph.pieces.iter().position(|piece| piece.kind == kind && piece.model.arm == arm).unwrap()
        };
        let mut is_done = vec![false; graph.pieces.len()];
        let of = |is_done: &[bool], arm| {
            let found = Companions::of(&graph, at(PieceKind::Answer, arm), is_done, |model| model.arm != "other");
            let names = |of: &[usize]| of.iter().map(|i| graph.pieces[*i].model.arm.clone()).collect::<Vec<_>>();
            (names(&found.ready).join(" "), names(&found.later).join(" "))
        };
        is_done[at(PieceKind::Train, "a")] = true;
        assert_eq!(of(&is_done, "a"), ("base".into(), "b c".into()));
        is_done[at(PieceKind::Train, "c")] = true;
        is_done[at(PieceKind::Answer, "base")] = true;
        assert_eq!(of(&is_done, "a"), ("c".into(), "b".into()));
        assert_eq!(of(&is_done, "c"), ("a".into(), "b".into()));
        is_done[at(PieceKind::Train, "b")] = true;
        assert_eq!(of(&is_done, "b"), ("a c".into(), String::new()));
    }
}
