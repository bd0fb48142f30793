//! Prompts without their template: without the lines that all prompts of an arm begin and end with.

use std::collections::BTreeMap;

/// How much of an arm's prompts is template.
#[derive(Clone, Copy)]
struct Ends {
    /// Bytes at the beginning and at the end.
    before: usize,
    after: usize,
}

/// What the prompts of an arm share.
struct Shared<'a> {
    first: &'a str,
    /// Bytes of the first that all others begin and end with, too.
    before: usize,
    after: usize,
    /// Bytes of the shortest prompt.
    shortest: usize,
}

impl Shared<'_> {
    /// The whole lines of it; none where they would be all of a prompt, as of one prompt alone.
    fn lines(&self) -> Ends {
        let bytes = self.first.as_bytes();
        let head = bytes.get(..self.before).unwrap_or_default();
        let tail = bytes.get(bytes.len() - self.after..).unwrap_or_default();
        let before = head.iter().rposition(|byte| *byte == b'\n').map_or(0, |place| place + 1);
        let after = tail.iter().position(|byte| *byte == b'\n').map_or(0, |place| tail.len() - place);
        match before + after > self.shortest {
            true => Ends { before: 0, after: 0 },
            false => Ends { before, after },
        }
    }
}

/// The templates of the arms.
pub struct Templates(BTreeMap<String, Ends>);

impl Templates {
    /// Of arms and prompts. Only whole lines are taken for a template, so that no question loses a word that others share.
    pub fn of<'a>(prompts: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut shared: BTreeMap<&str, Shared> = BTreeMap::new();
        for (arm, prompt) in prompts {
            let length = prompt.len();
            let whole = Shared { first: prompt, before: length, after: length, shortest: length };
            let found = shared.entry(arm).or_insert(whole);
            let equal = |(a, b): &(u8, u8)| a == b;
            let before = found.first.bytes().zip(prompt.bytes()).take_while(equal).count();
            let after = found.first.bytes().rev().zip(prompt.bytes().rev()).take_while(equal).count();
            found.before = found.before.min(before);
            found.after = found.after.min(after);
            found.shortest = found.shortest.min(length);
        }
        Self(shared.into_iter().map(|(arm, shared)| (arm.to_owned(), shared.lines())).collect())
    }

    /// What of a prompt is its own.
    pub fn question<'a>(&self, arm: &str, prompt: &'a str) -> &'a str {
        let Some(Ends { before, after }) = self.0.get(arm) else { return prompt };
        // A line's end is a character of its own, so both places are between characters.
        prompt.len().checked_sub(*after).and_then(|end| prompt.get(*before..end)).unwrap_or(prompt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_lines_that_all_prompts_share_are_left_out() {
        let cases: [(&[&str], &[&str]); 5] = [
            (
                &["Human: \nWhat is a?\n\nAssistant: \n", "Human: \nWhat is b?\n\nAssistant: \n"],
                &["What is a?", "What is b?"],
            ),
            (&["Q: 天地?", "Q: 天气?"], &["Q: 天地?", "Q: 天气?"]),
            (&["only\none\n"], &["only\none\n"]),
            (&["same\n", "same\n"], &["same\n", "same\n"]),
            (&["a\nb\n", "a\nb\nc\n"], &["a\nb\n", "a\nb\nc\n"]),
        ];
        for (prompts, want) in cases {
            let templates = Templates::of(prompts.iter().map(|prompt| ("arm", *prompt)));
            let found: Vec<&str> = prompts.iter().map(|prompt| templates.question("arm", prompt)).collect();
            assert_eq!(found, want);
        }
        assert_eq!(Templates::of([].into_iter()).question("other", "text"), "text");
    }
}
