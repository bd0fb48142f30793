//! What is asked where: every request is checked for its key, its size and its form before it is read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::{Bytes, to_bytes};
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use tunebench_spec::{escape, hash};

use crate::answer::{Head, Shape, collect};
use crate::api_error::{ApiError, json_response};
use crate::chat::{ChatRequest, ChatShape};
use crate::completions::{CompletionRequest, CompletionShape};
use crate::fields::Fields;
use crate::models::{OpenModel, OpenModels};
use crate::prepare::{Draws, Manner, Prepared, prepare};
use crate::sse::Stream;
use crate::tokens::{detokenize, tokenize};
use crate::worker::Worker;

/// Bytes of a body.
pub(crate) const LARGEST_BODY: usize = 4 << 20;
/// Until a body must be there.
const BODY_TIME: Duration = Duration::from_secs(60);
/// What of a request is carried out in another way than asked.
const ADAPTED: &str = "x-tunebench-adapted";
/// How a key is sent.
const BEARER: &[u8] = b"Bearer ";
/// Hexadecimal digits of an answer's id.
const DIGITS: usize = 24;

/// What all requests share.
pub(crate) struct Shared {
    pub models: Arc<OpenModels>,
    pub worker: Worker,
    pub draws: Draws,
    /// SHA-256 of the key that is asked for.
    pub key: Option<String>,
    /// Whether only names of this machine are answered to: without a key, any page in a browser could ask by a name that it
    /// points here.
    pub checks_host: bool,
    pub max_queue: usize,
    /// Seconds since 1970.
    pub started: u64,
    pub is_ending: AtomicBool,
    /// Answers so far, which names them.
    pub count: AtomicU64,
}

type App = State<Arc<Shared>>;
type Answer = Result<Response, ApiError>;

/// All that can be asked.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    let open = Router::new().route("/health", get(health));
    let api = Router::new()
        .route("/v1/models", get(list_models))
        .route("/v1/models/{*id}", get(show_model))
        .route("/v1/chat/completions", post(chat_completions))
        .route("/v1/completions", post(completions))
        .route("/tokenize", post(tokens_of_text))
        .route("/detokenize", post(text_of_tokens))
        .fallback(async |request: Request| ApiError::not_found(&shown(request.uri().path())))
        .method_not_allowed_fallback(async |request: Request| {
            ApiError::method_not_allowed(request.method().as_str(), &shown(request.uri().path()))
        })
        .layer(from_fn_with_state(shared.clone(), check));
    open.merge(api).with_state(shared)
}

/// Something of a request, to be quoted.
fn shown(text: &str) -> String {
    escape::line(text).chars().take(100).collect()
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

/// What is the same for all requests: who asks, by which name, and in what form.
async fn check(State(shared): App, request: Request, next: Next) -> Response {
    match checked(&shared, request.method(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

fn checked(shared: &Shared, method: &Method, headers: &HeaderMap) -> Result<(), ApiError> {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).unwrap_or_default();
    if shared.checks_host && !is_this_machine(text(header::HOST)) {
        let host = shown(text(header::HOST));
        let fault =
            format!("`{host}` is no name of this machine; give the server an API key to be asked by other names");
        return Err(ApiError::forbidden(fault));
    }
    if let Some(key) = &shared.key {
        let given = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes().trim_ascii());
        let given = given.and_then(|value| value.split_at_checked(BEARER.len()));
        let given = given.filter(|(kind, _)| kind.eq_ignore_ascii_case(BEARER)).map(|(_, given)| given.trim_ascii());
        // Hashes are compared, so that time tells nothing of the key.
        if given.is_none_or(|given| hash::of_bytes(given) != *key) {
            return Err(ApiError::unauthorized());
        }
    }
    if method == Method::POST {
        let kind = text(header::CONTENT_TYPE);
        let essence = kind.split(';').next().unwrap_or_default().trim();
        // A page in a browser may send any other form without being asked.
        if !essence.eq_ignore_ascii_case("application/json") {
            return Err(ApiError::not_json(&shown(kind)));
        }
    }
    if shared.is_ending.load(Ordering::Relaxed) {
        return Err(ApiError::ending());
    }
    Ok(())
}

/// Whether a `Host` is a loopback address or `localhost`, with or without a port.
fn is_this_machine(host: &str) -> bool {
    let host = host.trim_end_matches(|c: char| c.is_ascii_digit());
    let host = if host.len() < 2 { host } else { host.strip_suffix(':').unwrap_or(host) };
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost") || host == "[::1]" || is_loopback(&host)
}

/// Whether it is 127.x.x.x; digits at its end may have been taken for a port.
fn is_loopback(host: &str) -> bool {
    host.strip_prefix("127.").is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit() || c == '.'))
}

async fn health(State(shared): App) -> Response {
    let status = if shared.worker.is_alive() { "ok" } else { "failed" };
    let code = if status == "ok" { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let sum = |count: fn(&OpenModel) -> &AtomicUsize| -> usize {
        shared.models.iter().map(|model| count(model).load(Ordering::Relaxed)).sum()
    };
    let (running, waiting) = (sum(|model| &model.running), sum(|model| &model.waiting));
    json_response(code, &json!({ "status": status, "running": running, "waiting": waiting }))
}

async fn list_models(State(shared): App) -> Response {
    let models: Vec<Value> = shared.models.iter().map(|model| model.listed(shared.started)).collect();
    json_response(StatusCode::OK, &json!({ "object": "list", "data": models }))
}

async fn show_model(State(shared): App, id: Result<Path<String>, PathRejection>) -> Answer {
    // What is no text in UTF-8 is no id either.
    let id = id.map_or_else(|_| String::new(), |Path(id)| id);
    let (_, model) = shared.models.find(&id)?;
    Ok(json_response(StatusCode::OK, &model.listed(shared.started)))
}

/// The body of a request, bounded in size and time.
async fn body(request: Request) -> Result<Bytes, ApiError> {
    let length =
        request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > LARGEST_BODY as u64) {
        return Err(ApiError::too_large(LARGEST_BODY));
    }
    match tokio::time::timeout(BODY_TIME, to_bytes(request.into_body(), LARGEST_BODY)).await {
        Err(_) => Err(ApiError::too_slow()),
        Ok(Ok(bytes)) => Ok(bytes),
        // Only a length limit has a cause of its own; what the client broke off it will not read an answer to.
        Ok(Err(error)) if std::error::Error::source(&error).is_some_and(|e| e.to_string().contains("limit")) => {
            Err(ApiError::too_large(LARGEST_BODY))
        }
        Ok(Err(_)) => Err(ApiError::invalid("The body broke off")),
    }
}

/// The number and the model that a request names.
fn model_of<'a>(fields: &mut Fields, models: &'a OpenModels) -> Result<(usize, &'a Arc<OpenModel>), ApiError> {
    match fields.text("model")? {
        Some(id) => models.find(&id),
        None => Err(ApiError::field("model", "you must provide a model parameter")),
    }
}

/// What makes a request of its fields, for the model of this number.
type Reader<T> = fn(Fields, (usize, &Arc<OpenModel>), &Shared) -> Result<T, ApiError>;

/// Reads a request where it does not hold up others: a template or a schema may take seconds.
async fn read<T: Send + 'static>(shared: &Arc<Shared>, request: Request, of: Reader<T>) -> Result<T, ApiError> {
    let (bytes, shared) = (body(request).await?, shared.clone());
    let reading = tokio::task::spawn_blocking(move || {
        let mut fields = Fields::read(&bytes)?;
        drop(bytes);
        let model = model_of(&mut fields, &shared.models)?;
        of(fields, model, &shared)
    });
    reading.await.unwrap_or_else(|_| Err(ApiError::server("Reading the request failed; this is a fault of the server")))
}

async fn tokens_of_text(State(shared): App, request: Request) -> Answer {
    let found = read(&shared, request, |fields, (_, model), _| tokenize(fields, model)).await?;
    Ok(json_response(StatusCode::OK, &found))
}

async fn text_of_tokens(State(shared): App, request: Request) -> Answer {
    let found = read(&shared, request, |fields, (_, model), _| detokenize(fields, model)).await?;
    Ok(json_response(StatusCode::OK, &found))
}

async fn chat_completions(State(shared): App, request: Request) -> Answer {
    let read = read(&shared, request, |fields, (number, model), shared| {
        let ChatRequest { manner, prompt, wanted, has_logprobs, adapted } = ChatRequest::read(fields, model)?;
        let prompt_tokens = prompt.len();
        let prepared = prepare((number, model), vec![prompt], (&manner, wanted), (&shared.draws, shared.max_queue))?;
        let head = head("chatcmpl", shared, model, prompt_tokens);
        let (include_usage, count) = (manner.include_usage, prepared.choices.len());
        Ok((manner, prepared, ChatShape { head, has_logprobs, include_usage, count }, adapted))
    });
    let (manner, prepared, shape, adapted) = read.await?;
    let model = shape.head.model.clone();
    respond(&shared, &model, (manner, prepared, shape), &adapted).await
}

async fn completions(State(shared): App, request: Request) -> Answer {
    let read = read(&shared, request, |fields, (number, model), shared| {
        let CompletionRequest { manner, prompts, wanted, echo, has_logprobs } = CompletionRequest::read(fields, model)?;
        let prompt_tokens = prompts.iter().map(|prompt| prompt.tokens.len()).sum();
        let tokens = prompts.iter().map(|prompt| prompt.tokens.clone()).collect();
        let prepared = prepare((number, model), tokens, (&manner, wanted), (&shared.draws, shared.max_queue))?;
        let head = head("cmpl", shared, model, prompt_tokens);
        let (include_usage, n, count) = (manner.include_usage, manner.n, prepared.choices.len());
        let echoed = if echo { prompts } else { vec![] };
        Ok((manner, prepared, CompletionShape { head, echoed, has_logprobs, include_usage, n, count }))
    });
    let (manner, prepared, shape) = read.await?;
    let model = shape.head.model.clone();
    respond(&shared, &model, (manner, prepared, shape), &[]).await
}

fn head(kind: &str, shared: &Shared, model: &Arc<OpenModel>, prompt_tokens: usize) -> Head {
    let number = shared.count.fetch_add(1, Ordering::Relaxed);
    let name = hash::of_bytes(format!("{} {number}", shared.started).as_bytes());
    Head { id: format!("{kind}-{}", &name[..DIGITS]), created: now(), model: model.clone(), prompt_tokens }
}

/// Has the answers made, and tells them as a whole or as they come.
async fn respond<S: Shape + Unpin>(
    shared: &Shared,
    model: &OpenModel,
    (manner, prepared, shape): (Manner, Prepared, S),
    adapted: &[String],
) -> Answer {
    let Prepared { choices, mut events } = prepared;
    let count = choices.len();
    model.queue(count, shared.max_queue)?;
    if !shared.worker.ask(choices) {
        return Err(ApiError::server("The model answers no more; start the server again"));
    }
    let mut response = match manner.stream {
        true => Stream::respond(shape, events, count, manner.include_usage),
        false => json_response(StatusCode::OK, &shape.whole(collect(&mut events, count).await?)),
    };
    let adapted: String =
        adapted.join("; ").chars().map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' }).collect();
    if let Some(value) = HeaderValue::from_str(&adapted).ok().filter(|_| !adapted.is_empty()) {
        response.headers_mut().insert(ADAPTED, value);
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::is_this_machine;

    #[test]
    fn names_of_this_machine() {
        for host in [
            "localhost",
            "localhost:8000",
            "LOCALHOST:1",
            "a.localhost",
            "127.0.0.1",
            "127.0.0.1:80",
            "127.1.2.3",
            "[::1]",
            "[::1]:8000",
        ] {
            assert!(is_this_machine(host), "{host}");
        }
        for host in [
            "",
            "example.com",
            "example.com:8000",
            "127.0.0.1.example.com",
            "127.0.0.1.",
            "localhost.com",
            "10.0.0.1",
            "[::2]",
            "x127.0.0.1",
        ] {
            assert_eq!(is_this_machine(host), host == "127.0.0.1.", "{host}");
        }
    }
}
