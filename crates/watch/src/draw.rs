//! A view on a terminal of any size: header, table, the selected training, the last messages, the keys.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize as _};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Borders, Cell, Paragraph, Row as TableRow, Table, TableState, Wrap};

use crate::chart;
use crate::columns::{self, Column};
use crate::screen::Screen;
use crate::state::{Row, Standing, View};
use crate::text;
use crate::words;
use crate::work::Mark;

/// Most messages that are shown.
const MESSAGES: usize = 4;
const KEYS: &str = "↑ ↓ select   PgUp PgDn   q quit";

/// How the rows of a terminal are shared out.
struct Areas {
    header: Rect,
    table: Rect,
    details: Rect,
    messages: Rect,
    keys: Rect,
}

/// Draws a whole frame; `screen` keeps the user's place from one to the next.
pub fn draw(frame: &mut Frame<'_>, view: &View<'_>, screen: &mut Screen) {
    let areas = share_out(frame.area(), view);
    frame.render_widget(Paragraph::new(header(view, areas.header)), areas.header);
    let selected = screen.settle(view);
    if view.rows.is_empty() {
        frame.render_widget(Paragraph::new(words::advice(view)).wrap(Wrap { trim: true }), areas.table);
    } else {
        draw_table(frame, view, &mut screen.table, areas.table);
    }
    if let Some(row) = selected.and_then(|row| view.rows.get(row)).filter(|_| areas.details.height > 0) {
        draw_details(frame, row, areas.details);
    }
    draw_messages(frame, view, areas.messages);
    frame.render_widget(keys(selected, view.rows.len(), areas.keys.width.into()).dim(), areas.keys);
}

/// The keys, and the place in the table where there is room for it.
fn keys(selected: Option<usize>, rows: usize, width: usize) -> Line<'static> {
    let place = selected.map_or(String::new(), |row| format!("{} of {rows}", row + 1));
    let space = width.saturating_sub(text::width(KEYS) + text::width(&place));
    match space {
        0..3 => Line::raw(text::cut(KEYS, width)),
        _ => Line::raw(format!("{KEYS}{}{place}", " ".repeat(space))),
    }
}

/// The table has first claim on what is left after header and keys; the chart on a tall terminal.
fn share_out(area: Rect, view: &View<'_>) -> Areas {
    let header = match area.height {
        0..6 => 1,
        6..12 => 2,
        _ => 3 + u16::from(!words::advice(view).is_empty() && !view.rows.is_empty()),
    };
    let keys = u16::from(area.height >= 8);
    let rows = u16::try_from(view.rows.len()).unwrap_or(u16::MAX).saturating_add(2);
    let free = area.height.saturating_sub(header + keys);
    let messages = match u16::try_from(view.messages.len().min(MESSAGES)) {
        Ok(count) if count > 0 && free >= 8 => (count + 1).min(free / 4).max(2),
        _ => 0,
    };
    let free = free - messages;
    let details = if free >= 14 && !view.rows.is_empty() { (free / 2).max(free.saturating_sub(rows)) } else { 0 };
    let heights = [header, free - details, details, messages, keys].map(Constraint::Length);
    let [header, table, details, messages, keys] = Layout::vertical(heights).areas(area);
    Areas { header, table, details, messages, keys }
}

fn header<'v>(view: &View<'v>, area: Rect) -> Vec<Line<'v>> {
    let width = usize::from(area.width);
    let badge = format!(" {} ", words::standing(view.standing));
    let name = text::cut(&view.study, width.saturating_sub(text::width(&badge) + 1));
    let mut first = vec![Span::styled(badge, Style::new().fg(color_of(view.standing)).reversed().bold())];
    first.extend([Span::raw(" "), Span::raw(name).bold()]);
    let used: usize = first.iter().map(Span::width).sum();
    let (time, counts, memory) = (words::time(view), words::counts(view), words::memory(view));
    if view.standing == Standing::None {
        return vec![Line::from(first)];
    }
    let mut lines = Vec::new();
    if area.height > 1 && used + text::width(&time) + 2 <= width {
        let space = width - used - text::width(&time);
        first.extend([Span::raw(" ".repeat(space)), Span::raw(time)]);
        lines.push(Line::from(first));
    } else {
        lines.push(Line::from(first));
        lines.push(Line::raw(text::cut(&time, width)));
    }
    let advice = words::advice(view);
    if !advice.is_empty() {
        lines.push(Line::from(Span::raw(text::cut(&advice, width)).fg(color_of(view.standing))));
    }
    let both = if memory.is_empty() { counts } else { format!("{counts}   {memory}") };
    lines.push(Line::raw(text::cut(&both, width)));
    lines
}

fn draw_table(frame: &mut Frame<'_>, view: &View<'_>, state: &mut TableState, area: Rect) {
    let columns = columns::fitting(view, area.width.into());
    let aligned = |column: Column, text: String| {
        if columns::is_right(column) { Line::raw(text).right_aligned() } else { Line::raw(text) }
    };
    let headings = columns.iter().map(|(column, _)| Cell::new(aligned(*column, columns::heading(*column).into())));
    let rows = view.rows.iter().map(|row| {
        let cells = columns.iter().map(|(column, width)| {
            let cell = Cell::new(aligned(*column, columns::cut_cell(*column, row, *width)));
            if matches!(column, Column::Sign | Column::Bar) { cell.fg(color(row.mark)) } else { cell }
        });
        TableRow::new(cells.collect::<Vec<_>>()).style(style_of(row.mark))
    });
    let widths = columns.iter().map(|(_, width)| Constraint::Length(u16::try_from(*width).unwrap_or(u16::MAX)));
    let table = Table::new(rows, widths)
        .header(TableRow::new(headings).style(Style::new().add_modifier(Modifier::UNDERLINED | Modifier::DIM)))
        .column_spacing(columns::GAP as u16)
        .row_highlight_style(Style::new().bg(Color::DarkGray).not_dim().underlined());
    frame.render_stateful_widget(table, area, state);
}

fn draw_details(frame: &mut Frame<'_>, row: &Row<'_>, area: Rect) {
    let width = usize::from(area.width.saturating_sub(2));
    let title =
        format!(" {} ", text::cut(&format!("{}: {}", words::name(row), words::current(row)), width.saturating_sub(2)));
    let losses = words::losses(row);
    let mut block =
        Block::new().borders(Borders::TOP).title(Line::raw(title).bold().not_dim()).border_style(Style::new().dim());
    if !losses.is_empty() {
        block = block.title_bottom(Line::raw(text::cut(&losses, width)));
    }
    match (&row.error, chart::Curves::of(row)) {
        (Some(error), _) => {
            let words = Paragraph::new(error.as_str()).fg(color(row.mark)).wrap(Wrap { trim: true });
            frame.render_widget(words.block(block), area);
        }
        (None, Some(curves)) => frame.render_widget(curves.chart().block(block), area),
        (None, None) => frame.render_widget(Paragraph::new("no loss yet").dim().block(block), area),
    }
}

fn draw_messages(frame: &mut Frame<'_>, view: &View<'_>, area: Rect) {
    let count = usize::from(area.height.saturating_sub(1));
    let last = view.messages.len().saturating_sub(count);
    let lines = view.messages.iter().skip(last).map(|message| {
        let line = Line::raw(text::cut(message, area.width.into()));
        if message.starts_with("error") { line.fg(Color::Red) } else { line }
    });
    let title = match last {
        0 => " messages ".to_owned(),
        earlier => format!(" messages, {earlier} earlier "),
    };
    let block =
        Block::new().borders(Borders::TOP).title(Line::raw(title).bold().not_dim()).border_style(Style::new().dim());
    frame.render_widget(Paragraph::new(lines.collect::<Vec<_>>()).block(block), area);
}

fn style_of(mark: Mark) -> Style {
    match mark {
        Mark::Waiting | Mark::Skipped => Style::new().dim(),
        Mark::Running => Style::new().bold(),
        Mark::Stopped | Mark::Failed => Style::new().fg(color(mark)),
        Mark::Done => Style::new(),
    }
}

fn color(mark: Mark) -> Color {
    match mark {
        Mark::Failed => Color::Red,
        Mark::Stopped => Color::Yellow,
        Mark::Done => Color::Green,
        Mark::Running => Color::Cyan,
        Mark::Waiting | Mark::Skipped => Color::Reset,
    }
}

fn color_of(standing: Standing) -> Color {
    match standing {
        Standing::None => Color::Reset,
        Standing::Running | Standing::Elsewhere => Color::Cyan,
        Standing::Finished => Color::Green,
        Standing::Failed => Color::Red,
        Standing::Interrupted | Standing::Gone => Color::Yellow,
    }
}
