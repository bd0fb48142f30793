//! Requests, and a client that hurries.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use tunebench_chat::{BatchChat, BatchOptions, BatchServer, ChatError, Failure, NamedRequest, RawResponse, Reply};
use tunebench_scripted_server::BatchProvider;
use tunebench_spec::study::{ChatSettings, Dialect};
use tunebench_spec::{ChatMessage, ChatRequest, hash};

pub const DIALECTS: [Dialect; 2] = [Dialect::OpenAi, Dialect::Anthropic];

/// The name of request `n`.
pub fn name(n: usize) -> String {
    hash::of_bytes(&n.to_le_bytes())
}

/// Asks for the text `n`, warmly.
pub fn request(n: usize) -> NamedRequest {
    let messages = vec![ChatMessage { role: "user".into(), content: n.to_string() }];
    let request = ChatRequest {
        model: "some-model".into(),
        messages,
        temperature: Some(0.5),
        max_tokens: Some(9),
        ..ChatRequest::default()
    };
    NamedRequest { name: name(n), request }
}

pub fn requests(numbers: impl IntoIterator<Item = usize>) -> Vec<NamedRequest> {
    numbers.into_iter().map(request).collect()
}

/// Waits of moments.
pub fn client(settings: &ChatSettings, max_requests: usize) -> BatchChat {
    let moment = Duration::from_millis(2);
    let options = BatchOptions {
        max_requests,
        max_bytes: 1_000_000,
        first_poll: moment,
        longest_poll: moment * 4,
        settle: moment,
        rounds: 4,
    };
    BatchChat::new(settings).unwrap().with_options(options)
}

/// What was told of each request; panics when one is told of twice.
#[derive(Default)]
pub struct Told(pub BTreeMap<String, Result<RawResponse, Failure>>);

impl Told {
    pub fn ask(client: &BatchChat, requests: &[NamedRequest], journal: &Path) -> (Self, Result<(), ChatError>) {
        let mut told = Self::default();
        let ended = client.answer(requests, journal, &mut |name, result| {
            assert!(told.0.insert(name.to_owned(), result).is_none(), "{name} was told of twice");
            true
        });
        (told, ended)
    }

    /// The text that came of request `n`.
    pub fn text(&self, n: usize) -> String {
        let response = self.0[&name(n)].as_ref().unwrap();
        assert!(response.batch, "{response:?}");
        Reply::read(&response.body).unwrap().chat.content
    }

    /// Why nothing came of request `n`.
    pub fn failure(&self, n: usize) -> &Failure {
        self.0[&name(n)].as_ref().unwrap_err()
    }
}

/// Each of these was answered, and billed once.
pub fn assert_billed_once(provider: &BatchProvider, numbers: impl IntoIterator<Item = usize>) {
    let expected: BTreeMap<String, u32> = numbers.into_iter().map(|n| (name(n), 1)).collect();
    assert_eq!(provider.billed(), expected);
}
