//! The rows of a JSON text, one by one, whatever its shape.

use crate::error::Error;
use crate::outline::{has_more, take_key};
use crate::row::{Row, Rows, push_member};
use crate::scan::{Scan, elements, members};
use crate::shape::Shape;
use crate::text::Text;

/// The rows of a text of this shape.
pub(crate) fn open(shape: &Shape, text: Text) -> Result<Box<dyn Rows>, Error> {
    Ok(match shape {
        Shape::Lines => Box::new(Lines { text, line: Vec::new() }),
        Shape::Values => Box::new(Values::new(text, Wrap::No)),
        Shape::Conversations => Box::new(Values::new(text, Wrap::Lists)),
        Shape::ConversationLists => Box::new(Values::new(text, Wrap::Elements)),
        Shape::Table(header) => Box::new(Values::new(text, Wrap::Table { header: header.clone(), is_read: false })),
        Shape::Member(key) => Box::new(Within::new(text, Some(key))?),
        Shape::ByKey => Box::new(Within::new(text, None)?),
        Shape::Columns => Box::new(Columns::of_lists(text)?),
        Shape::Indexed => Box::new(Columns::of_objects(text)?),
        Shape::Split => Box::new(Columns::split(text)?),
    })
}

/// An object a line; what is no object stays as it is, and so does its line's number.
struct Lines {
    text: Text,
    line: Vec<u8>,
}

impl Rows for Lines {
    fn next(&mut self, row: &mut Row) -> Result<bool, Error> {
        if !self.text.line_into(&mut self.line)? {
            return Ok(false);
        }
        let line = trimmed(&self.line);
        let mut scan = Scan::default();
        match line.first() {
            Some(b'{') => {}
            Some(b'[') => return Err(self.several("holds a list")),
            _ => {
                row.bytes.extend_from_slice(line);
                return Ok(true);
            }
        }
        let end = match scan.run(line) {
            Ok((end, true)) => end,
            // Its fault is told by whoever parses it.
            _ => line.len(),
        };
        let rest = trimmed(&line[end..]);
        if matches!(rest.first(), Some(b'{' | b'[')) {
            return Err(self.several("holds several rows"));
        }
        row.has_names = scan.has_names;
        // Something else behind the row makes it none.
        row.bytes.extend_from_slice(if rest.is_empty() { &line[..end] } else { line });
        Ok(true)
    }

    fn by_lines(&self) -> bool {
        true
    }
}

impl Lines {
    fn several(&self, what: &str) -> Error {
        Error::Structure {
            file: self.text.file.clone(),
            line: self.text.line() - 1,
            what: format!("it {what}, where each line before holds one row; give each kind a file of its own"),
        }
    }
}

/// Without blanks, marks of byte order and commas at either end.
fn trimmed(line: &[u8]) -> &[u8] {
    const BOM: &[u8] = b"\xef\xbb\xbf";
    let mut line = line.trim_ascii();
    while let Some(rest) = line.strip_prefix(BOM).or_else(|| line.strip_prefix(&[0x1e])) {
        line = rest.trim_ascii_start();
    }
    while let Some(rest) = line.strip_suffix(b",") {
        line = rest.trim_ascii_end();
    }
    line
}

/// What a row is made of.
enum Wrap {
    No,
    /// Each list at the top is a list of messages.
    Lists,
    /// Each element of a list is a list of messages.
    Elements,
    /// Each element of a list is a list of values.
    Table {
        header: Vec<String>,
        is_read: bool,
    },
}

/// Most messages of one conversation that is a file's whole list: more are many conversations without a border.
const MOST_MESSAGES: usize = 1000;

/// Values one after the other.
struct Values {
    text: Text,
    wrap: Wrap,
    in_list: bool,
    rows: u64,
    value: Vec<u8>,
}

impl Values {
    fn new(text: Text, wrap: Wrap) -> Self {
        Self { text, wrap, in_list: false, rows: 0, value: Vec::new() }
    }

    fn take(&mut self, row: &mut Row) -> Result<bool, Error> {
        self.rows += 1;
        let place = self.rows;
        match &mut self.wrap {
            Wrap::No => {
                row.has_names = self.text.value(place, Some(&mut row.bytes))?;
            }
            Wrap::Lists | Wrap::Elements => {
                self.value.clear();
                row.has_names = self.text.value(place, Some(&mut self.value))?;
                let messages = elements(&self.value).map_or(0, |messages| messages.len());
                if matches!(self.wrap, Wrap::Lists) && messages > MOST_MESSAGES {
                    return Err(self.text.shape(format!(
                        "a list of {messages} messages without a border between conversations; make each conversation a row \
                         {{\"messages\": […]}}"
                    )));
                }
                row.bytes.extend_from_slice(b"{\"messages\": ");
                row.bytes.extend_from_slice(&self.value);
                row.bytes.push(b'}');
            }
            Wrap::Table { header, is_read } => {
                self.value.clear();
                row.has_names = self.text.value(place, Some(&mut self.value))?;
                if !std::mem::replace(is_read, true) {
                    self.rows -= 1;
                    return Ok(false);
                }
                let cells = elements(&self.value).filter(|cells| cells.len() == header.len());
                let Some(cells) = cells else {
                    let columns = header.len();
                    return Err(self
                        .text
                        .structure(format!("row {place} is no list of {columns} values, as the first one")));
                };
                for (key, cell) in header.iter().zip(cells) {
                    push_member(&mut row.bytes, key, cell);
                }
                row.bytes.push(b'}');
            }
        }
        Ok(true)
    }
}

impl Rows for Values {
    fn next(&mut self, row: &mut Row) -> Result<bool, Error> {
        loop {
            if self.in_list {
                self.in_list = has_more(&mut self.text, b']')?;
                if self.in_list && self.take(row)? {
                    return Ok(true);
                }
                continue;
            }
            match self.text.visible()? {
                None => return Ok(false),
                Some(b',') => self.text.advance(1),
                Some(b'[') if !matches!(self.wrap, Wrap::Lists) => {
                    self.text.advance(1);
                    self.in_list = true;
                }
                Some(b'[' | b'{') => {
                    // A row of its own among lists of messages is a row as it is.
                    let is_row = self.text.rest().first() == Some(&b'{');
                    let wrap = if is_row { std::mem::replace(&mut self.wrap, Wrap::No) } else { Wrap::No };
                    let found = self.take(row);
                    if is_row {
                        self.wrap = wrap;
                    }
                    if found? {
                        return Ok(true);
                    }
                }
                Some(byte) => {
                    let shown = char::from(byte);
                    let what = match byte {
                        b'}' | b']' => format!("`{shown}` closes what was not opened; a bracket before it is missing"),
                        _ => format!("`{shown}` where a row or a list of rows should begin; take that out"),
                    };
                    return Err(self.text.structure(what));
                }
            }
        }
    }
}

/// The rows within one object: the elements of a list, or the object's members.
struct Within {
    text: Text,
    is_list: bool,
    is_over: bool,
    rows: u64,
}

impl Within {
    fn new(mut text: Text, key: Option<&str>) -> Result<Self, Error> {
        text.visible()?;
        text.advance(1);
        while let Some(wanted) = key {
            match take_key(&mut text)? {
                Some(found) if found == wanted && text.visible()? == Some(b'[') => {
                    text.advance(1);
                    break;
                }
                Some(_) => {
                    text.visible()?;
                    text.value(1, None)?;
                }
                None => return Err(text.shape("it has changed while it was read")),
            }
        }
        Ok(Self { text, is_list: key.is_some(), is_over: false, rows: 0 })
    }
}

impl Rows for Within {
    fn next(&mut self, row: &mut Row) -> Result<bool, Error> {
        if self.is_over {
            return Ok(false);
        }
        self.is_over = match self.is_list {
            true => !has_more(&mut self.text, b']')?,
            false => take_key(&mut self.text)?.is_none(),
        };
        if self.is_over {
            return Ok(false);
        }
        self.text.visible()?;
        self.rows += 1;
        row.has_names = self.text.value(self.rows, Some(&mut row.bytes))?;
        Ok(true)
    }
}

/// Columns, held whole, as rows.
struct Columns {
    text: Vec<u8>,
    names: Vec<String>,
    /// Of each row the places of its cells, row by row.
    cells: Vec<std::ops::Range<usize>>,
    next: usize,
    has_names: bool,
}

impl Columns {
    /// `{"a": [1, 2], "b": [3, 4]}`
    fn of_lists(text: Text) -> Result<Self, Error> {
        Self::read(text, |object| {
            let columns = members(object)?.into_iter().map(|(key, list)| Some((key, elements(list)?)));
            Some(columns.collect::<Option<Vec<_>>>()?.into_iter().unzip())
        })
    }

    /// `{"a": {"0": 1, "1": 2}, "b": {"0": 3, "1": 4}}`
    fn of_objects(text: Text) -> Result<Self, Error> {
        Self::read(text, |object| {
            let cells = |inner| Some(members(inner)?.into_iter().map(|(_, cell)| cell).collect::<Vec<_>>());
            let columns = members(object)?.into_iter().map(|(key, inner)| Some((key, cells(inner)?)));
            Some(columns.collect::<Option<Vec<_>>>()?.into_iter().unzip())
        })
    }

    /// `{"columns": ["a", "b"], "data": [[1, 3], [2, 4]]}`
    fn split(text: Text) -> Result<Self, Error> {
        Self::read(text, |object| {
            let members = members(object)?;
            let find = |name: &[u8]| members.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
            let names = elements(find(b"\"columns\"")?)?;
            let rows: Vec<Vec<&[u8]>> =
                elements(find(b"\"data\"")?)?.into_iter().map(elements).collect::<Option<_>>()?;
            let is_whole = rows.iter().all(|row| row.len() == names.len());
            let column = |index: usize| rows.iter().map(|row| row[index]).collect::<Vec<_>>();
            is_whole.then(|| (names.clone(), (0..names.len()).map(column).collect()))
        })
    }

    fn read(
        mut text: Text,
        columns: impl for<'a> Fn(&'a [u8]) -> Option<(Vec<&'a [u8]>, Vec<Vec<&'a [u8]>>)>,
    ) -> Result<Self, Error> {
        let mut object = Vec::new();
        text.visible()?;
        let has_names = match text.value(1, Some(&mut object)) {
            Err(Error::LongRow { .. }) => {
                return Err(text.shape(
                    "one large object of columns; write it as rows, as pandas does with `to_json(orient=\"records\", lines=True)`",
                ));
            }
            found => found?,
        };
        let whole = columns(&object).filter(|(_, columns)| {
            let rows = columns.first().map_or(0, Vec::len);
            columns.iter().all(|column| column.len() == rows)
        });
        let Some((names, columns)) = whole else {
            return Err(text.shape("one object of columns that differ in length; write it as rows"));
        };
        let place = |cell: &[u8]| {
            let start = cell.as_ptr() as usize - object.as_ptr() as usize;
            start..start + cell.len()
        };
        let rows = columns.first().map_or(0, Vec::len);
        let cells = (0..rows).flat_map(|row| columns.iter().map(move |column| column[row])).map(place).collect();
        let names = names.into_iter().map(crate::scan::key_text).collect();
        Ok(Self { names, cells, next: 0, has_names, text: object })
    }
}

impl Rows for Columns {
    fn next(&mut self, row: &mut Row) -> Result<bool, Error> {
        let width = self.names.len();
        let Some(cells) = self.cells.get(self.next..self.next + width).filter(|cells| !cells.is_empty()) else {
            return Ok(false);
        };
        for (name, cell) in self.names.iter().zip(cells) {
            push_member(&mut row.bytes, name, &self.text[cell.clone()]);
        }
        row.bytes.push(b'}');
        row.has_names = self.has_names;
        self.next += width;
        Ok(true)
    }
}
