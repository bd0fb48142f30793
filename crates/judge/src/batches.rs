//! Many requests at once, in waves: what all judgements ask next and the store lacks goes out together.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use tunebench_chat::{BatchServer, Failure, NamedRequest, RawResponse, Usage};
use tunebench_spec::ChatRequest;

use crate::budget::Reservation;
use crate::each::or_old;
use crate::error::JudgeError;
use crate::session::{Look, Session, failure_text, not_asked};
use crate::store::{Accept, Claim, Name, RequestKey};
use crate::task::Task;
use crate::walk::Concluded;

/// Bytes of prompts in one wave, at most: they are in memory while it is out.
const MAX_WAVE_BYTES: usize = 256 << 20;

/// Makes every judgement and tells `each` of it; `advance` is told whenever a reply came. Notes go to `notes`.
pub(crate) fn run(
    session: &Session<'_>,
    tasks: &[Task<'_>],
    (server, journal): (&dyn BatchServer, &Path),
    each: &mut dyn FnMut(usize, Concluded),
    advance: &mut dyn FnMut(),
    notes: &mut Vec<String>,
) {
    // What a judgement was before it is asked for again.
    let mut old: BTreeMap<usize, Concluded> = BTreeMap::new();
    let mut failed: BTreeMap<Name, String> = BTreeMap::new();
    for (index, task) in tasks.iter().enumerate() {
        old.extend(session.outdated(task).map(|concluded| (index, concluded)));
    }
    let mut open: Vec<usize> = (0..tasks.len()).collect();
    let mut sent = sent_before(session, server, journal);
    while !open.is_empty() {
        let mut wave = Wave::default();
        // What is owed comes first, so that what is added fits beside it.
        for index in open.iter().filter(|_| !sent.is_empty()) {
            let Some(task) = tasks.get(*index) else { continue };
            let accept = session.accept(old.get(index));
            if let Look::Asks(name, key) = session.look(task, accept, &failed)
                && sent.contains(&name)
            {
                wave.add_sent(session, name, *key, accept);
            }
        }
        if !wave.requests.is_empty() {
            let n = wave.requests.len();
            notes.push(format!(
                "{n} requests that an earlier run sent in a batch are waited for, whatever the limits are now"
            ));
        }
        sent.clear();
        open.retain(|index| {
            let Some(task) = tasks.get(*index) else { return false };
            let accept = session.accept(old.get(index));
            match session.look(task, accept, &failed) {
                Look::Over(concluded) => {
                    each(*index, or_old(*concluded, old.remove(index)));
                    false
                }
                Look::Asks(name, key) => {
                    wave.add(session, name, *key, accept);
                    true
                }
            }
        });
        let cut = wave.cut.take();
        if wave.requests.is_empty() {
            // Nobody asks anything any more, or nothing may be asked.
            let reason = cut.map(|error| session.stop(error)).or_else(|| session.stopped().map(|e| not_asked(&e)));
            let reason = reason.unwrap_or_else(|| not_asked(&"the store gave nothing back"));
            for index in open.drain(..) {
                let Some(task) = tasks.get(index) else { continue };
                let accept = session.accept(old.get(&index));
                let concluded = session.walk(task, |name, _| match session.store.find(name, accept) {
                    Ok(Some(stored)) => Ok(stored),
                    Ok(None) => Err(failed.get(&name).cloned().unwrap_or_else(|| reason.clone())),
                    Err(error) => Err(session.stop(error)),
                });
                each(index, or_old(concluded, old.remove(&index)));
            }
            return;
        }
        if let Some(error) = cut {
            notes.push(format!("a batch was cut to {} requests: {error}", wave.requests.len()));
        }
        wave.send(session, server, journal, &mut failed, advance);
    }
}

/// What an earlier run sent, and nobody was told of.
fn sent_before(session: &Session<'_>, server: &dyn BatchServer, journal: &Path) -> BTreeSet<Name> {
    match server.sent(journal) {
        Ok(names) => names.iter().filter_map(|name| Name::of(name)).collect(),
        Err(error) => {
            session.stop(error.into());
            BTreeSet::new()
        }
    }
}

/// Requests that go out together, with what is set aside for them.
#[derive(Default)]
struct Wave<'s> {
    requests: Vec<NamedRequest>,
    held: BTreeMap<Name, Held<'s>>,
    bytes: usize,
    /// Why not all that is asked goes out, where money is the reason.
    cut: Option<JudgeError>,
}

struct Held<'s> {
    place: usize,
    repeat: u32,
    ask: u32,
    accept: Accept,
    reservation: Reservation<'s>,
}

impl<'s> Wave<'s> {
    /// Takes a request in that was sent already.
    fn add_sent(&mut self, session: &'s Session<'_>, name: Name, key: RequestKey, accept: Accept) {
        if !self.held.contains_key(&name) && session.stopped().is_none() {
            let reservation = session.budget.reserve_sent(&key.request.model, Usage::ceiling(&key.request));
            self.hold(name, key, accept, reservation);
        }
    }

    /// Takes a request in, if there is room and money.
    fn add(&mut self, session: &'s Session<'_>, name: Name, key: RequestKey, accept: Accept) {
        let is_full = self.bytes + bytes_of(&key.request) > MAX_WAVE_BYTES && !self.requests.is_empty();
        if self.cut.is_some() || is_full || self.held.contains_key(&name) || session.stopped().is_some() {
            return;
        }
        match session.budget.reserve_in_batch(&key.request.model, Usage::ceiling(&key.request)) {
            Ok(reservation) => self.hold(name, key, accept, reservation),
            Err(error) => self.cut = Some(error),
        }
    }

    fn hold(&mut self, name: Name, key: RequestKey, accept: Accept, reservation: Reservation<'s>) {
        let RequestKey { repeat, ask, request, .. } = key;
        self.bytes += bytes_of(&request);
        self.held.insert(name, Held { place: self.requests.len(), repeat, ask, accept, reservation });
        self.requests.push(NamedRequest { name: name.to_string(), request });
    }

    /// Sends all of it, keeps the replies, and notes the failures.
    fn send(
        mut self,
        session: &Session<'_>,
        server: &dyn BatchServer,
        journal: &Path,
        failed: &mut BTreeMap<Name, String>,
        advance: &mut dyn FnMut(),
    ) {
        session.asks();
        let (requests, held, url) = (&self.requests, &mut self.held, server.url());
        // Told of replies and, while there are none for long, asked whether to go on.
        let advance = RefCell::new(advance);
        let goes_on = || {
            (advance.borrow_mut())();
            session.stopped().is_none()
        };
        let mut each = |name: &str, result: Result<RawResponse, Failure>| {
            // Of what nobody asked, or was told already, there is nothing to keep.
            let Some((name, held)) = Name::of(name).and_then(|name| Some((name, held.remove(&name)?))) else {
                return session.stopped().is_none();
            };
            let Held { place, repeat, ask, accept, reservation } = held;
            let kept = result.map_err(failure_text).and_then(|response| {
                let request = requests.get(place).map(|named| named.request.clone()).unwrap_or_default();
                let key = RequestKey { base_url: url.to_owned(), repeat, ask, request };
                match session.store.claim(name, accept).map_err(|error| session.stop(error))? {
                    Claim::Yours(slot) => session.keep(slot, key, response, reservation).map(drop),
                    Claim::Known(_) => Ok(()),
                }
            });
            if let Err(reason) = kept {
                failed.insert(name, reason);
            }
            goes_on()
        };
        let answered = server.answer_while(requests, journal, &mut each, &mut || goes_on());
        let reason = match answered {
            Ok(()) => format!("{url} said nothing of this request"),
            Err(error) => session.stop(error.into()),
        };
        let reason = session.stopped().map_or(reason, |error| not_asked(&error));
        failed.extend(self.held.into_keys().map(|name| (name, reason.clone())));
    }
}

fn bytes_of(request: &ChatRequest) -> usize {
    request.messages.iter().map(|message| message.content.len()).sum()
}
