//! Frames, joined from finished pieces of work, whichever process did them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use tunebench_spec::Study;

use crate::error::StudyError;
use crate::executor::Executor;
use crate::frames::RunFrames;
use crate::judges::OpenJudge;
use crate::model_key::ModelKey;
use crate::observer::Observer;
use crate::together;
use crate::work::{Piece, PieceKind};

/// What frames are joined by.
pub struct Joining<'a> {
    pub out: &'a Path,
    pub study: &'a Study,
    /// Names of the judges that judge a model's answers as soon as they are there.
    pub judges: BTreeSet<String>,
    /// All models that are known, in the order of the frames, and what each is named by.
    pub order: Vec<ModelKey>,
    pub identities: BTreeMap<ModelKey, String>,
}

impl Joining<'_> {
    /// Puts the rows of a model, whose pieces are done, into the frames; why not all of its answers could be judged, if so.
    ///
    /// # Errors
    /// When what the pieces left cannot be read, or a frame cannot be written.
    pub fn rows(
        &self,
        executor: &Executor<'_>,
        pieces: &[Piece],
        observer: &mut dyn Observer,
    ) -> Result<Option<StudyError>, StudyError> {
        let Some(first) = pieces.first() else { return Ok(None) };
        let rows = executor.rows(pieces)?;
        let _lock = executor.folder().frames()?;
        let mut frames = RunFrames::open(self.out, observer);
        let is_other = frames.keep(&self.order, &self.identities, observer);
        if frames.replace(&first.model, &self.judges, rows) || is_other {
            frames.write(self.out)?;
        }
        for piece in pieces.iter().filter(|piece| piece.kind == PieceKind::Judge) {
            if let Some(reason) = executor.judgements(piece)?.and_then(|said| said.stopped) {
                return Ok(Some(StudyError::JudgingStopped { model: first.model.to_string(), reason }));
            }
        }
        Ok(None)
    }

    /// Whether a judge waits for all answers.
    pub fn has_waiting_judges(&self, executor: &Executor<'_>) -> bool {
        executor.evaluation().is_ok_and(|evaluation| evaluation.judges().iter().any(OpenJudge::waits))
    }

    /// Has the judges that wait for all answers judge those that are in the frames; why not all could be judged.
    ///
    /// # Errors
    /// [`StudyError::Stopped`], without an evaluation, and when a frame cannot be written.
    pub fn judge_together(
        &self,
        executor: &Executor<'_>,
        observer: &mut dyn Observer,
    ) -> Result<Vec<StudyError>, StudyError> {
        let mut failures = Vec::new();
        let evaluation = executor.evaluation()?;
        executor.let_base_go();
        for judge in evaluation.judges().iter().filter(|judge| judge.waits()) {
            let mut frames = {
                let _lock = executor.folder().frames()?;
                RunFrames::open(self.out, observer)
            };
            frames.keep(&self.order, &self.identities, observer);
            let judging = evaluation.by(judge);
            let found = together::judge_together(&judging, self.study, &mut frames, executor.folder(), observer);
            let _lock = executor.folder().frames()?;
            frames.write_judgements(self.out)?;
            match found {
                Ok(stopped) => failures.extend(
                    stopped.map(|reason| StudyError::JudgingStopped { model: judge.name().to_owned(), reason }),
                ),
                Err(StudyError::Stopped) => return Err(StudyError::Stopped),
                Err(error) => failures.push(error),
            }
        }
        Ok(failures)
    }
}
