//! What a view says in words, the same on a terminal and in plain lines.

use tunebench_spec::progress;

use crate::state::{Row, Standing, View};
use crate::text;
use crate::work::Mark;

/// How it stands, in a word or two.
pub fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::None => "no study",
        Standing::Running => "running",
        Standing::Elsewhere => "running elsewhere",
        Standing::Finished => "finished",
        Standing::Failed => "failed",
        Standing::Interrupted => "interrupted",
        Standing::Gone => "stopped",
    }
}

/// What to know, or to do, about how it stands; empty where the word says it all.
pub fn advice(view: &View<'_>) -> String {
    match view.standing {
        Standing::None => {
            let words = "no study has begun in this folder, or one of an earlier version, which leaves no";
            format!("{words} {}; waiting for one to begin", progress::FILE)
        }
        Standing::Gone => format!("process {} is gone; run the study again to go on", view.process),
        Standing::Interrupted => "run the study again to go on".into(),
        Standing::Failed => "run the study again to try what failed once more".into(),
        Standing::Elsewhere if view.host.is_empty() => {
            "on a machine without a name, so its process is not looked at".into()
        }
        Standing::Elsewhere => format!("on {}, so its process is not looked at", view.host),
        Standing::Running | Standing::Finished => String::new(),
    }
}

/// How long it has been going on, and how long it will.
pub fn time(view: &View<'_>) -> String {
    let elapsed = view.elapsed_seconds.map(|seconds| match view.left {
        Some(_) => format!("{} so far", text::duration(seconds)),
        None => format!("ran for {}", text::duration(seconds)),
    });
    let left = view.left.map(|left| match left.is_least {
        true if left.seconds == 0.0 => "time left not known yet".to_owned(),
        true => format!("more than {} left", text::duration(left.seconds)),
        false => format!("about {} left", text::duration(left.seconds)),
    });
    elapsed.into_iter().chain(left).collect::<Vec<_>>().join(", ")
}

/// 3 of 20 pieces done, 1 failed.
pub fn counts(view: &View<'_>) -> String {
    let counts = view.counts;
    let mut out = format!("{} of {} pieces done", counts.done, counts.all);
    for (number, word) in [(counts.failed, "failed"), (counts.skipped, "skipped")] {
        if number > 0 {
            out += &format!(", {number} {word}");
        }
    }
    out
}

/// What the process has of the machine's memory; empty where that is not known.
pub fn memory(view: &View<'_>) -> String {
    let Some(resident) = view.resident else { return String::new() };
    let total = view.total_memory.map_or(String::new(), |total| format!(" of {}", text::bytes(total)));
    let peak = view.peak.map_or(String::new(), |peak| format!(", at most {}", text::bytes(peak)));
    format!("memory {}{total}{peak}", text::bytes(resident))
}

/// One character for how it stands with work, that does not need colours.
pub fn sign(mark: Mark) -> &'static str {
    match mark {
        Mark::Waiting => "·",
        Mark::Running => "▶",
        Mark::Stopped => "◼",
        Mark::Done => "✓",
        Mark::Failed => "✗",
        Mark::Skipped => "–",
    }
}

/// An arm with its candidate and seed.
pub fn name(row: &Row<'_>) -> String {
    let mut out = row.arm.clone();
    if !row.candidate.is_empty() {
        out += &format!(", {}", row.candidate);
    }
    out + &format!(", seed {}", row.seed)
}

/// train 50 of 120.
pub fn current(row: &Row<'_>) -> String {
    let current = &row.current;
    match current.total {
        Some(total) => format!("{} {} of {total}", current.kind, current.done),
        None => format!("{} {}", current.kind, current.done),
    }
}

/// Losses on data that is not learned from: held out 2.105 (0.83 bits per byte), general 3.011.
pub fn losses(row: &Row<'_>) -> String {
    let Some(log) = row.training else { return String::new() };
    let held_out = log.held_out().last().map(|loss| ("held out", loss));
    let shown = held_out.into_iter().chain(log.other_sets()).filter_map(|(set, loss)| {
        let bits = loss.bits_per_byte.map_or(String::new(), |bits| format!(" ({bits:.3} bits per byte)"));
        Some(format!("{} {}{bits}", text::clean(set), text::loss(loss.loss?)))
    });
    shown.collect::<Vec<_>>().join(", ")
}
