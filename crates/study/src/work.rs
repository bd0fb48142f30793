//! The order of work as plain data, made before anything runs: pieces named by the content they depend on.
//!
//! A piece says what must be done before it, and nothing about who does it: any executor that keeps to
//! [`Piece::depends_on`] yields the same run folder.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use serde::Serialize;
use tunebench_spec::Study;

use crate::error::{Locate, StudyError};

/// What a piece of work does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PieceKind {
    /// Trains an arm.
    Train,
    /// Lets a model answer the evaluation items.
    Answer,
    /// Has its answers judged.
    Judge,
}

/// One piece of work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Piece {
    /// SHA-256 of all that its result depends on. Pieces of equal content have equal names: the second finds the result
    /// of the first.
    pub id: String,
    pub kind: PieceKind,
    /// The arm or base model that it is done for.
    pub model: String,
    /// Indices of the pieces that must be done before, all smaller than its own.
    pub depends_on: Vec<usize>,
}

/// All work of a run, in an order in which it can be done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WorkGraph {
    pub pieces: Vec<Piece>,
}

/// The names of the work on one model: of what it needs, and nothing for what it does not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WorkIds {
    pub train: Option<String>,
    pub answer: Option<String>,
    pub judge: Option<String>,
}

impl WorkGraph {
    /// The work on the models in `ids`: first base models, in the order of the evaluation, then arms, in that of the study.
    pub fn new(study: &Study, ids: &BTreeMap<String, WorkIds>) -> Self {
        let mut graph = Self::default();
        let bases = study.eval.iter().flat_map(|eval| &eval.bases).map(|id| (id.as_str(), None));
        let arms = study.arms.iter().map(|arm| (arm.name.as_str(), Some(arm.base.as_str())));
        for (model, base) in bases.chain(arms) {
            let Some(WorkIds { train, answer, judge }) = ids.get(model) else { continue };
            // An arm that starts from another needs that one's training; its answers and judgements concern nobody.
            let mut before = base.and_then(|base| graph.find(PieceKind::Train, base));
            for (kind, id) in [(PieceKind::Train, train), (PieceKind::Answer, answer), (PieceKind::Judge, judge)] {
                let Some(id) = id else { continue };
                before = Some(graph.add(id, kind, model, before));
            }
        }
        graph
    }

    /// The indices of the pieces of one model after the other.
    pub fn by_model(&self) -> impl Iterator<Item = Range<usize>> {
        let mut end = 0;
        self.pieces.chunk_by(|a, b| a.model == b.model).map(move |pieces| {
            let start = end;
            end += pieces.len();
            start..end
        })
    }

    fn find(&self, kind: PieceKind, model: &str) -> Option<usize> {
        self.pieces.iter().position(|piece| piece.kind == kind && piece.model == model)
    }

    fn add(&mut self, id: &str, kind: PieceKind, model: &str, before: Option<usize>) -> usize {
        // Two at once would do the same work twice, in the same files.
        let twin = self.pieces.iter().rposition(|piece| piece.id == id);
        let depends_on: BTreeSet<usize> = before.into_iter().chain(twin).collect();
        let depends_on = depends_on.into_iter().collect();
        self.pieces.push(Piece { id: id.to_owned(), kind, model: model.to_owned(), depends_on });
        self.pieces.len() - 1
    }
}

/// The names of the arms to run: those in `only`, and what they start from; all when it is empty.
///
/// # Errors
/// When there is no such arm.
pub fn chosen_arms<'a>(study: &'a Study, only: &[String]) -> Result<BTreeSet<&'a str>, StudyError> {
    if only.is_empty() {
        return Ok(study.arms.iter().map(|a| a.name.as_str()).collect());
    }
    let mut chosen = BTreeSet::new();
    for name in only {
        let mut arm = known_arm(study, name).at("only")?;
        while chosen.insert(arm.name.as_str()) {
            let Some(parent) = study.arm(&arm.base) else { break };
            arm = parent;
        }
    }
    Ok(chosen)
}

/// The arm of this name.
///
/// # Errors
/// When there is none; the message lists those there are.
pub fn known_arm<'a>(study: &'a Study, name: &str) -> Result<&'a tunebench_spec::study::Arm, StudyError> {
    study.arm(name).ok_or_else(|| {
        let known: Vec<&str> = study.arms.iter().map(|a| a.name.as_str()).collect();
        StudyError::UnknownArm { name: name.to_owned(), known: known.join(", ") }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `b` starts from `a`, `c` from `b`; `d` and `twin` from the model, `twin` with the content of `d`.
    const STUDY: &str = r#"
        [study]
        name = "chain"
        [[model]]
        id = "m"
        source = "m"
        [[dataset]]
        id = "x"
        plugin = "belle"
        [[arm]]
        name = "a"
        base = "m"
        tuner = "ft"
        dataset = "x"
        evaluate = false
        [[arm]]
        name = "b"
        base = "a"
        tuner = "ft"
        dataset = "x"
        [[arm]]
        name = "c"
        base = "b"
        tuner = "ft"
        dataset = "x"
        [[arm]]
        name = "d"
        base = "m"
        tuner = "ft"
        dataset = "x"
        [[arm]]
        name = "twin"
        base = "m"
        tuner = "ft"
        dataset = "x"
        [eval]
        items = "x"
        judge = "reference"
        bases = ["m"]
    "#;

    /// The work on these models, as a run with this `only` would name it.
    fn graph(only: &[&str]) -> WorkGraph {
        let study = Study::from_toml(STUDY).unwrap();
        let only: Vec<String> = only.iter().map(|name| (*name).to_owned()).collect();
        let chosen = chosen_arms(&study, &only).unwrap();
        let mut ids = BTreeMap::new();
        if only.is_empty() {
            let (answer, judge) = (Some("answer m".into()), Some("judge m".into()));
            ids.insert("m".to_owned(), WorkIds { train: None, answer, judge });
        }
        for arm in study.arms.iter().filter(|arm| chosen.contains(arm.name.as_str())) {
            let content = if arm.name == "twin" { "d" } else { &arm.name };
            let id = |kind: &str| Some(format!("{kind} {content}"));
            let evaluated = |kind| id(kind).filter(|_| arm.evaluate);
            let work = WorkIds { train: id("train"), answer: evaluated("answer"), judge: evaluated("judge") };
            ids.insert(arm.name.clone(), work);
        }
        WorkGraph::new(&study, &ids)
    }

    /// Each piece as `model: id <- what it depends on`.
    fn shown(graph: &WorkGraph) -> Vec<String> {
        let piece = |index: &usize| format!("{} of {}", graph.pieces[*index].id, graph.pieces[*index].model);
        let line = |p: &Piece| {
            let before: Vec<String> = p.depends_on.iter().map(piece).collect();
            format!("{}: {} <- {}", p.model, p.id, before.join(", "))
        };
        graph.pieces.iter().map(|p| line(p).trim_end_matches([' ', '<', '-']).to_owned()).collect()
    }

    #[test]
    fn each_piece_depends_on_what_it_reads() {
        assert_eq!(
            shown(&graph(&[])),
            [
                "m: answer m",
                "m: judge m <- answer m of m",
                "a: train a",
                "b: train b <- train a of a",
                "b: answer b <- train b of b",
                "b: judge b <- answer b of b",
                "c: train c <- train b of b",
                "c: answer c <- train c of c",
                "c: judge c <- answer c of c",
                "d: train d",
                "d: answer d <- train d of d",
                "d: judge d <- answer d of d",
                // Of the same content, so it finds what the other did.
                "twin: train d <- train d of d",
                "twin: answer d <- answer d of d, train d of twin",
                "twin: judge d <- judge d of d, answer d of twin",
            ]
        );
    }

    #[test]
    fn the_order_is_one_in_which_it_can_be_done() {
        for only in [&[][..], &["c"], &["d", "b"], &["twin"]] {
            for (index, piece) in graph(only).pieces.iter().enumerate() {
                assert!(piece.depends_on.iter().all(|before| *before < index), "{piece:?}");
            }
        }
    }

    #[test]
    fn only_some_arms_take_along_what_they_start_from() {
        let models = |only: &[&str]| -> Vec<String> {
            let graph = graph(only);
            graph.by_model().map(|pieces| format!("{pieces:?} {}", graph.pieces[pieces.start].model)).collect()
        };
        assert_eq!(models(&["b"]), ["0..1 a", "1..4 b"]);
        assert_eq!(models(&["d", "c"]), ["0..1 a", "1..4 b", "4..7 c", "7..10 d"]);
        assert_eq!(models(&[]), ["0..2 m", "2..3 a", "3..6 b", "6..9 c", "9..12 d", "12..15 twin"]);

        let study = Study::from_toml(STUDY).unwrap();
        let error = chosen_arms(&study, &["x".to_owned()]).unwrap_err().to_string();
        assert_eq!(error, "only: no arm `x`; there are: a, b, c, d, twin");
    }
}
