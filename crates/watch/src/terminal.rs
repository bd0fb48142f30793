//! The loop: look at the folder, draw, wait for a key or for the next look.

use std::io::{self, IsTerminal as _};
use std::path::Path;
use std::time::{Duration, Instant};

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyModifiers};

use crate::draw::draw;
use crate::error::Error;
use crate::folder::Folder;
use crate::screen::{Go, Screen};

/// Between two looks at the folder.
const INTERVAL: Duration = Duration::from_millis(250);

/// Gives the terminal back when it goes out of scope; after a panic ratatui's hook has done so already.
struct Restored;

impl Drop for Restored {
    fn drop(&mut self) {
        // A terminal that went away needs nothing any more.
        let _ = ratatui::try_restore();
    }
}

/// Shows a run folder until the user quits, and reads it four times a second.
///
/// # Errors
/// [`Error::NoFolder`]; [`Error::Terminal`] when standard output is none, or it fails.
pub fn run(folder: &Path) -> Result<(), Error> {
    let mut folder = Folder::open(folder)?;
    let terminal_error = |source| Error::Terminal { source };
    if !io::stdout().is_terminal() {
        return Err(terminal_error(io::Error::other("standard output is not a terminal")));
    }
    let _restored = Restored;
    let mut terminal = ratatui::try_init().map_err(terminal_error)?;
    let mut screen = Screen::default();
    let mut next_look = Instant::now() + INTERVAL;
    loop {
        terminal.draw(|frame| draw(frame, &folder.view(), &mut screen)).map_err(terminal_error)?;
        if event::poll(next_look.saturating_duration_since(Instant::now())).map_err(terminal_error)? {
            let event = event::read().map_err(terminal_error)?;
            if let Event::Key(key) = event
                && handle(key, &mut screen) == Wish::Quit
            {
                return Ok(());
            }
        } else {
            folder.refresh();
            next_look = Instant::now() + INTERVAL;
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Wish {
    Stay,
    Quit,
}

/// What a key asks for. Windows tells of keys let go, too.
fn handle(key: KeyEvent, screen: &mut Screen) -> Wish {
    let is_control = key.modifiers.contains(KeyModifiers::CONTROL);
    let to = match key.code {
        _ if key.is_release() => return Wish::Stay,
        KeyCode::Char('q') | KeyCode::Esc => return Wish::Quit,
        KeyCode::Char('c') if is_control => return Wish::Quit,
        KeyCode::Up | KeyCode::Char('k') => Go::Up,
        KeyCode::Down | KeyCode::Char('j') => Go::Down,
        KeyCode::PageUp => Go::PageUp,
        KeyCode::PageDown => Go::PageDown,
        KeyCode::Home => Go::First,
        KeyCode::End => Go::Last,
        _ => return Wish::Stay,
    };
    screen.go(to);
    Wish::Stay
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quits_by_three_keys() {
        let press = |code, modifiers| handle(KeyEvent::new(code, modifiers), &mut Screen::default());
        let (none, control) = (KeyModifiers::NONE, KeyModifiers::CONTROL);
        for (code, modifiers) in [(KeyCode::Char('q'), none), (KeyCode::Esc, none), (KeyCode::Char('c'), control)] {
            assert_eq!(press(code, modifiers), Wish::Quit, "{code:?}");
        }
        for code in [KeyCode::Char('c'), KeyCode::Down, KeyCode::F(1)] {
            assert_eq!(press(code, none), Wish::Stay, "{code:?}");
        }
    }
}
