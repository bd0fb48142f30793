//! A server with a batch API: its connection, its dialect's API, and who is told of it.

use std::sync::{Mutex, PoisonError};

use tunebench_spec::study::Dialect;

use super::calls::Calls;
use super::options::{BatchOptions, BatchProgress};
use super::provider::Provider;
use super::stop::Stop;
use super::{anthropic, openai};
use crate::http::Connection;

type Observer = dyn Fn(&BatchProgress) + Send + Sync;

pub(super) struct Server {
    pub connection: Connection,
    pub options: BatchOptions,
    pub stop: Stop,
    pub observer: Option<Box<Observer>>,
    remarks: Mutex<Vec<String>>,
}

impl Server {
    pub(super) fn new(connection: Connection) -> Self {
        let options = BatchOptions::of(connection.dialect());
        Self { connection, options, stop: Stop::default(), observer: None, remarks: Mutex::default() }
    }

    /// The remarks since this was last called.
    pub(super) fn take_remarks(&self) -> Vec<String> {
        std::mem::take(&mut *self.remarks.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn remark(&self, remark: String) {
        self.remarks.lock().unwrap_or_else(PoisonError::into_inner).push(remark);
    }

    pub(super) fn observe(&self, progress: &BatchProgress) {
        if let Some(observer) = &self.observer {
            observer(progress);
        }
    }

    pub(super) fn calls(&self) -> Calls<'_> {
        Calls { connection: &self.connection, stop: &self.stop, first_wait: self.options.first_poll }
    }

    pub(super) fn provider(&self) -> &'static dyn Provider {
        match self.connection.dialect() {
            Dialect::OpenAi => &openai::OpenAi,
            Dialect::Anthropic => &anthropic::Anthropic,
        }
    }
}
