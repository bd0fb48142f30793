//! Models that answer in one batch, as they come to it in a round: who waits for whom, and which of them this process takes.

use std::cell::RefCell;
use std::collections::BTreeSet;

use tunebench_files::{Claim, Taken};
use tunebench_spec::progress::PieceState;

use crate::companions::{BATCHES, Companions, MOST, MOST_SECONDS};
use crate::error::StudyError;
use crate::executor::Executor;
use crate::failures;
use crate::model_key::ModelKey;
use crate::observer::{Event, Observer, Stop};
use crate::progress_file::ProgressFile;
use crate::work::{Piece, PieceKind, WorkGraph};
use crate::workers::{ClaimedTogether, Part, Worker};

/// How far a round is, and who does its work.
pub struct Company<'r, 'a> {
    pub graph: &'r WorkGraph,
    pub is_done: &'r [bool],
    pub executor: &'r Executor<'a>,
    pub worker: &'r Worker,
    pub progress: &'r ProgressFile,
    /// The models whose work failed.
    pub failed: &'r BTreeSet<ModelKey>,
    pub part: Part,
    /// Answerings of a batch that did not work: each is made by itself.
    pub apart: &'r RefCell<BTreeSet<String>>,
}

impl Company<'_, '_> {
    /// The answerings that can be made in one batch with a piece, if it is one.
    fn companions(&self, index: usize) -> Companions {
        let piece = &self.graph.pieces[index];
        // Who is to do the work on so many models does not begin with others.
        let is_counted = matches!(self.part, Part::Worker { models: Some(_), .. });
        if piece.kind != PieceKind::Answer || is_counted {
            return Companions::default();
        }
        let is_one = |other: &ModelKey| !self.failed.contains(other) && self.executor.answers_with(&piece.model, other);
        let mut found = Companions::of(self.graph, index, self.is_done, is_one);
        let apart = self.apart.borrow();
        let is_together = |of: &usize| !apart.contains(&self.graph.pieces[*of].id);
        if !is_together(&index) {
            return Companions::default();
        }
        found.ready.retain(is_together);
        found.later.retain(is_together);
        found
    }

    /// Whether a piece is left for now because models that are not looked at yet, or are to be trained, can answer beside it,
    /// and that gains something.
    ///
    /// # Errors
    /// When what earlier work left cannot be read.
    pub fn is_awaited_by(&self, index: usize) -> Result<bool, StudyError> {
        let (piece, later) = (&self.graph.pieces[index], self.companions(index).later);
        if later.is_empty() || !self.executor.has_fewer_items_than(BATCHES)? || self.executor.is_done(piece)? {
            return Ok(false);
        }
        // What is trained before the last of them, for them or for others.
        let mut untrained = 0;
        for (before, is_done) in self.graph.pieces.iter().zip(self.is_done).take(later.last().map_or(0, |last| *last)) {
            let is_open = before.kind == PieceKind::Train && !is_done && !self.failed.contains(&before.model);
            untrained += u32::from(is_open && !matches!(self.executor.is_done(before), Ok(true)));
        }
        let each = self.executor.train_seconds(&piece.model)?;
        Ok(untrained == 0 || each.is_some_and(|each| each * f64::from(untrained) <= MOST_SECONDS))
    }

    /// Has the model of a piece, which this process has by `claim`, answer in one batch with others that nobody else has begun,
    /// where there are such. What of it does not work is told, and left for each to do by itself.
    ///
    /// # Errors
    /// [`StudyError::Stopped`], and what hinders all work.
    pub fn answer(&self, index: usize, claim: &Claim, observer: &mut dyn Observer) -> Result<(), StudyError> {
        let (root, mut pieces) = (self.executor.folder().root(), vec![&self.graph.pieces[index]]);
        let mut others: Vec<(&Piece, Claim)> = Vec::new();
        for other in self.companions(index).ready {
            let piece = &self.graph.pieces[other];
            if pieces.len() == MOST || failures::noted(root, &piece.id)?.is_some() {
                continue;
            }
            pieces.push(piece);
            // What is wrong with another model is told where that is worked on.
            if matches!(self.executor.have_room_together(&pieces), Ok(true))
                && let Taken::Mine(claim) = self.worker.take(piece, &piece.id)?
                && matches!(self.executor.is_done(piece), Ok(false))
            {
                others.push((piece, claim));
            } else {
                pieces.pop();
            }
        }
        if others.is_empty() {
            return Ok(());
        }
        // Whoever comes to it first, the order is that of the work.
        pieces.sort_by_key(|piece| self.graph.pieces.iter().position(|other| std::ptr::eq(other, *piece)));
        // How it stands with the piece itself is told by whoever does it, and with one whose claim was lost by who has it.
        let tell = |state: PieceState| -> Result<(), StudyError> {
            let own = others.iter().filter(|(_, claim)| !claim.is_lost());
            own.map(|(piece, _)| *piece).try_for_each(|piece| self.progress.piece(piece, state, None))
        };
        tell(PieceState::Running)?;
        let claims: Vec<&Claim> = others.iter().map(|(_, claim)| claim).chain([claim]).collect();
        let mut claimed = ClaimedTogether { observer: &mut *observer, claims: &claims };
        let done = self.executor.answer_together(&pieces, &mut claimed);
        tell(if done.is_ok() { PieceState::Done } else { PieceState::Waiting })?;
        match done {
            Err(_) if observer.stop() != Stop::No => Err(StudyError::Stopped),
            // A claim was lost: whoever has it now goes on with that one, and who is left with theirs.
            Ok(()) | Err(StudyError::Stopped) => Ok(()),
            Err(error) => {
                self.apart.borrow_mut().extend(pieces.iter().map(|piece| piece.id.clone()));
                observer.on_event(&Event::AnsweringApart { error: &error });
                Ok(())
            }
        }
    }
}
