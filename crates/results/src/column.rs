//! How the fields of a record become typed columns, and come back.
//!
//! A frame is declared with [`record!`]: for each field its Rust type, unit and meaning. The type decides the Parquet
//! type and whether nulls are allowed, so that nothing is said twice, and a field added to a record does not compile
//! until its column is declared.

use polars::prelude::{BooleanChunked, Float64Type, StringChunked, UInt32Type, UInt64Type};
use polars::prelude::{ChunkedArray, Column, DataType, IntoColumn, NewChunkedArray, PlSmallStr, PolarsNumericType};
use tunebench_spec::JudgementStatus;

/// One declared column.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnSpec {
    pub name: &'static str,
    pub dtype: DataType,
    /// The description says what null means.
    pub nullable: bool,
    /// Unit of the values; empty for text, names and flags.
    pub unit: &'static str,
    pub description: &'static str,
}

impl ColumnSpec {
    /// The description in the file's metadata, unit first: `seconds; wall time of training`.
    pub fn metadata(&self) -> String {
        match self.unit {
            "" => self.description.to_owned(),
            unit => format!("{unit}; {}", self.description),
        }
    }
}

/// A record with one declared column per field; implemented with [`record!`].
pub trait Record: Sized {
    /// Name of the frame and, with `.parquet`, of its file.
    const FRAME: &'static str;

    /// The declared columns, in order.
    fn columns() -> Vec<ColumnSpec>;

    /// One column per field; `rows.len()` values each.
    fn to_columns(rows: &[Self]) -> Vec<Column>;

    /// The records back from the declared columns of a frame.
    ///
    /// # Errors
    /// The first column with another type than declared, a null that is not allowed, or a value without a meaning.
    fn from_frame(frame: &polars::prelude::DataFrame) -> Result<Vec<Self>, ColumnError>;
}

/// A column that does not hold what its declaration says.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnError {
    pub column: &'static str,
    pub why: String,
}

/// A Rust type that a column can hold.
pub trait Cell: Sized {
    const NULLABLE: bool;

    fn dtype() -> DataType;

    fn write(name: &str, values: impl Iterator<Item = Self>) -> Column;

    /// # Errors
    /// Why the column does not hold values of this type.
    fn read(column: &Column) -> Result<Vec<Self>, String>;
}

/// The values of an optional column, none of which may be null.
fn all_present<T>(values: Vec<Option<T>>) -> Result<Vec<T>, String> {
    let n_rows = values.len();
    let values: Vec<T> = values.into_iter().flatten().collect();
    match n_rows - values.len() {
        0 => Ok(values),
        n_nulls => Err(format!("has {n_nulls} nulls, where none are allowed")),
    }
}

fn expect_dtype(column: &Column, expected: &DataType) -> Result<(), String> {
    match column.dtype() {
        found if found == expected => Ok(()),
        found => Err(format!("has type {found}, expected {expected}")),
    }
}

fn write_numbers<T: PolarsNumericType>(name: &str, values: impl Iterator<Item = Option<T::Native>>) -> Column
where
    ChunkedArray<T>: NewChunkedArray<T, T::Native>,
    ChunkedArray<T>: polars::prelude::IntoSeries,
{
    ChunkedArray::<T>::from_iter_options(PlSmallStr::from_str(name), values).into_column()
}

/// Implements [`Cell`] for `Option<T>` with the given body and for `T` by refusing nulls.
macro_rules! cell {
    ($rust:ty, $dtype:expr, $write:expr, $read:expr) => {
        impl Cell for Option<$rust> {
            const NULLABLE: bool = true;

            fn dtype() -> DataType {
                $dtype
            }

            fn write(name: &str, values: impl Iterator<Item = Self>) -> Column {
                $write(name, values)
            }

            fn read(column: &Column) -> Result<Vec<Self>, String> {
                expect_dtype(column, &Self::dtype())?;
                $read(column).map_err(|error: polars::prelude::PolarsError| error.to_string())
            }
        }

        impl Cell for $rust {
            const NULLABLE: bool = false;

            fn dtype() -> DataType {
                $dtype
            }

            fn write(name: &str, values: impl Iterator<Item = Self>) -> Column {
                <Option<$rust>>::write(name, values.map(Some))
            }

            fn read(column: &Column) -> Result<Vec<Self>, String> {
                all_present(<Option<$rust>>::read(column)?)
            }
        }
    };
}

cell!(u64, DataType::UInt64, write_numbers::<UInt64Type>, |c: &Column| Ok(c.u64()?.iter().collect()));
cell!(u32, DataType::UInt32, write_numbers::<UInt32Type>, |c: &Column| Ok(c.u32()?.iter().collect()));
cell!(f64, DataType::Float64, write_numbers::<Float64Type>, |c: &Column| Ok(c.f64()?.iter().collect()));
cell!(
    bool,
    DataType::Boolean,
    |name: &str, values| BooleanChunked::from_iter_options(PlSmallStr::from_str(name), values).into_column(),
    |c: &Column| Ok(c.bool()?.iter().collect())
);
cell!(
    String,
    DataType::String,
    |name: &str, values| StringChunked::from_iter_options(PlSmallStr::from_str(name), values).into_column(),
    |c: &Column| Ok(c.str()?.iter().map(|text| text.map(str::to_owned)).collect())
);

const STATUSES: [(JudgementStatus, &str); 3] =
    [(JudgementStatus::Scored, "scored"), (JudgementStatus::Unscored, "unscored"), (JudgementStatus::Failed, "failed")];

impl Cell for JudgementStatus {
    const NULLABLE: bool = false;

    fn dtype() -> DataType {
        DataType::String
    }

    fn write(name: &str, values: impl Iterator<Item = Self>) -> Column {
        let word = |status| STATUSES.iter().find(|(known, _)| *known == status).map(|(_, word)| (*word).to_owned());
        Option::<String>::write(name, values.map(word))
    }

    fn read(column: &Column) -> Result<Vec<Self>, String> {
        let status = |word: String| match STATUSES.iter().find(|(_, known)| *known == word) {
            Some((status, _)) => Ok(*status),
            None => Err(format!("has the value `{}`, expected scored, unscored or failed", word.escape_debug())),
        };
        String::read(column)?.into_iter().map(status).collect()
    }
}

/// Reads one declared column of a frame.
///
/// # Errors
/// As [`Record::from_frame`].
pub fn read_column<T: Cell>(
    frame: &polars::prelude::DataFrame,
    name: &'static str,
) -> Result<std::vec::IntoIter<T>, ColumnError> {
    let column = frame.column(name).map_err(|_| ColumnError { column: name, why: "is missing".into() })?;
    T::read(column).map(Vec::into_iter).map_err(|why| ColumnError { column: name, why })
}

/// Declares a frame: `record!("name", Type { field: type, "unit", "description"; … })`.
macro_rules! record {
    ($frame:literal, $record:ty { $($field:ident: $type:ty, $unit:literal, $description:literal;)+ }) => {
        impl $crate::column::Record for $record {
            const FRAME: &'static str = $frame;

            fn columns() -> Vec<$crate::column::ColumnSpec> {
                vec![$($crate::column::ColumnSpec {
                    name: stringify!($field),
                    dtype: <$type as $crate::column::Cell>::dtype(),
                    nullable: <$type as $crate::column::Cell>::NULLABLE,
                    unit: $unit,
                    description: $description,
                }),+]
            }

            fn to_columns(rows: &[Self]) -> Vec<polars::prelude::Column> {
                vec![$(<$type as $crate::column::Cell>::write(
                    stringify!($field),
                    rows.iter().map(|row| row.$field.clone()),
                )),+]
            }

            fn from_frame(
                frame: &polars::prelude::DataFrame,
            ) -> Result<Vec<Self>, $crate::column::ColumnError> {
                $(let mut $field = $crate::column::read_column::<$type>(frame, stringify!($field))?;)+
                let mut rows = Vec::with_capacity(frame.height());
                // All columns of a frame have one length, so the first to end ends them all.
                while let ($(Some($field),)+) = ($($field.next(),)+) {
                    rows.push(Self { $($field),+ });
                }
                Ok(rows)
            }
        }
    };
}

pub(crate) use record;
