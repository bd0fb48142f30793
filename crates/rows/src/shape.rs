//! In what shape the rows of a JSON text are, decided by its beginning, or by the whole where it is one value.

use crate::columns::Columns;
use crate::error::Error;
use crate::outline::{First, List, Member, Outline, Value};
use crate::scan::{elements, key_text};
use crate::text::Text;

/// Where the rows are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// An object a line.
    Lines,
    /// Objects, and lists of objects, one after the other.
    Values,
    /// Lists of messages, one after the other: each is a conversation.
    Conversations,
    /// Lists whose elements are lists of messages.
    ConversationLists,
    /// A list of lists, the first one of which names the columns.
    Table(Vec<String>),
    /// The list under this key.
    Member(String),
    /// The objects under all keys.
    ByKey,
    /// A list for each column.
    Columns,
    /// An object for each column, with the rows' numbers as keys.
    Indexed,
    /// The names of the columns in one list, the rows in another.
    Split,
}

impl Shape {
    /// What is said of it, where it is more than rows as they are expected.
    pub fn remark(&self) -> Option<String> {
        Some(match self {
            Self::Lines | Self::Values => return None,
            Self::Conversations | Self::ConversationLists => {
                "each list of messages was read as one conversation".into()
            }
            Self::Table(_) => "a list of lists; its first one was read as the names of the columns".into(),
            Self::Member(key) => format!("one object; the rows were read from its list `{key}`"),
            Self::ByKey => "one object; its members were read as rows, without their keys".into(),
            Self::Columns | Self::Indexed | Self::Split => "one object of columns; they were read as rows".into(),
        })
    }
}

/// Keys by which a row that stands alone is told from an object with rows in it.
const ROW_KEYS: [&str; 20] = [
    "instruction",
    "input",
    "output",
    "prompt",
    "completion",
    "question",
    "answer",
    "query",
    "response",
    "text",
    "messages",
    "conversations",
    "conversation",
    "instances",
    "target",
    "context",
    "chosen",
    "rejected",
    "tools",
    "functions",
];

/// The shape of what begins like JSON; `open` gives the text from its start.
pub(crate) fn decide(open: &dyn Fn() -> Result<Text, Error>, columns: &Columns) -> Result<Option<Shape>, Error> {
    let mut text = open()?;
    match text.visible()? {
        Some(b'[') => decide_list(text).map(Some),
        Some(b'{') => decide_object(text, columns).map(Some),
        _ => Ok(None),
    }
}

fn decide_list(mut text: Text) -> Result<Shape, Error> {
    text.advance(1);
    if text.visible()? != Some(b'[') {
        return match First::take(&mut text)? {
            first if first.is_message() => Ok(Shape::Conversations),
            First::Text => Err(text.shape("a list of texts; make each a row, e.g. {\"text\": \"…\"}")),
            _ => Ok(Shape::Values),
        };
    }
    // A list of lists: of messages, or with a header.
    let mut first = Vec::new();
    text.value(1, Some(&mut first))?;
    let inner = elements(&first).unwrap_or_default();
    let begins_with = |byte: u8| !inner.is_empty() && inner.iter().all(|element| element.first() == Some(&byte));
    if begins_with(b'{') {
        let keys =
            crate::scan::members(inner[0]).unwrap_or_default().into_iter().map(|(key, _)| key_text(key)).collect();
        let first = First::Object(keys);
        return match first.is_message() {
            true => Ok(Shape::ConversationLists),
            false => Err(text.shape("a list of lists of objects; join them to one list of rows")),
        };
    }
    let header: Vec<String> = inner.iter().map(|element| key_text(element)).collect();
    let names_columns = begins_with(b'"') && header.iter().any(|name| ROW_KEYS.contains(&name.to_lowercase().as_str()));
    match names_columns {
        true => Ok(Shape::Table(header)),
        false => Err(text.shape(
            "a list of lists whose first one does not name the columns; put e.g. [\"instruction\", \"output\"] in front, or \
             write each row as an object",
        )),
    }
}

fn decide_object(mut text: Text, columns: &Columns) -> Result<Shape, Error> {
    let line = text.line();
    let outline = Outline::take(&mut text)?;
    let is_one_line = text.line() == line && ends_line(&mut text)?;
    while text.visible()? == Some(b',') {
        text.advance(1);
    }
    match text.visible()? {
        Some(_) if is_one_line => Ok(Shape::Lines),
        Some(_) => Ok(Shape::Values),
        None => match alone(&text, &outline, columns)? {
            Shape::Values if is_one_line => Ok(Shape::Lines),
            shape => Ok(shape),
        },
    }
}

/// Whether only blanks and commas stand between here and the end of the line.
fn ends_line(text: &mut Text) -> Result<bool, Error> {
    loop {
        match text.rest().first().copied() {
            Some(b' ' | b'\t' | b',') => text.advance(1),
            Some(b'\n' | b'\r') => return Ok(true),
            Some(_) => return Ok(false),
            None if text.fill()? => {}
            None => return Ok(true),
        }
    }
}

/// The shape of a text that is one object.
fn alone(text: &Text, outline: &Outline, columns: &Columns) -> Result<Shape, Error> {
    let members = &outline.members;
    let find = |key: &str| members.iter().find(|member| member.key == key).map(|member| &member.value);
    if let (Some(Value::List(columns)), Some(Value::List(data))) = (find("columns"), find("data"))
        && columns.first == First::Text
        && data.first == First::List
    {
        return Ok(Shape::Split);
    }
    let has_column = |list: &List| matches!(list.first, First::Text | First::Other | First::List);
    let row_columns =
        members.iter().filter(|m| is_of_row(m)).any(|m| matches!(&m.value, Value::List(l) if has_column(l)));
    let lists_of_rows = || {
        members.iter().filter_map(|member| match &member.value {
            Value::List(list) if matches!(list.first, First::Object(_)) && !list.first.is_message() => {
                Some((member, list))
            }
            _ => None,
        })
    };
    if outline.are_columns && (row_columns || (outline.count > 1 && lists_of_rows().next().is_none())) {
        return Ok(Shape::Columns);
    }
    // What a study calls a column is one of a row.
    if members.iter().any(|member| columns.renames(&member.key)) {
        return Ok(Shape::Values);
    }
    if outline.are_objects {
        let is_indexed =
            |member: &Member| matches!(&member.value, Value::Object(inner) if inner.is_indexed && inner.count > 0);
        if members.iter().all(is_indexed) {
            return Ok(Shape::Indexed);
        }
        // One object in an object may be anything.
        if outline.count > 1 && !members.iter().any(is_of_row) {
            return no_lists_within(text, outline).map(|()| Shape::ByKey);
        }
    }
    if members.iter().any(is_of_row) {
        return Ok(Shape::Values);
    }
    let lists: Vec<(&Member, &List)> = lists_of_rows().collect();
    match lists[..] {
        [] => Ok(Shape::Values),
        [(member, _)] => Ok(Shape::Member(member.key.clone())),
        [(first, _), ..] => {
            let named: Vec<String> =
                lists.iter().take(10).map(|(member, list)| format!("`{}` ({})", member.key, list.count)).collect();
            Err(text.shape(format!(
                "one object with several lists of rows: {}; put the one you want in a file of its own: \
                 `jq -c '.[\"{}\"][]' {} > rows.jsonl`",
                named.join(", "),
                first.key,
                text.file,
            )))
        }
    }
}

/// Whether a row has such a member, and an object with rows in it has not.
fn is_of_row(member: &Member) -> bool {
    const MESSAGES: [&str; 3] = ["messages", "conversations", "conversation"];
    let is_list_of_rows = |list: &List| matches!(list.first, First::Object(_)) && !list.first.is_message();
    let key = member.key.as_str();
    let holds_rows = MESSAGES.contains(&key) && matches!(&member.value, Value::List(list) if is_list_of_rows(list));
    ROW_KEYS.contains(&key) && !holds_rows
}

/// Objects under keys are rows, unless they hold rows themselves as in `{"train": {"data": […]}, "test": …}`.
fn no_lists_within(text: &Text, outline: &Outline) -> Result<(), Error> {
    const SPLITS: [&str; 6] = ["train", "test", "validation", "valid", "dev", "eval"];
    match outline.members.iter().find(|member| SPLITS.contains(&member.key.to_lowercase().as_str())) {
        None => Ok(()),
        Some(member) => Err(text.shape(format!(
            "one object with a part `{}` that is an object again; put the rows of each part in a file of their own",
            member.key
        ))),
    }
}
