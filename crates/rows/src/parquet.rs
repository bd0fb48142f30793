//! The rows of a Parquet file: columns read a few rows at a time and put together to objects, lists and values.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use parquet::basic::{ConvertedType, Repetition};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use parquet::data_type::{ByteArray, DataType, FixedLenByteArray, Int96};
use parquet::errors::ParquetError;
use parquet::file::reader::FileReader as _;
use parquet::file::serialized_reader::SerializedFileReader;
use parquet::schema::types::Type;

use crate::MAX_ROW_BYTES;
use crate::cell;
use crate::error::Error;
use crate::parquet_chunks::{Chunks, check_places};
use crate::row::{Row, Rows, push_text};

/// Rows of a column that are read at a time.
const BATCH: usize = 64;
/// Deepest nesting of a schema.
const MOST_DEPTH: usize = 64;

/// How the columns of a schema make a value.
enum Node {
    Leaf(usize),
    Object(Vec<(String, Self)>),
    /// Null where the first column's level is below this.
    Optional(i16, Box<Self>),
    /// Elements where the level is at least the first number; another one follows where the second is reached.
    List(i16, i16, Box<Self>),
    /// A list of keys and values.
    Map(i16, i16, Box<Self>, Box<Self>),
}

impl Node {
    fn first_leaf(&self) -> Option<usize> {
        match self {
            Self::Leaf(leaf) => Some(*leaf),
            Self::Object(members) => members.first()?.1.first_leaf(),
            Self::Optional(_, inner) | Self::List(_, _, inner) | Self::Map(_, _, inner, _) => inner.first_leaf(),
        }
    }

    fn each_leaf(&self, what: &mut impl FnMut(usize)) {
        match self {
            Self::Leaf(leaf) => what(*leaf),
            Self::Object(members) => members.iter().for_each(|(_, member)| member.each_leaf(what)),
            Self::Optional(_, inner) | Self::List(_, _, inner) => inner.each_leaf(what),
            Self::Map(_, _, key, value) => {
                key.each_leaf(what);
                value.each_leaf(what);
            }
        }
    }
}

/// Makes nodes of a schema, its columns numbered in their order.
struct Planner {
    leaves: Vec<cell::Kind>,
}

type Planned = Result<Node, String>;

impl Planner {
    fn of_field(&mut self, field: &Type, definition: i16, repetition: i16, depth: usize) -> Planned {
        let info = field.get_basic_info();
        if depth > MOST_DEPTH {
            return Err("its columns are nested too deep".into());
        }
        let kind = if info.has_repetition() { info.repetition() } else { Repetition::REQUIRED };
        match kind {
            Repetition::REQUIRED => self.of_value(field, definition, repetition, depth),
            Repetition::OPTIONAL => {
                let inner = self.of_value(field, definition + 1, repetition, depth)?;
                Ok(Node::Optional(definition + 1, Box::new(inner)))
            }
            Repetition::REPEATED => {
                let inner = self.of_value(field, definition + 1, repetition + 1, depth)?;
                Ok(Node::List(definition + 1, repetition + 1, Box::new(inner)))
            }
        }
    }

    /// A field apart from whether it may be absent or repeated.
    fn of_value(&mut self, field: &Type, definition: i16, repetition: i16, depth: usize) -> Planned {
        if field.is_primitive() {
            self.leaves.push(cell::Kind::of(field));
            return Ok(Node::Leaf(self.leaves.len() - 1));
        }
        let fields = field.get_fields();
        let repeated = || match fields {
            [only] if only.get_basic_info().has_repetition() => {
                Some(only).filter(|only| only.get_basic_info().repetition() == Repetition::REPEATED)
            }
            _ => None,
        };
        match (field.get_basic_info().converted_type(), repeated()) {
            (ConvertedType::LIST, Some(list)) => {
                let (definition, repetition) = (definition + 1, repetition + 1);
                let element = element(field, list);
                let inner = match element {
                    Some(element) => self.of_field(element, definition, repetition, depth + 2)?,
                    None => self.of_value(list, definition, repetition, depth + 1)?,
                };
                Ok(Node::List(definition, repetition, Box::new(inner)))
            }
            (ConvertedType::MAP | ConvertedType::MAP_KEY_VALUE, Some(pairs))
                if !pairs.is_primitive() && pairs.get_fields().len() == 2 =>
            {
                let (definition, repetition) = (definition + 1, repetition + 1);
                let key = self.of_field(&pairs.get_fields()[0], definition, repetition, depth + 2)?;
                let value = self.of_field(&pairs.get_fields()[1], definition, repetition, depth + 2)?;
                Ok(Node::Map(definition, repetition, Box::new(key), Box::new(value)))
            }
            _ => {
                let member = |inner: &Arc<Type>| {
                    Ok((inner.name().to_owned(), self.of_field(inner, definition, repetition, depth + 1)?))
                };
                let members: Vec<(String, Node)> = fields.iter().map(member).collect::<Result<_, String>>()?;
                match members.is_empty() {
                    true => Err(format!("its column `{}` has nothing in it", field.name())),
                    false => Ok(Node::Object(members)),
                }
            }
        }
    }
}

/// The element of a list where it is wrapped once more, as the format asks; older writers left that out.
fn element<'a>(field: &Type, list: &'a Type) -> Option<&'a Type> {
    if list.is_primitive() {
        return None;
    }
    match list.get_fields() {
        [only] if list.name() != "array" && list.name() != format!("{}_tuple", field.name()) => Some(only),
        _ => None,
    }
}

/// The rows of a file.
pub(crate) struct Parquet {
    file: String,
    reader: SerializedFileReader<Chunks>,
    root: Vec<(String, Node)>,
    kinds: Vec<cell::Kind>,
    /// Of the row group that is read.
    columns: Vec<Column>,
    group: usize,
    left: i64,
    rows: u64,
}

impl Parquet {
    pub fn open(file: &str, chunks: &Chunks) -> Result<Self, Error> {
        let fault = |reason: String| Error::Parquet { file: file.to_owned(), reason };
        let reader = guarded(|| SerializedFileReader::new(chunks.clone())).map_err(fault)?;
        check_places(reader.metadata()).map_err(fault)?;
        let schema = reader.metadata().file_metadata().schema();
        let mut planner = Planner { leaves: Vec::new() };
        let members = schema.get_fields().iter().map(|field| {
            let node = planner.of_field(field, 0, 0, 0)?;
            Ok((field.name().to_owned(), node))
        });
        let root: Vec<(String, Node)> = members.collect::<Result<_, String>>().map_err(fault)?;
        let kinds = planner.leaves;
        Ok(Self { file: file.to_owned(), reader, root, kinds, columns: Vec::new(), group: 0, left: 0, rows: 0 })
    }

    /// Opens the next row group; false behind the last.
    fn next_group(&mut self) -> Result<bool, String> {
        let metadata = self.reader.metadata();
        if self.group >= metadata.num_row_groups() {
            return Ok(false);
        }
        self.left = metadata.row_group(self.group).num_rows();
        let (group, kinds, reader) = (self.group, &self.kinds, &self.reader);
        self.columns = guarded(|| {
            let group = reader.get_row_group(group)?;
            if group.num_columns() != kinds.len() {
                return Err(ParquetError::General("a row group lacks columns of the schema".into()));
            }
            let levels = |index: usize| {
                let column = group.metadata().column(index).column_descr();
                (column.max_def_level(), column.max_rep_level())
            };
            let column = |(index, kind): (usize, &cell::Kind)| {
                let (definition, repetition) = levels(index);
                Ok(Column::new(group.get_column_reader(index)?, *kind, definition, repetition))
            };
            kinds.iter().enumerate().map(column).collect()
        })?;
        self.group += 1;
        Ok(true)
    }

    fn read(&mut self, row: &mut Row) -> Result<bool, String> {
        while self.left <= 0 {
            if !self.next_group()? {
                return Ok(false);
            }
        }
        self.left -= 1;
        for column in &mut self.columns {
            column.load()?;
        }
        write_object(&mut self.columns, &self.root, &mut row.bytes)?;
        Ok(true)
    }
}

impl Rows for Parquet {
    fn next(&mut self, row: &mut Row) -> Result<bool, Error> {
        self.rows += 1;
        let found = self.read(row).map_err(|reason| Error::Parquet {
            file: self.file.clone(),
            reason: format!("row {}: {reason}", self.rows),
        })?;
        if row.bytes.len() > MAX_ROW_BYTES {
            return Err(Error::LongRow { file: self.file.clone(), row: self.rows });
        }
        Ok(found)
    }
}

fn write_object(columns: &mut [Column], members: &[(String, Node)], out: &mut Vec<u8>) -> Result<(), String> {
    for (index, (name, member)) in members.iter().enumerate() {
        out.extend_from_slice(if index == 0 { b"{" } else { b", " });
        push_text(out, name.as_bytes());
        out.extend_from_slice(b": ");
        write(columns, member, out)?;
    }
    out.extend_from_slice(if members.is_empty() { b"{}" } else { b"}" });
    Ok(())
}

fn write(columns: &mut [Column], node: &Node, out: &mut Vec<u8>) -> Result<(), String> {
    let first = node.first_leaf().ok_or("a column has nothing in it")?;
    match node {
        Node::Leaf(leaf) => columns[*leaf].write(out),
        Node::Object(members) => write_object(columns, members, out),
        Node::Optional(definition, inner) => {
            if columns[first].definition()? >= *definition {
                return write(columns, inner, out);
            }
            out.extend_from_slice(b"null");
            skip(columns, inner);
            Ok(())
        }
        Node::List(definition, repetition, inner) => {
            if columns[first].definition()? < *definition {
                out.extend_from_slice(b"[]");
                skip(columns, inner);
                return Ok(());
            }
            out.push(b'[');
            loop {
                write(columns, inner, out)?;
                if columns[first].repetition() < *repetition {
                    break;
                }
                out.extend_from_slice(b", ");
            }
            out.push(b']');
            Ok(())
        }
        Node::Map(definition, repetition, key, value) => {
            if columns[first].definition()? < *definition {
                out.extend_from_slice(b"{}");
                skip(columns, node);
                return Ok(());
            }
            out.push(b'{');
            loop {
                let begins = out.len();
                write(columns, key, out)?;
                if out.get(begins) != Some(&b'"') {
                    let text = out.split_off(begins);
                    push_text(out, &text);
                }
                out.extend_from_slice(b": ");
                write(columns, value, out)?;
                if columns[first].repetition() < *repetition {
                    break;
                }
                out.extend_from_slice(b", ");
            }
            out.push(b'}');
            Ok(())
        }
    }
}

/// Passes over what says that a value is not there: one place in each of its columns.
fn skip(columns: &mut [Column], node: &Node) {
    node.each_leaf(&mut |leaf| columns[leaf].advance());
}

/// A column of a row group, a few rows of it in memory.
struct Column {
    values: Values,
    kind: cell::Kind,
    max_definition: i16,
    max_repetition: i16,
    definitions: Vec<i16>,
    repetitions: Vec<i16>,
    /// Places that are in memory, and the next one of them and of the values.
    places: usize,
    place: usize,
    value: usize,
}

/// A column's reader with the values it read last.
enum Values {
    Bool(ColumnReaderImpl<parquet::data_type::BoolType>, Vec<bool>),
    Int32(ColumnReaderImpl<parquet::data_type::Int32Type>, Vec<i32>),
    Int64(ColumnReaderImpl<parquet::data_type::Int64Type>, Vec<i64>),
    Int96(ColumnReaderImpl<parquet::data_type::Int96Type>, Vec<Int96>),
    Float(ColumnReaderImpl<parquet::data_type::FloatType>, Vec<f32>),
    Double(ColumnReaderImpl<parquet::data_type::DoubleType>, Vec<f64>),
    Bytes(ColumnReaderImpl<parquet::data_type::ByteArrayType>, Vec<ByteArray>),
    Fixed(ColumnReaderImpl<parquet::data_type::FixedLenByteArrayType>, Vec<FixedLenByteArray>),
}

impl Column {
    fn new(reader: ColumnReader, kind: cell::Kind, max_definition: i16, max_repetition: i16) -> Self {
        let values = match reader {
            ColumnReader::BoolColumnReader(reader) => Values::Bool(reader, Vec::new()),
            ColumnReader::Int32ColumnReader(reader) => Values::Int32(reader, Vec::new()),
            ColumnReader::Int64ColumnReader(reader) => Values::Int64(reader, Vec::new()),
            ColumnReader::Int96ColumnReader(reader) => Values::Int96(reader, Vec::new()),
            ColumnReader::FloatColumnReader(reader) => Values::Float(reader, Vec::new()),
            ColumnReader::DoubleColumnReader(reader) => Values::Double(reader, Vec::new()),
            ColumnReader::ByteArrayColumnReader(reader) => Values::Bytes(reader, Vec::new()),
            ColumnReader::FixedLenByteArrayColumnReader(reader) => Values::Fixed(reader, Vec::new()),
        };
        let (definitions, repetitions) = (Vec::new(), Vec::new());
        Self { values, kind, max_definition, max_repetition, definitions, repetitions, places: 0, place: 0, value: 0 }
    }

    /// Reads more rows when the ones in memory are used up.
    fn load(&mut self) -> Result<(), String> {
        if self.place < self.places {
            return Ok(());
        }
        self.definitions.clear();
        self.repetitions.clear();
        (self.place, self.value) = (0, 0);
        let (levels, repeats) = (&mut self.definitions, &mut self.repetitions);
        self.places = match &mut self.values {
            Values::Bool(reader, values) => fill(reader, values, levels, repeats),
            Values::Int32(reader, values) => fill(reader, values, levels, repeats),
            Values::Int64(reader, values) => fill(reader, values, levels, repeats),
            Values::Int96(reader, values) => fill(reader, values, levels, repeats),
            Values::Float(reader, values) => fill(reader, values, levels, repeats),
            Values::Double(reader, values) => fill(reader, values, levels, repeats),
            Values::Bytes(reader, values) => fill(reader, values, levels, repeats),
            Values::Fixed(reader, values) => fill(reader, values, levels, repeats),
        }?;
        match self.places {
            0 => Err("a column has fewer rows than its row group".into()),
            _ => Ok(()),
        }
    }

    fn definition(&self) -> Result<i16, String> {
        match (self.max_definition, self.place < self.places) {
            (_, false) => Err("a column ends within a row".into()),
            (0, true) => Ok(0),
            _ => self.definitions.get(self.place).copied().ok_or_else(|| "a column lacks a level".into()),
        }
    }

    /// Of the next place; 0, as at the start of a row, where none is in memory.
    fn repetition(&self) -> i16 {
        if self.max_repetition == 0 || self.place >= self.places {
            return 0;
        }
        self.repetitions.get(self.place).copied().unwrap_or(0)
    }

    fn advance(&mut self) {
        self.place += 1;
    }

    fn write(&mut self, out: &mut Vec<u8>) -> Result<(), String> {
        if self.definition()? < self.max_definition {
            return Err("a value is missing where the schema has one".into());
        }
        let at = self.value;
        let is_there = match &self.values {
            Values::Bool(_, values) => values.get(at).map(|value| cell::bool(out, *value)),
            Values::Int32(_, values) => values.get(at).map(|value| self.kind.int32(out, *value)),
            Values::Int64(_, values) => values.get(at).map(|value| self.kind.int64(out, *value)),
            Values::Int96(_, values) => values.get(at).map(|value| cell::int96(out, value.data())),
            Values::Float(_, values) => values.get(at).map(|value| cell::float(out, *value)),
            Values::Double(_, values) => values.get(at).map(|value| cell::double(out, *value)),
            Values::Bytes(_, values) => values.get(at).map(|value| self.kind.bytes(out, value.data())),
            Values::Fixed(_, values) => values.get(at).map(|value| self.kind.bytes(out, value.data())),
        };
        self.value += 1;
        self.place += 1;
        is_there.ok_or_else(|| "a column lacks a value".into())
    }
}

/// Reads a few rows: how many places they have.
fn fill<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    values: &mut Vec<T::T>,
    definitions: &mut Vec<i16>,
    repetitions: &mut Vec<i16>,
) -> Result<usize, String> {
    values.clear();
    guarded(|| reader.read_records(BATCH, Some(definitions), Some(repetitions), values)).map(|(_, _, levels)| levels)
}

/// What a file makes the library do, its panics taken as errors: a file is not trusted.
fn guarded<T>(work: impl FnOnce() -> parquet::errors::Result<T>) -> Result<T, String> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(found) => found.map_err(|e| advice(&e)),
        Err(_) => Err("its data is damaged".into()),
    }
}

fn advice(error: &ParquetError) -> String {
    let text = error.to_string();
    match text.to_lowercase().contains("disabled feature") || text.contains("compression") {
        true => format!("{text}; write it anew with snappy, zstd, gzip or lz4"),
        false => text,
    }
}
