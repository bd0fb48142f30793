//! A stream of server-sent events, made as answers are told. When the client is gone it is dropped, and with it the listener.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use hyper::body::Frame;
use serde_json::Value;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::answer::Shape;
use crate::api_error::ApiError;
use crate::worker::{Event, EventKind};

/// What a stream is made of.
pub(crate) struct Stream<S> {
    shape: S,
    events: UnboundedReceiver<Event>,
    /// Answers that have not ended.
    open: usize,
    include_usage: bool,
    completion_tokens: usize,
    ready: VecDeque<Bytes>,
}

impl<S: Shape + Unpin> Stream<S> {
    /// A response of `count` answers.
    pub(crate) fn respond(
        mut shape: S,
        events: UnboundedReceiver<Event>,
        count: usize,
        include_usage: bool,
    ) -> Response {
        let ready = shape.begin().iter().map(data).collect();
        let stream = Self { shape, events, open: count, include_usage, completion_tokens: 0, ready };
        let mut response = Response::new(Body::new(stream));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        response
    }

    fn take(&mut self, Event { index, kind }: Event) {
        match kind {
            EventKind::Failed(fault) => {
                self.ready.push_back(data(&ApiError::server(fault).body()));
                self.open = 0;
            }
            kind => {
                let tokens = if let EventKind::End(end) = &kind { Some(end.tokens) } else { None };
                self.ready.extend(self.shape.piece(index, kind).iter().map(data));
                if let Some(tokens) = tokens {
                    self.completion_tokens += tokens;
                    self.open = self.open.saturating_sub(1);
                    if self.open == 0 {
                        self.finish();
                    }
                }
            }
        }
    }

    fn finish(&mut self) {
        if self.include_usage {
            self.ready.push_back(data(&self.shape.usage(self.completion_tokens)));
        }
        self.ready.push_back(Bytes::from_static(b"data: [DONE]\n\n"));
    }
}

fn data(body: &Value) -> Bytes {
    Bytes::from(format!("data: {body}\n\n"))
}

impl<S: Shape + Unpin> HttpBody for Stream<S> {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            if self.open == 0 {
                return Poll::Ready(None);
            }
            match self.events.poll_recv(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Some(event)) => self.take(event),
                Poll::Ready(None) => {
                    let fault = ApiError::server("The model answers no more; start the server again");
                    self.ready.push_back(data(&fault.body()));
                    self.open = 0;
                }
            }
        }
    }
}
