//! TensorBoard's protocol buffers, as far as curves and texts need them: `Event`, `SessionLog`, `Summary`,
//! `TensorProto`.
//!
//! Fields by number, from tensorboard's `compat/proto` (event.proto, summary.proto,
//! tensor.proto). As proto3 has it, a
//! number that is zero is not written, unless it is one choice of several.

use crate::record;

/// What the first record of every event file says.
const FILE_VERSION: &str = "brain.Event:2";
const WRITER: &str = "tunebench";
const DT_STRING: u64 = 7;
const SESSION_START: u64 = 1;

/// The first record, framed.
pub fn header(wall_time: f64) -> Vec<u8> {
    let mut event = Message::default();
    event.double(1, wall_time);
    event.bytes(3, FILE_VERSION.as_bytes());
    let mut source = Message::default();
    source.bytes(1, WRITER.as_bytes());
    event.message(10, &source);
    framed(&event)
}

/// A record that says that a training begins, framed. Of two files of a run, this makes readers that go by it forget what
/// the first one says; others forget the steps that come again.
pub fn start(wall_time: f64) -> Vec<u8> {
    let mut event = Message::default();
    event.double(1, wall_time);
    let mut session = Message::default();
    session.varint_field(1, SESSION_START);
    event.message(7, &session);
    framed(&event)
}

/// One record with the values of a step, framed: each a tag and a number, which is kept as f32.
pub fn scalars<'a>(wall_time: f64, step: u64, values: impl IntoIterator<Item = (&'a str, f64)>) -> Vec<u8> {
    let mut summary = Message::default();
    for (tag, number) in values {
        let mut value = Message::default();
        value.bytes(1, tag.as_bytes());
        value.float(2, number as f32);
        summary.message(1, &value);
    }
    summary_event(wall_time, step, &summary)
}

/// One record with a text, framed. TensorBoard shows it as Markdown.
pub fn text(wall_time: f64, tag: &str, text: &str) -> Vec<u8> {
    let (mut plugin, mut metadata) = (Message::default(), Message::default());
    plugin.bytes(1, b"text");
    metadata.message(1, &plugin);
    let mut tensor = Message::default();
    tensor.varint_field(1, DT_STRING);
    tensor.message(2, &Message::default()); // the shape: no axes, one string
    tensor.bytes(8, text.as_bytes());
    let (mut value, mut summary) = (Message::default(), Message::default());
    value.bytes(1, tag.as_bytes());
    value.message(8, &tensor);
    value.message(9, &metadata);
    summary.message(1, &value);
    summary_event(wall_time, 0, &summary)
}

fn summary_event(wall_time: f64, step: u64, summary: &Message) -> Vec<u8> {
    let mut event = Message::default();
    event.double(1, wall_time);
    if step != 0 {
        event.varint_field(2, step);
    }
    event.message(5, summary);
    framed(&event)
}

fn framed(event: &Message) -> Vec<u8> {
    let mut out = Vec::with_capacity(event.0.len() + 16);
    record::append(&mut out, &event.0);
    out
}

/// A message being encoded; fields are appended in the order of their numbers.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    const VARINT: u64 = 0;
    const FIXED_64: u64 = 1;
    const LENGTH_GIVEN: u64 = 2;
    const FIXED_32: u64 = 5;

    fn varint_field(&mut self, number: u64, value: u64) {
        self.key(number, Self::VARINT);
        self.varint(value);
    }

    /// Not written when it is zero (but minus zero is).
    fn double(&mut self, number: u64, value: f64) {
        if value.to_bits() != 0 {
            self.key(number, Self::FIXED_64);
            self.0.extend(value.to_le_bytes());
        }
    }

    /// A choice of several, so written whatever it is.
    fn float(&mut self, number: u64, value: f32) {
        self.key(number, Self::FIXED_32);
        self.0.extend(value.to_le_bytes());
    }

    fn bytes(&mut self, number: u64, bytes: &[u8]) {
        self.key(number, Self::LENGTH_GIVEN);
        self.varint(bytes.len() as u64);
        self.0.extend(bytes);
    }

    fn message(&mut self, number: u64, message: &Self) {
        self.bytes(number, &message.0);
    }

    fn key(&mut self, number: u64, wire_type: u64) {
        self.varint(number << 3 | wire_type);
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}
