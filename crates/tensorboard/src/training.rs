//! A training's log as event files: which tags, in which order, at what time, and in which file of a folder.

use std::fs;
use std::path::{Path, PathBuf};

use tunebench_files as files;
use tunebench_spec::StepLog;

use crate::error::Error;
use crate::event;
use crate::event_file::EventFile;

/// A loss on data that is not learned from.
#[derive(Clone, Debug, PartialEq)]
pub struct Loss {
    /// The optimizer steps done before it was measured.
    pub step: u64,
    /// Of which data. The held-out rows (`held_out`, `eval` or no name) appear as `eval/loss`, any other set as `eval_SET/loss`.
    pub set: String,
    /// Nats per label token.
    pub loss: f64,
    /// Bits per byte of the text, where that is known.
    pub bits_per_byte: Option<f64>,
    /// How long it took to measure.
    pub seconds: f64,
}

/// What the rows held out of the training data may be called as a set.
const HELD_OUT: [&str; 4] = ["", "eval", "held_out", "held-out"];

/// Writes a training's whole log into a folder, which is made if it is missing. Losses come after the step that they
/// were measured after. What is there already is kept or replaced as [`TrainingEvents::begin`] says.
///
/// # Errors
/// [`Error::Io`] and [`Error::Files`].
pub fn write_training(
    folder: &Path,
    start_unix_seconds: f64,
    steps: &[StepLog],
    losses: &[Loss],
    text: &[(String, String)],
) -> Result<(), Error> {
    TrainingEvents::begin(folder, start_unix_seconds, steps, losses, text).map(drop)
}

/// The event file of a training that goes on.
pub struct TrainingEvents {
    file: EventFile,
    clock: Clock,
}

impl TrainingEvents {
    /// Writes what is logged so far, and goes on from there.
    ///
    /// What a TensorBoard may have read never changes: if the folder's last file is the beginning of what it should be,
    /// the rest is appended; else everything is written under a later name. The file before it stays, as TensorBoard
    /// goes from the one to the other only where both are, and takes the later one's word; those before that one are
    /// removed. Files of other writers are left alone.
    ///
    /// # Errors
    /// [`Error::Io`] and [`Error::Files`].
    pub fn begin(
        folder: &Path,
        start_unix_seconds: f64,
        steps: &[StepLog],
        losses: &[Loss],
        text: &[(String, String)],
    ) -> Result<Self, Error> {
        files::create_folder(folder)?;
        let mut clock = Clock { start_unix_seconds, elapsed_seconds: 0.0 };
        let records = all_records(&mut clock, steps, losses, text);
        let file = place(folder, start_unix_seconds, &records)?;
        Ok(Self { file, clock })
    }

    /// Where the events are.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// Appends an optimizer step.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn step(&mut self, step: &StepLog) -> Result<(), Error> {
        self.file.append(&step_record(&mut self.clock, step))
    }

    /// Appends a loss, measured after the step that was appended last.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn loss(&mut self, loss: &Loss) -> Result<(), Error> {
        self.file.append(&loss_record(&mut self.clock, loss))
    }
}

/// Tells the time of a record: when the training began, and the seconds that its log accounts for.
struct Clock {
    start_unix_seconds: f64,
    elapsed_seconds: f64,
}

impl Clock {
    /// The time after another so many seconds. What is no length of time does not move the clock.
    fn after(&mut self, seconds: f64) -> f64 {
        if seconds.is_finite() && seconds > 0.0 {
            self.elapsed_seconds += seconds;
        }
        self.start_unix_seconds + self.elapsed_seconds
    }
}

fn all_records(clock: &mut Clock, steps: &[StepLog], losses: &[Loss], text: &[(String, String)]) -> Vec<u8> {
    let mut records = event::header(clock.start_unix_seconds);
    records.extend(event::start(clock.start_unix_seconds));
    for (tag, text) in text {
        records.extend(event::text(clock.start_unix_seconds, tag, text));
    }
    let mut losses: Vec<&Loss> = losses.iter().collect();
    losses.sort_by_key(|loss| loss.step);
    let mut losses = losses.into_iter().peekable();
    for step in steps {
        while let Some(loss) = losses.next_if(|loss| loss.step < step.step) {
            records.extend(loss_record(clock, loss));
        }
        records.extend(step_record(clock, step));
    }
    for loss in losses {
        records.extend(loss_record(clock, loss));
    }
    records
}

fn step_record(clock: &mut Clock, step: &StepLog) -> Vec<u8> {
    let wall_time = clock.after(step.seconds);
    let speed = (step.seconds > 0.0).then(|| ("train/tokens_per_second", step.tokens as f64 / step.seconds));
    let values = [
        ("train/loss", step.loss),
        ("train/grad_norm", step.grad_norm),
        ("train/learning_rate", step.learning_rate),
        ("train/epoch", step.epoch),
    ];
    event::scalars(wall_time, step.step, values.into_iter().chain(speed))
}

fn loss_record(clock: &mut Clock, loss: &Loss) -> Vec<u8> {
    let wall_time = clock.after(loss.seconds);
    let group = match loss.set.as_str() {
        set if HELD_OUT.contains(&set) => "eval".to_owned(),
        set => format!("eval_{set}"),
    };
    let (nats, bits) = (format!("{group}/loss"), format!("{group}/bits_per_byte"));
    let bits = loss.bits_per_byte.map(|number| (bits.as_str(), number));
    event::scalars(wall_time, loss.step, [(nats.as_str(), loss.loss)].into_iter().chain(bits))
}

/// Makes the folder's last file of ours hold these records, and opens it for appending.
fn place(folder: &Path, start_unix_seconds: f64, records: &[u8]) -> Result<EventFile, Error> {
    let ours = our_files(folder)?;
    if let Some((_, path)) = ours.last() {
        let there = fs::read(path).map_err(Error::io(path))?;
        if let Some(rest) = records.strip_prefix(there.as_slice()) {
            let mut events = EventFile::open_as_it_is(path, start_unix_seconds)?;
            events.append(rest)?;
            return Ok(events);
        }
    }
    let number = ours.iter().map(|(number, _)| number.saturating_add(1)).max().unwrap_or(0);
    let path = folder.join(format!("{PREFIX}{:010}{OURS}{number:04}", start_unix_seconds as u64));
    files::write_file(&path, |out| out.write_all(records))?;
    for (_, old) in ours.iter().rev().skip(1) {
        fs::remove_file(old).map_err(Error::io(old))?;
    }
    EventFile::open_as_it_is(&path, start_unix_seconds)
}

/// TensorBoard reads what has `tfevents` in its name; others write the time, host, process and a number behind it.
const PREFIX: &str = "events.out.tfevents.";
const OURS: &str = ".tunebench.";

/// The files that [`place`] wrote into a folder, with their numbers.
fn our_files(folder: &Path) -> Result<Vec<(u64, PathBuf)>, Error> {
    let mut ours = Vec::new();
    for entry in fs::read_dir(folder).map_err(Error::io(folder))? {
        let entry = entry.map_err(Error::io(folder))?;
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split_once(OURS)?.1.parse().ok());
        ours.extend(number.map(|number| (number, entry.path())));
    }
    ours.sort();
    Ok(ours)
}
