//! Any example as an evaluation item.

use tunebench_spec::{Example, Role, Turn};

const SYSTEM: Role = Role::System;
const USER: Role = Role::User;
const ASSISTANT: Role = Role::Assistant;

fn example(turns: &[(Role, &str)], reference: Option<&str>) -> Example {
    let turns = turns.iter().map(|(role, content)| Turn::new(*role, *content)).collect();
    let (category, rubric) = (Some("math".into()), Some("r".into()));
    Example { id: "t:1".into(), turns, category, reference: reference.map(Into::into), rubric }
}

#[test]
fn an_answer_becomes_the_reference_and_is_not_asked() {
    let long = [(SYSTEM, "s"), (USER, "q"), (ASSISTANT, "a"), (USER, "r"), (ASSISTANT, "b")];
    // Turns, reference; turns of the item, its reference.
    let cases = [
        (&long[..], None, 4, Some("b")),
        (&long[..4], None, 4, None),
        (&long[..3], None, 2, Some("a")),
        (&long[1..3], Some("42"), 1, Some("42")),
        (&long[1..3], Some(" "), 1, Some("a")),
        (&long[1..2], Some("42"), 1, Some("42")),
        (&[(USER, "q"), (ASSISTANT, " \n")][..], None, 1, None),
        // Text alone asks nothing.
        (&[(ASSISTANT, "text")][..], None, 1, None),
        (&[][..], None, 0, None),
    ];
    for (turns, reference, kept, want) in cases {
        let item = example(turns, reference).into_item();
        assert_eq!(item, example(&turns[..kept], want), "{turns:?} {reference:?}");
        assert_eq!(item.clone().into_item(), item);
        assert_eq!(item.question(), example(turns, reference).question());
    }
}

#[test]
fn what_may_be_learnt_is_no_part_of_a_question() {
    let turns = [(USER, "q"), (ASSISTANT, "a"), (USER, "r"), (ASSISTANT, "b")];
    let mut marked = example(&turns, None);
    marked.turns[1].is_learnt = false;
    assert_eq!(marked.clone().into_item(), example(&turns, None).into_item());
    let json = serde_json::to_string(&marked.turns).unwrap();
    assert_eq!(json.matches("is_learnt").count(), 1, "{json}");
    assert_eq!(serde_json::from_str::<Vec<Turn>>(&json).unwrap(), marked.turns);
}
