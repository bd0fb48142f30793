//! Models that answer in one batch, as they come to it in a round: who waits for whom, and which of them this process takes.

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
        Companions::of(self.graph, index, self.is_done, is_one)
    }

    /// Whether a piece is left for now because models that are not looked at yet, or are to be trained, can answer beside it,
    /// and that gains something.
    ///
    /// # Errors
    /// When what earlier work left cannot be read.
    pub fn is_awaited_by(&self, index: usize) -> Result<bool, StudyError> {
        let (piece, later) = (&self.graph.pieces[index], self.companions(index).later);
        if later.is_empty() || self.executor.batches()? >= BATCHES || self.executor.is_done(piece)? {
            return Ok(false);
        }
        // What is trained before the last of them, for them or for others.
        let mut untrained = 0;
        for (before, is_done) in self.graph.pieces.iter().zip(self.is_done).take(later.last().map_or(0, |last| *last)) {
            let is_open = before.kind == PieceKind::Train && !is_done && !self.failed.contains(&before.model);
            untrained += u32::from(is_open && !self.executor.is_done(before)?);
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
        let (root, mut together, mut claims) = (self.executor.folder().root(), vec![index], vec![]);
        for other in self.companions(index).ready {
            let piece = &self.graph.pieces[other];
            if together.len() == MOST || failures::noted(root, &piece.id)?.is_some() {
                continue;
            }
            if let Taken::Mine(claim) = self.worker.take(piece, &piece.id)?
                && !self.executor.is_done(piece)?
            {
                together.push(other);
                claims.push(claim);
            }
        }
        if claims.is_empty() {
            return Ok(());
        }
        together.sort_unstable();
        let pieces: Vec<&Piece> = together.iter().map(|of| &self.graph.pieces[*of]).collect();
        // How it stands with the piece itself is told by whoever does it.
        let others = together.iter().filter(|of| **of != index).map(|of| &self.graph.pieces[*of]);
        others.clone().try_for_each(|piece| self.progress.piece(piece, PieceState::Running, None))?;
        let claims: Vec<&Claim> = claims.iter().chain([claim]).collect();
        let mut claimed = ClaimedTogether { observer: &mut *observer, claims: &claims };
        let done = self.executor.answer_together(&pieces, &mut claimed);
        let state = if done.is_ok() { PieceState::Done } else { PieceState::Waiting };
        others.clone().try_for_each(|piece| self.progress.piece(piece, state, None))?;
        match done {
            Err(_) if observer.stop() != Stop::No => Err(StudyError::Stopped),
            // A claim was lost: whoever has it now goes on with that one, and who is left with theirs.
            Ok(()) | Err(StudyError::Stopped) => Ok(()),
            Err(error) => {
                observer.on_event(&Event::AnsweringApart { error: &error });
                Ok(())
            }
        }
    }
}
