//! BELLE's multi-turn data: a whole dialogue in one field, each turn behind `Human:` or `Assistant:`.
//!
//! ```text
//! Human: 你好
//! Assistant：你好！
//! Human: 请推荐一本书。
//! Assistant:
//! ```

use tunebench_plugin_api::{Role, Turn};

const SPEAKERS: [(&str, Role); 2] = [("Human", Role::User), ("Assistant", Role::Assistant)];

/// What a text is.
pub enum Dialogue {
    /// No dialogue.
    None,
    /// It reads like one and ends with the assistant's words: what is asked of it is no next turn, so it only quotes one.
    Quoted,
    /// The turns, without white space around them.
    Turns(Vec<Turn>),
}

/// The turns of a dialogue: it begins with a human turn and has an assistant's; the last of these, when empty, only asks
/// for the answer and is left out.
pub fn read(text: &str) -> Dialogue {
    let mut turns: Vec<Turn> = Vec::new();
    for line in text.trim_start().split_inclusive('\n') {
        match (speaker(line), turns.last_mut()) {
            (Some((role, rest)), _) => turns.push(Turn::new(role, rest)),
            (None, Some(turn)) => turn.content.push_str(line),
            (None, None) => return Dialogue::None,
        }
    }
    let is_dialogue = turns.first().is_some_and(|turn| turn.role == Role::User)
        && turns.iter().any(|turn| turn.role == Role::Assistant);
    if !is_dialogue {
        return Dialogue::None;
    }
    for turn in &mut turns {
        turn.content = turn.content.trim().into();
    }
    let asks = turns.pop_if(|turn| turn.role == Role::Assistant && turn.content.is_empty()).is_some();
    match turns.last() {
        Some(last) if !asks && last.role == Role::Assistant => Dialogue::Quoted,
        _ => Dialogue::Turns(turns),
    }
}

/// Who speaks in a line that begins a turn, and what follows the colon (either width).
fn speaker(line: &str) -> Option<(Role, &str)> {
    let line = line.trim_start();
    SPEAKERS.iter().find_map(|(name, role)| {
        let rest = line.strip_prefix(name)?.trim_start_matches(' ');
        Some((*role, rest.strip_prefix([':', '：'])?))
    })
}
