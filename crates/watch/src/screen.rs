//! What of the table is to be seen, and which row is chosen.

use ratatui::widgets::TableState;

use crate::state::View;
use crate::work::Mark;

/// The user's place in the table. Until a row is chosen it follows the work.
#[derive(Debug, Default)]
pub struct Screen {
    pub(crate) table: TableState,
    is_chosen: bool,
    rows: usize,
}

/// Where to go in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Go {
    Up,
    Down,
    PageUp,
    PageDown,
    First,
    Last,
}

/// Rows that a page has.
const PAGE: usize = 10;

impl Screen {
    /// Chooses another row, seen from the one that was drawn last.
    pub fn go(&mut self, to: Go) {
        self.is_chosen = true;
        let now = self.table.selected().unwrap_or(0);
        let last = self.rows.saturating_sub(1);
        let next = match to {
            Go::Up => now.saturating_sub(1),
            Go::Down => now.saturating_add(1),
            Go::PageUp => now.saturating_sub(PAGE),
            Go::PageDown => now.saturating_add(PAGE),
            Go::First => 0,
            Go::Last => last,
        };
        self.table.select(Some(next.min(last)));
    }

    /// The row to be shown in detail: the chosen one, else the first that trains, else the first that is worked on.
    pub(crate) fn settle(&mut self, view: &View<'_>) -> Option<usize> {
        self.rows = view.rows.len();
        let running =
            || view.rows.iter().enumerate().filter(|(_, row)| matches!(row.mark, Mark::Running | Mark::Stopped));
        let followed =
            || running().find(|(_, row)| row.tokens_per_second.is_some()).or(running().next()).map(|(i, _)| i);
        let wanted = self.table.selected().filter(|_| self.is_chosen).or_else(followed).unwrap_or(0);
        let selected = self.rows.checked_sub(1).map(|last| wanted.min(last));
        self.table.select(selected);
        selected
    }
}
