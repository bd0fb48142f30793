//! Prompts without their template: without the lines that all prompts of an arm begin and end with.

use std::collections::BTreeMap;

/// How much of an arm's prompts is template.
#[derive(Clone, Copy)]
struct Ends {
    /// Bytes at the beginning and at the end.
    before: usize,
    after: usize,
}

/// The templates of the arms.
pub struct Templates(BTreeMap<String, Ends>);

impl Templates {
    /// Of arms and prompts. Only whole lines are taken for a template, so that no question loses a word that others share.
    pub fn of<'a>(prompts: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        // The first prompt of an arm, and how many bytes of it all others share.
        let mut shared: BTreeMap<&str, (&str, Ends)> = BTreeMap::new();
        for (arm, prompt) in prompts {
            let whole = Ends { before: prompt.len(), after: prompt.len() };
            let (first, ends) = shared.entry(arm).or_insert((prompt, whole));
            let equal = |(a, b): &(u8, u8)| a == b;
            let before = first.bytes().zip(prompt.bytes()).take_while(equal).count();
            let after = first.bytes().rev().zip(prompt.bytes().rev()).take_while(equal).count();
            *ends = Ends { before: ends.before.min(before), after: ends.after.min(after) };
        }
        let lines = |(arm, (first, ends)): (&str, (&str, Ends))| {
            let bytes = first.as_bytes();
            // One prompt alone does not show what is template.
            if ends.before == bytes.len() {
                return (arm.to_owned(), Ends { before: 0, after: 0 });
            }
            let head = bytes.get(..ends.before).unwrap_or_default();
            let tail = bytes.get(bytes.len() - ends.after..).unwrap_or_default();
            let before = head.iter().rposition(|byte| *byte == b'\n').map_or(0, |place| place + 1);
            let after = tail.iter().position(|byte| *byte == b'\n').map_or(0, |place| tail.len() - place);
            (arm.to_owned(), Ends { before, after })
        };
        Self(shared.into_iter().map(lines).collect())
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
            (&["x\n\n", "x\n\n\n"], &["", "\n"]),
        ];
        for (prompts, want) in cases {
            let templates = Templates::of(prompts.iter().map(|prompt| ("arm", *prompt)));
            let found: Vec<&str> = prompts.iter().map(|prompt| templates.question("arm", prompt)).collect();
            assert_eq!(found, want);
        }
        assert_eq!(Templates::of([].into_iter()).question("other", "text"), "text");
    }
}
