//! What the first value of a text is, without holding it: the members of an object and what kind each is.

use crate::error::Error;
use crate::scan::{key_text, members};
use crate::text::Text;

/// Members whose keys are kept; rows under keys can be millions.
const MOST_KEPT: usize = 1000;

/// An object's members.
#[derive(Default)]
pub(crate) struct Outline {
    /// The first ones.
    pub members: Vec<Member>,
    pub count: u64,
    /// Of all members.
    pub are_objects: bool,
    /// Whether all are lists, and these of one length.
    pub are_columns: bool,
}

pub(crate) struct Member {
    pub key: String,
    pub value: Value,
}

/// What a member is.
pub(crate) enum Value {
    Text,
    Other,
    List(List),
    Object(Inner),
}

#[derive(Default)]
pub(crate) struct List {
    pub count: u64,
    /// What its first element is.
    pub first: First,
}

/// An object within an object.
pub(crate) struct Inner {
    pub count: u64,
    /// Whether its keys are 0, 1, 2, …
    pub is_indexed: bool,
    /// Whether its first member is an object or list.
    pub is_nested: bool,
}

/// What the first element of a list is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum First {
    #[default]
    None,
    Text,
    Other,
    List,
    /// With its keys.
    Object(Vec<String>),
}

impl First {
    /// Whether it is one message of a conversation.
    pub fn is_message(&self) -> bool {
        let Self::Object(keys) = self else { return false };
        let has = |key: &str| keys.iter().any(|found| found == key);
        (has("role") && (has("content") || has("tool_calls") || has("function_call"))) || (has("from") && has("value"))
    }

    /// The element that begins here.
    pub fn take(text: &mut Text) -> Result<Self, Error> {
        let Some(begin) = text.visible()? else { return Ok(Self::None) };
        match begin {
            b']' => Ok(Self::None),
            b'"' => text.value(1, None).map(|_| Self::Text),
            b'[' => text.value(1, None).map(|_| Self::List),
            b'{' => {
                let mut row = Vec::new();
                text.value(1, Some(&mut row))?;
                let keys = members(&row).unwrap_or_default().into_iter().map(|(key, _)| key_text(key));
                Ok(Self::Object(keys.collect()))
            }
            _ => text.value(1, None).map(|_| Self::Other),
        }
    }
}

impl Outline {
    /// Of the object that begins here, which is used up.
    pub fn take(text: &mut Text) -> Result<Self, Error> {
        let mut this = Self { are_objects: true, are_columns: true, ..Self::default() };
        let mut length = None;
        text.advance(1);
        while let Some(key) = take_key(text)? {
            let value = take_member(text)?;
            this.count += 1;
            this.are_objects &= matches!(value, Value::Object(_));
            this.are_columns &= match &value {
                Value::List(list) => list.count > 0 && *length.get_or_insert(list.count) == list.count,
                _ => false,
            };
            if this.members.len() < MOST_KEPT {
                this.members.push(Member { key, value });
            }
        }
        this.are_objects &= this.count > 0;
        this.are_columns &= this.count > 0;
        Ok(this)
    }
}

/// The next key of an object and the colon behind it; none where the object ends, which is used up.
pub(crate) fn take_key(text: &mut Text) -> Result<Option<String>, Error> {
    let begin = match text.visible()? {
        Some(b',') => {
            text.advance(1);
            text.visible()?
        }
        other => other,
    };
    match begin {
        Some(b'}') => {
            text.advance(1);
            Ok(None)
        }
        Some(b'"') => {
            let mut key = Vec::new();
            text.value(1, Some(&mut key))?;
            if text.visible()? != Some(b':') {
                return Err(text.structure("no `:` behind a key"));
            }
            text.advance(1);
            Ok(Some(key_text(&key)))
        }
        Some(b'\'') => Err(text.fault(crate::scan::Fault::SingleQuote)),
        Some(_) => Err(text.structure("a key of an object is not in double quotes")),
        None => Err(text.structure("the file ends inside an object; it may have been cut off: fetch it again")),
    }
}

fn take_member(text: &mut Text) -> Result<Value, Error> {
    match text.visible()? {
        Some(b'"') => text.value(1, None).map(|_| Value::Text),
        Some(b'[') => {
            let mut list = List::default();
            text.advance(1);
            while has_more(text, b']')? {
                if list.count == 0 {
                    list.first = First::take(text)?;
                } else {
                    text.value(list.count + 1, None)?;
                }
                list.count += 1;
            }
            Ok(Value::List(list))
        }
        Some(b'{') => {
            let mut inner = Inner { count: 0, is_indexed: true, is_nested: false };
            text.advance(1);
            while let Some(key) = take_key(text)? {
                inner.is_indexed &= key == inner.count.to_string();
                let begin = text.visible()?;
                if inner.count == 0 {
                    inner.is_nested = matches!(begin, Some(b'{' | b'['));
                }
                text.value(inner.count + 1, None)?;
                inner.count += 1;
            }
            Ok(Value::Object(inner))
        }
        Some(_) => text.value(1, None).map(|_| Value::Other),
        None => Err(text.structure("the file ends inside an object; it may have been cut off: fetch it again")),
    }
}

/// Whether another element comes in a list that `close` ends; where none does, its end is used up. Commas are passed over.
pub(crate) fn has_more(text: &mut Text, close: u8) -> Result<bool, Error> {
    let line = text.line();
    loop {
        match text.visible()? {
            Some(b',') => text.advance(1),
            Some(byte) if byte == close => {
                text.advance(1);
                return Ok(false);
            }
            Some(b'}' | b']') => {
                return Err(text.structure("a bracket is closed that was not opened; one before it is missing"));
            }
            Some(_) => return Ok(true),
            None => {
                return Err(text.structure(format!(
                    "the file ends inside its list (the last row ends at line {line}); it may have been cut off: fetch it \
                     again, or add the missing `{}`",
                    char::from(close)
                )));
            }
        }
    }
}
