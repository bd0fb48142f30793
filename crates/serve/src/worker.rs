//! The engine's thread: rows of every model, which come when there is room, get a token a turn, and go when they end or nobody
//! listens any more.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Weak};
use std::thread::JoinHandle;

use tokio::sync::mpsc::UnboundedSender;
use tunebench_generate::{Continuous, Outcome, Request, TokenLogprobs};

use crate::models::{OpenModel, OpenModels};
use crate::text::{Piece, Said, Stops, TextWriter};

/// An answer that is wanted.
pub(crate) struct Choice {
    /// Number of the model.
    pub model: usize,
    /// Number of the answer within its request.
    pub index: usize,
    pub request: Request,
    /// Asks how likely the prompt's own tokens are, with so many alternatives.
    pub prompt_logprobs: Option<usize>,
    pub stops: Stops,
    /// Whether a space at the beginning is left out.
    pub drops_space: bool,
    pub events: UnboundedSender<Event>,
}

/// What becomes of an answer, by its number.
#[derive(Debug)]
pub(crate) struct Event {
    pub index: usize,
    pub kind: EventKind,
}

#[derive(Debug)]
pub(crate) enum EventKind {
    /// How likely the prompt's tokens are, from the second on.
    Prompt(Vec<TokenLogprobs>),
    Piece(Piece),
    End(End),
    /// The model failed.
    Failed(String),
}

/// How an answer ended.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct End {
    /// In OpenAI's words.
    pub finish: &'static str,
    /// Tokens that were made, without one that ended it.
    pub tokens: usize,
    /// The token that ended it, if one did.
    pub last: Option<Said>,
}

/// Where answers are asked for. The thread ends when this is gone.
pub(crate) struct Worker {
    choices: Sender<Vec<Choice>>,
    /// Whether its thread is there.
    life: Weak<()>,
}

impl Worker {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system has no thread.
    pub(crate) fn start(models: Arc<OpenModels>) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (sender, choices) = channel();
        let alive = Arc::new(());
        let life = Arc::downgrade(&alive);
        let thread = std::thread::Builder::new().name("answers".to_owned()).spawn(move || {
            run(&models, &choices);
            drop(alive);
        })?;
        Ok((Self { choices: sender, life }, thread))
    }

    /// Whether somebody answers.
    pub(crate) fn is_alive(&self) -> bool {
        self.life.strong_count() > 0
    }

    /// Asks for answers of one model, which wait in its queue already; false when nobody answers any more.
    pub(crate) fn ask(&self, choices: Vec<Choice>) -> bool {
        self.choices.send(choices).is_ok()
    }
}

/// What a row has beside its tokens.
struct Running {
    index: usize,
    events: UnboundedSender<Event>,
    text: TextWriter,
    /// Tokens so far.
    tokens: usize,
    /// Tokens of the prompt and of the longest answer.
    reserved: usize,
}

impl Running {
    fn of(choice: Choice, positions: usize) -> (Self, Request) {
        let Choice { index, request, stops, drops_space, events, .. } = choice;
        let (text, reserved) = (TextWriter::new(stops, drops_space), reserved(&request, positions));
        (Self { index, events, text, tokens: 0, reserved }, request)
    }

    /// Whether somebody listens.
    fn tell(&self, kind: EventKind) -> bool {
        self.events.send(Event { index: self.index, kind }).is_ok()
    }

    /// Tells what became of the row, and says whether it is to go on.
    fn take(&mut self, model: &OpenModel, outcome: Outcome) -> bool {
        match outcome {
            Outcome::Token(token, logprobs) => {
                self.tokens += 1;
                let (piece, is_stopped) = self.text.push(token, model.chat.text(token), logprobs);
                let is_heard = piece.is_empty() || self.tell(EventKind::Piece(piece));
                if is_stopped {
                    self.end("stop", None);
                }
                is_heard && !is_stopped && !self.events.is_closed()
            }
            Outcome::Stop(token, logprobs) => {
                self.end("stop", Some((token, logprobs)));
                false
            }
            Outcome::Length => {
                self.end("length", None);
                false
            }
            Outcome::Failed(error) => {
                self.tell(EventKind::Failed(error.to_string()));
                false
            }
        }
    }

    fn end(&mut self, finish: &'static str, last: Option<(u32, Option<TokenLogprobs>)>) {
        let rest = self.text.end();
        if !rest.is_empty() {
            self.tell(EventKind::Piece(rest));
        }
        let offset = self.text.characters();
        let last = last.map(|(token, logprobs)| Said { token, logprobs, offset });
        self.tell(EventKind::End(End { finish, tokens: self.tokens, last }));
    }
}

/// A model with its rows, and what waits for a place.
struct Seat<'m> {
    model: &'m OpenModel,
    rows: Continuous<'m, Running>,
    waiting: VecDeque<Choice>,
    /// Tokens that the rows may come to.
    reserved: usize,
}

fn reserved(request: &Request, positions: usize) -> usize {
    request.prompt.tokens.len().saturating_add(request.settings.max_new_tokens).min(positions)
}

fn run(models: &OpenModels, choices: &Receiver<Vec<Choice>>) {
    let seat = |model| {
        let model: &Arc<OpenModel> = model;
        Seat { model, rows: Continuous::new(model.chat.generator()), waiting: VecDeque::new(), reserved: 0 }
    };
    let mut seats: Vec<Seat<'_>> = models.iter().map(seat).collect();
    loop {
        if seats.iter().all(Seat::is_idle) {
            let Ok(new) = choices.recv() else { return };
            take_in(&mut seats, new);
        }
        while let Ok(new) = choices.try_recv() {
            take_in(&mut seats, new);
        }
        seats.iter_mut().for_each(Seat::turn);
    }
}

fn take_in(seats: &mut [Seat<'_>], choices: Vec<Choice>) {
    for choice in choices {
        if let Some(seat) = seats.get_mut(choice.model) {
            seat.waiting.push_back(choice);
        }
    }
}

impl Seat<'_> {
    fn is_idle(&self) -> bool {
        self.rows.is_empty() && self.waiting.is_empty()
    }

    /// Lets in what there is room for, and gives every row a token.
    fn turn(&mut self) {
        let model = self.model;
        self.waiting.retain(|choice| {
            let is_wanted = !choice.events.is_closed();
            if !is_wanted {
                model.unqueue();
            }
            is_wanted
        });
        if let Err(error) = self.advance() {
            let message = error.to_string();
            self.rows.clear().iter().for_each(|row| {
                row.tell(EventKind::Failed(message.clone()));
            });
            self.reserved = 0;
        }
        model.running.store(self.rows.len(), Ordering::Relaxed);
    }

    fn advance(&mut self) -> Result<(), tunebench_generate::Error> {
        self.let_go(|row| row.events.is_closed())?;
        self.let_in()?;
        let (model, reserved) = (self.model, &mut self.reserved);
        self.rows.step(&mut |row, outcome| freed(row.take(model, outcome), row, reserved))
    }

    fn let_go(&mut self, is_over: impl Fn(&Running) -> bool) -> Result<(), tunebench_generate::Error> {
        let reserved = &mut self.reserved;
        self.rows.retain(&mut |row| freed(!is_over(row), row, reserved))
    }

    /// Reads prompts from the front of the queue, as many as there is room for, all of one kind.
    fn let_in(&mut self) -> Result<(), tunebench_generate::Error> {
        let model = self.model;
        let positions = model.positions();
        let Some(kind) = self.waiting.front().map(|choice| choice.prompt_logprobs) else { return Ok(()) };
        let mut room = model.tokens.saturating_sub(self.reserved);
        let is_alone = self.rows.is_empty();
        let mut number = 0;
        let fits = |choice: &&Choice| {
            let needed = reserved(&choice.request, positions);
            // What no room suffices for was refused before, so that one row alone always fits.
            let fits = needed <= room || (is_alone && number == 0);
            room = room.saturating_sub(needed);
            number += 1;
            fits && choice.prompt_logprobs == kind
        };
        let lengths = self.waiting.iter().take_while(fits).map(|choice| choice.request.prompt.tokens.len());
        let places = model.places.saturating_sub(self.rows.len());
        let count = self.rows.fitting(lengths, places);
        let joining: Vec<(Running, Request)> = self.waiting.drain(..count).map(|c| Running::of(c, positions)).collect();
        joining.iter().for_each(|_| model.unqueue());
        self.reserved += joining.iter().map(|(row, _)| row.reserved).sum::<usize>();
        let listeners: Vec<_> = joining.iter().map(|(row, _)| (row.index, row.events.clone())).collect();
        let reserved = &mut self.reserved;
        let mut on = |row: &mut Running, outcome: Outcome| freed(row.take(model, outcome), row, reserved);
        let joined = match kind {
            None => self.rows.join(joining, &mut on),
            Some(top) => {
                let mut on_prompt = |row: &mut Running, found: Vec<TokenLogprobs>| {
                    row.tell(EventKind::Prompt(found));
                };
                self.rows.join_scored(joining, top, &mut on_prompt, &mut on)
            }
        };
        // Those that were about to join are no rows yet, and told here.
        if let Err(error) = &joined {
            for (index, events) in listeners {
                let _ = events.send(Event { index, kind: EventKind::Failed(error.to_string()) });
            }
        }
        joined
    }
}

/// Gives back what a row had reserved where it does not go on.
fn freed(goes_on: bool, row: &Running, reserved: &mut usize) -> bool {
    if !goes_on {
        *reserved = reserved.saturating_sub(row.reserved);
    }
    goes_on
}
