//! The order of work as plain data, made before anything runs: pieces named by the content they depend on.
//!
//! A piece says what must be done before it, and nothing about who does it: any executor that keeps to
//! [`Piece::depends_on`] yields the same run folder.

use std::collections::BTreeSet;
use std::ops::Range;

use serde::Serialize;
use tunebench_spec::Study;

use crate::error::{Locate, StudyError};
use crate::model_key::ModelKey;

/// What a piece of work does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PieceKind {
    /// Trains an arm.
    Train,
    /// Measures a model's loss on held-out rows and on general language, and that of the base model it comes from.
    Measure,
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
    /// What it is done for.
    pub model: ModelKey,
    /// Of a training that is compared with others on the way: the step after which it stops for now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// Optimizer steps of the whole training, or items to answer or judge.
    pub total: Option<u64>,
    /// Indices of the pieces that must be done before, all smaller than its own.
    pub depends_on: Vec<usize>,
}

/// All work of a round, in an order in which it can be done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct WorkGraph {
    pub pieces: Vec<Piece>,
}

/// The work on one model: the names of what it needs, and nothing for what it does not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelWork {
    pub model: ModelKey,
    /// The training whose result it starts from.
    pub parent: Option<ModelKey>,
    pub train: Option<String>,
    pub until: Option<u64>,
    /// Of the whole training.
    pub steps: u64,
    pub measure: Option<String>,
    pub answer: Option<String>,
    pub judge: Option<String>,
    /// To be answered and judged.
    pub items: u64,
}

impl ModelWork {
    /// None yet.
    pub fn nothing(model: ModelKey) -> Self {
        let (parent, train, until, measure, answer, judge) = (None, None, None, None, None, None);
        Self { model, parent, train, until, steps: 0, measure, answer, judge, items: 0 }
    }
}

impl WorkGraph {
    /// The work on these models, in their order, a parent before what starts from it.
    pub fn new(models: &[ModelWork]) -> Self {
        let mut graph = Self::default();
        for work in models {
            // An arm that starts from another needs that one's training; what is measured of it concerns nobody.
            let parent = work.parent.as_ref().and_then(|parent| graph.find(PieceKind::Train, parent));
            let trained = graph.add(work, PieceKind::Train, &work.train, parent).or(parent);
            graph.add(work, PieceKind::Measure, &work.measure, trained);
            let answered = graph.add(work, PieceKind::Answer, &work.answer, trained);
            graph.add(work, PieceKind::Judge, &work.judge, answered);
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

    fn find(&self, kind: PieceKind, model: &ModelKey) -> Option<usize> {
        self.pieces.iter().position(|piece| piece.kind == kind && piece.model == *model)
    }

    fn add(&mut self, work: &ModelWork, kind: PieceKind, id: &Option<String>, before: Option<usize>) -> Option<usize> {
        let id = id.as_ref()?;
        // Two at once would do the same work twice, in the same files.
        let twin = self.pieces.iter().rposition(|piece| piece.id == *id);
        let depends_on: BTreeSet<usize> = before.into_iter().chain(twin).collect();
        let (depends_on, model) = (depends_on.into_iter().collect(), work.model.clone());
        let until = work.until.filter(|_| kind == PieceKind::Train);
        let total = match kind {
            PieceKind::Train => Some(work.steps),
            PieceKind::Answer | PieceKind::Judge => Some(work.items),
            PieceKind::Measure => None,
        };
        self.pieces.push(Piece { id: id.clone(), kind, model, until, total, depends_on });
        Some(self.pieces.len() - 1)
    }
}

/// The names of the arms to run: those in `only`, and what they start from; all when it is empty.
///
/// # Errors
/// When there is no such arm.
pub fn chosen_arms<'a>(study: &'a Study, only: &[String]) -> Result<BTreeSet<&'a str>, StudyError> {
    if only.is_empty() {
        return Ok(study.arm_names().into_iter().collect());
    }
    let mut chosen = BTreeSet::new();
    for name in only {
        // Another form of an arm comes of that arm's training.
        let variant = study.variant(name);
        chosen.extend(variant.map(|variant| variant.name.as_str()));
        let mut arm = known_arm(study, variant.map_or(name, |variant| &variant.of)).at("only")?;
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
        let known = study.arm_names();
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
    "#;

    /// The work on these models, as a run with this `only` would name it; the base model `m` answers too.
    fn graph(only: &[&str]) -> WorkGraph {
        let study = Study::from_toml(STUDY).unwrap();
        let only: Vec<String> = only.iter().map(|name| (*name).to_owned()).collect();
        let chosen = chosen_arms(&study, &only).unwrap();
        let mut models = Vec::new();
        if only.is_empty() {
            let (answer, judge) = (Some("answer m".into()), Some("judge m".into()));
            models.push(ModelWork { answer, judge, ..ModelWork::nothing(ModelKey::single("m", 0)) });
        }
        for arm in study.arms.iter().filter(|arm| chosen.contains(arm.name.as_str())) {
            let content = if arm.name == "twin" { "d" } else { &arm.name };
            let id = |kind: &str| Some(format!("{kind} {content}"));
            let evaluated = |kind| id(kind).filter(|_| arm.evaluate);
            models.push(ModelWork {
                parent: study.arm(&arm.base).map(|parent| ModelKey::single(&parent.name, 0)),
                train: id("train"),
                measure: id("measure").filter(|_| arm.name == "b"),
                answer: evaluated("answer"),
                judge: evaluated("judge"),
                ..ModelWork::nothing(ModelKey::single(&arm.name, 0))
            });
        }
        WorkGraph::new(&models)
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
                "b: measure b <- train b of b",
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
        assert_eq!(models(&["b"]), ["0..1 a", "1..5 b"]);
        assert_eq!(models(&["d", "c"]), ["0..1 a", "1..5 b", "5..8 c", "8..11 d"]);
        assert_eq!(models(&[]), ["0..2 m", "2..3 a", "3..7 b", "7..10 c", "10..13 d", "13..16 twin"]);

        let study = Study::from_toml(STUDY).unwrap();
        let error = chosen_arms(&study, &["x".to_owned()]).unwrap_err().to_string();
        assert_eq!(error, "only: no arm `x`; there are: a, b, c, d, twin");
    }

    #[test]
    fn trainings_of_an_arm_are_models_of_their_own() {
        let key = |arm: &str, number: u32| ModelKey { number, of: 2, seed: number.into(), ..ModelKey::single(arm, 0) };
        let work = |arm: &str, number: u32, parent: Option<&str>| ModelWork {
            parent: parent.map(|parent| key(parent, number)),
            train: Some(format!("train {arm}{number}")),
            until: (arm == "a").then_some(5),
            ..ModelWork::nothing(key(arm, number))
        };
        let graph =
            WorkGraph::new(&[work("a", 1, None), work("a", 2, None), work("b", 1, Some("a")), work("b", 2, Some("a"))]);
        assert_eq!(
            shown(&graph),
            [
                "a (seed 1 of 2): train a1",
                "a (seed 2 of 2): train a2",
                "b (seed 1 of 2): train b1 <- train a1 of a (seed 1 of 2)",
                "b (seed 2 of 2): train b2 <- train a2 of a (seed 2 of 2)",
            ]
        );
        assert_eq!(graph.pieces.iter().map(|p| p.until).collect::<Vec<_>>(), [Some(5), Some(5), None, None]);
    }
}
