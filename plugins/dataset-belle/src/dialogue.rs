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

/// The turns of a dialogue, without white space around them; empty when `text` is none. It is one when it begins with
/// a human turn and has an assistant's; the last of these, when empty, only asks for the answer and is left out.
pub fn turns(text: &str) -> Vec<Turn> {
    let mut turns: Vec<Turn> = Vec::new();
    for line in text.trim_start().split_inclusive('\n') {
        match (speaker(line), turns.last_mut()) {
            (Some((role, rest)), _) => turns.push(Turn::new(role, rest)),
            (None, Some(turn)) => turn.content.push_str(line),
            (None, None) => return vec![],
        }
    }
    let is_dialogue = turns.first().is_some_and(|turn| turn.role == Role::User)
        && turns.iter().any(|turn| turn.role == Role::Assistant);
    if !is_dialogue {
        return vec![];
    }
    for turn in &mut turns {
        turn.content = turn.content.trim().into();
    }
    turns.pop_if(|turn| turn.role == Role::Assistant && turn.content.is_empty());
    turns
}

/// Who speaks in a line that begins a turn, and what follows the colon (either width).
fn speaker(line: &str) -> Option<(Role, &str)> {
    let line = line.trim_start();
    SPEAKERS.iter().find_map(|(name, role)| {
        let rest = line.strip_prefix(name)?.trim_start_matches(' ');
        Some((*role, rest.strip_prefix([':', '：'])?))
    })
}
