//! OpenAI's batches, and those of servers like it: a file of requests is uploaded, then a batch is made of it.
//!
//! <https://platform.openai.com/docs/guides/batch>: one model a file; `custom_id` comes back with each result; results are in
//! an output file and an error file, in any order; what has expired or was cancelled is in the latter.

use std::path::Path;

use serde_json::{Value, json};

use super::calls::Calls;
use super::create_error::CreateError;
use super::journal::{Journal, Submission};
use super::lookup::{self, id, sum, text};
use super::provider::{End, Fault, Found, Line, Outcome, Provider, State};
use crate::error::ChatError;
use crate::http::{Body, Method, Upload};
use crate::reply::shorten;

pub(super) struct OpenAi;

/// Of each request, seen from the server's root.
const ENDPOINT: &str = "/v1/chat/completions";
/// In the metadata of a batch.
const TOKEN: &str = "tunebench_submission";

impl Provider for OpenAi {
    fn frame(&self) -> [&'static str; 3] {
        ["", "\n", "\n"]
    }

    fn line(&self, name: &str, body: &Value) -> Value {
        json!({ "custom_id": name, "method": "POST", "url": ENDPOINT, "body": body })
    }

    /// Its batches are found by file and token.
    fn newest(&self, _: &Calls<'_>) -> Result<Option<String>, ChatError> {
        Ok(None)
    }

    fn upload(&self, calls: &Calls<'_>, payload: &Path) -> Result<Option<String>, CreateError> {
        let fields = [("purpose", "batch")];
        let upload = Upload { fields: &fields, name: "file", path: payload, content_type: "application/jsonl" };
        let send = || calls.connection.call(Method::Post, "files", Body::Form(&upload));
        let file = calls.json("files", &calls.again("files", send)?)?;
        match id(&file) {
            id if id.is_empty() => {
                let reason = format!("files: the file has no id: {}", shorten(&file.to_string()));
                Err(CreateError::Refused { status: 200, reason })
            }
            id => Ok(Some(id)),
        }
    }

    fn create(&self, calls: &Calls<'_>, token: &str, file: Option<&str>, _: &Path) -> Result<String, CreateError> {
        let body = json!({
            "input_file_id": file,
            "endpoint": ENDPOINT,
            "completion_window": "24h",
            "metadata": { TOKEN: token },
        });
        let bytes = body.to_string().into_bytes();
        let batch = calls.once("batches", || calls.connection.call(Method::Post, "batches", Body::Json(&bytes)))?;
        match id(&batch) {
            id if id.is_empty() => {
                Err(CreateError::Unknown(format!("batches: no id: {}", shorten(&batch.to_string()))))
            }
            id => Ok(id),
        }
    }

    fn look_up(&self, calls: &Calls<'_>, submission: &Submission, _: &Journal) -> Result<Found, ChatError> {
        // A batch is made of a file, whose number is noted before.
        let Some(file) = &submission.file else { return Ok(Found::Never) };
        let mut found = Found::NotMade;
        lookup::batches(calls, "batches", "after", &mut |batch| {
            let token = batch.pointer(&format!("/metadata/{TOKEN}")).and_then(Value::as_str);
            if text(batch, "input_file_id") == file || token == Some(&submission.plan.token) {
                found = Found::Made(id(batch));
                return Ok(false);
            }
            Ok(true)
        })?;
        Ok(found)
    }

    fn state(&self, calls: &Calls<'_>, batch: &str) -> Result<State, ChatError> {
        let value = calls.get(&format!("batches/{batch}"))?;
        let status = text(&value, "status").to_owned();
        let counts = value.get("request_counts");
        let done = sum(counts, &["completed", "failed"]);
        let end = match status.as_str() {
            "failed" => Some(End::Invalid(faults(&value))),
            "completed" | "expired" | "cancelled" => {
                let files = ["output_file_id", "error_file_id"].map(|name| text(&value, name));
                let paths = files.iter().filter(|file| !file.is_empty()).map(|file| format!("files/{file}/content"));
                Some(End::Results { paths: paths.collect(), replies: sum(counts, &["completed"]) })
            }
            _ => None,
        };
        Ok(State { status, done, total: sum(counts, &["total"]), end })
    }

    fn read(&self, line: &str) -> Result<Line, String> {
        let value: Value = serde_json::from_str(line).map_err(|_| format!("not JSON: {}", shorten(line)))?;
        let name = text(&value, "custom_id").to_owned();
        let outcome = match (value.get("response"), value.get("error")) {
            (Some(Value::Object(response)), _) => {
                let body = response.get("body").unwrap_or(&Value::Null);
                let body = body.as_str().map_or_else(|| body.to_string(), str::to_owned);
                let request_id = response.get("request_id").and_then(Value::as_str).unwrap_or_default().to_owned();
                // Some servers give no status beside a reply.
                match response.get("status_code").and_then(Value::as_u64).unwrap_or(200) {
                    200..300 => Outcome::Answered { body, request_id },
                    status => Outcome::Refused { status: u16::try_from(status).unwrap_or(u16::MAX), body },
                }
            }
            (_, Some(error @ Value::Object(_))) => match text(error, "code") {
                code @ ("batch_expired" | "batch_cancelled") => Outcome::NotBegun(code.to_owned()),
                _ => Outcome::Refused { status: 0, body: json!({ "error": error }).to_string() },
            },
            _ => return Err(format!("neither a response nor an error: {}", shorten(line))),
        };
        Ok(Line { name, outcome })
    }
}

/// What is wrong with a batch that was not begun.
fn faults(batch: &Value) -> Vec<Fault> {
    let data = batch.pointer("/errors/data").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let fault = |error: &Value| Fault {
        code: text(error, "code").to_owned(),
        message: text(error, "message").to_owned(),
        param: text(error, "param").to_owned(),
        line: error.get("line").and_then(Value::as_u64).and_then(|line| usize::try_from(line).ok()),
    };
    data.iter().map(fault).collect()
}
