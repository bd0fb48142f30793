//! A table as plain data, apart from how it is shown.

/// A table: `rows` have one cell per column.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    pub title: String,
    pub columns: Vec<Column>,
    pub rows: Vec<Vec<Cell>>,
    /// What a reader must know to read the table right, a sentence each.
    pub notes: Vec<String>,
}

/// A column of a table.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    pub name: String,
    /// Digits shown after the point of a [`Cell::Number`]; JSON has them all.
    pub decimals: usize,
    /// Sentences, which a terminal shows whole however long they are.
    pub is_prose: bool,
}

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    Text(String),
    Integer(i128),
    Number(f64),
    Missing,
}

impl Table {
    /// A table without rows; columns are `(name, decimals)`.
    pub fn new(title: impl Into<String>, columns: &[(&str, usize)]) -> Self {
        let column = |(name, decimals): &(&str, usize)| Column {
            name: (*name).to_owned(),
            decimals: *decimals,
            is_prose: false,
        };
        Self { title: title.into(), columns: columns.iter().map(column).collect(), rows: Vec::new(), notes: Vec::new() }
    }

    /// With these columns as prose.
    #[must_use]
    pub fn with_prose(mut self, names: &[&str]) -> Self {
        for column in self.columns.iter_mut().filter(|column| names.contains(&column.name.as_str())) {
            column.is_prose = true;
        }
        self
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl From<u64> for Cell {
    fn from(count: u64) -> Self {
        Self::Integer(count.into())
    }
}

impl From<usize> for Cell {
    fn from(count: usize) -> Self {
        Self::Integer(count as i128)
    }
}

impl From<f64> for Cell {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Missing, Into::into)
    }
}
