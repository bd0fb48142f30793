//! The modules of a crate import in one direction: no two files use each other's items, neither directly nor by way of
//! others, so that a crate can be read from one end to the other.
//!
//! A file uses another where it names an item that the other one defines. A `mod.rs` counts as any file: what it only
//! re-exports from the files below it is no use, and whoever takes it there uses the file that defines it. But a file
//! that takes an item which its `mod.rs` defines, while `mod.rs` uses the file, makes a circle: what both need belongs
//! into a third file.

mod arrows;
mod scan;

use std::collections::{BTreeMap, BTreeSet};

use arrows::{Arrow, Tree};

/// Arrows that may close a circle: from a file, to a file, and why.
pub const ALLOWED: &[(&str, &str, &str)] = &[];

/// The circles of the crates that begin in the files `roots`, and exceptions that are none; `read` gives a file's text.
pub fn faults(roots: &[String], read: impl Fn(&str) -> Option<String>) -> Vec<String> {
    faults_but(ALLOWED, roots, read)
}

fn faults_but(allowed: &[(&str, &str, &str)], roots: &[String], read: impl Fn(&str) -> Option<String>) -> Vec<String> {
    let mut faults = Vec::new();
    let mut used: BTreeSet<&(&str, &str, &str)> = BTreeSet::new();
    for root in roots {
        let arrows = Tree::read(root, &read).arrows();
        let all = circles(&arrows);
        let exception = |arrow: &Arrow| allowed.iter().find(|(from, to, _)| arrow.from == *from && arrow.to == *to);
        let is_in = |circle: &BTreeSet<&str>, arrow: &Arrow| {
            circle.contains(arrow.from.as_str()) && circle.contains(arrow.to.as_str())
        };
        let closing = arrows.iter().filter(|arrow| all.iter().any(|circle| is_in(circle, arrow)));
        used.extend(closing.filter_map(exception));
        let rest: Vec<Arrow> = arrows.iter().filter(|arrow| exception(arrow).is_none()).cloned().collect();
        faults.extend(circles(&rest).iter().map(|circle| describe(circle, &rest)));
    }
    let stale = allowed.iter().filter(|row| !used.contains(row));
    faults.extend(stale.map(|(from, to, _)| {
        format!("{from}: closes no circle by using {to}; unlist it in xtask/src/tidy/modules/mod.rs")
    }));
    faults
}

/// The strongly connected files, where there is more than one: each reaches each.
fn circles(arrows: &[Arrow]) -> Vec<BTreeSet<&str>> {
    let mut next: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for arrow in arrows {
        next.entry(&arrow.from).or_default().push(&arrow.to);
    }
    let reached: BTreeMap<&str, BTreeSet<&str>> = next.keys().map(|from| (*from, reach(from, &next))).collect();
    let reaches = |from: &str, to: &str| reached.get(from).is_some_and(|files| files.contains(to));
    let mut circles: Vec<BTreeSet<&str>> = Vec::new();
    for file in next.keys().filter(|file| reaches(file, file)) {
        if !circles.iter().any(|circle| circle.contains(file)) {
            circles.push(next.keys().copied().filter(|other| reaches(file, other) && reaches(other, file)).collect());
        }
    }
    circles
}

/// All files that can be come to from one, by one arrow or more.
fn reach<'a>(from: &str, next: &BTreeMap<&str, Vec<&'a str>>) -> BTreeSet<&'a str> {
    let mut seen = BTreeSet::new();
    let mut open: Vec<&str> = next.get(from).into_iter().flatten().copied().collect();
    while let Some(file) = open.pop() {
        if seen.insert(file) {
            open.extend(next.get(file).into_iter().flatten().copied());
        }
    }
    seen
}

/// The files of a circle and one shortest way around, an arrow a line.
fn describe(circle: &BTreeSet<&str>, arrows: &[Arrow]) -> String {
    let inside: Vec<&Arrow> = arrows
        .iter()
        .filter(|arrow| circle.contains(arrow.from.as_str()) && circle.contains(arrow.to.as_str()))
        .collect();
    let ways = circle.iter().filter_map(|file| way_around(file, &inside));
    let way = ways.min_by_key(Vec::len).unwrap_or_default();
    let start = way.first().map_or(String::new(), |arrow| format!("{}:{}", arrow.from, arrow.line));
    let steps =
        way.iter().map(|arrow| format!("\n    {}:{} uses {} (`{}`)", arrow.from, arrow.line, arrow.to, arrow.path));
    format!(
        "{start}: {} files use each other in a circle; move what both need into a file of its own{}{}",
        circle.len(),
        steps.collect::<String>(),
        if circle.len() > way.len() { format!("\n    all: {}", list(circle)) } else { String::new() }
    )
}

fn list(circle: &BTreeSet<&str>) -> String {
    circle.iter().copied().collect::<Vec<_>>().join(", ")
}

/// The shortest way from a file back to itself.
fn way_around<'a>(file: &str, arrows: &[&'a Arrow]) -> Option<Vec<&'a Arrow>> {
    let mut ways: Vec<Vec<&Arrow>> =
        arrows.iter().filter(|arrow| arrow.from == file).map(|arrow| vec![*arrow]).collect();
    let mut seen = BTreeSet::new();
    while !ways.is_empty() {
        let mut longer = Vec::new();
        for way in ways {
            let Some(last) = way.last() else { continue };
            if last.to == file {
                return Some(way);
            }
            if seen.insert(last.to.as_str()) {
                let next = arrows.iter().filter(|arrow| arrow.from == last.to);
                longer.extend(next.map(|arrow| way.iter().copied().chain([*arrow]).collect::<Vec<_>>()));
            }
        }
        ways = longer;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The circles of a crate of some files below `src`, each as the files of a shortest way around.
    fn check(files: &[(&str, &str)], want: &[&[&str]]) {
        check_but(&[], files, want);
    }

    fn check_but(allowed: &[(&str, &str, &str)], files: &[(&str, &str)], want: &[&[&str]]) {
        let read = |path: &str| {
            let file = files.iter().find(|(name, _)| path.strip_prefix("src/") == Some(*name));
            file.map(|(_, text)| (*text).to_owned())
        };
        let found = faults_but(allowed, &["src/lib.rs".to_owned()], read);
        let ways: Vec<Vec<&str>> = found.iter().map(|fault| way(fault)).collect();
        assert_eq!(ways, want, "{found:#?}");
    }

    /// `a.rs` of each line `    src/a.rs:1 uses …`, or the whole fault.
    fn way(fault: &str) -> Vec<&str> {
        let steps = fault.lines().filter(|line| line.contains(" uses "));
        let files: Vec<&str> = steps.filter_map(|line| line.trim().strip_prefix("src/")?.split(':').next()).collect();
        if files.is_empty() { vec![fault] } else { files }
    }

    #[test]
    fn arrows_one_way_make_no_circle() {
        check(
            &[
                ("lib.rs", "mod a; mod b; mod c;"),
                ("a.rs", "use crate::b::B; use super::c::{C, D};"),
                ("b.rs", "pub struct B(crate::c::C);"),
                ("c.rs", "pub struct C; pub struct D;"),
            ],
            &[],
        );
    }

    #[test]
    fn files_that_use_each_other_make_one() {
        let [a, b] = [("a.rs", "use crate::b::B;\npub struct A;"), ("b.rs", "pub struct B; fn f(a: super::a::A) {}")];
        check(&[("lib.rs", "mod a; mod b;"), a, b], &[&["a.rs", "b.rs"]]);
        // By way of a third.
        let files = [
            ("lib.rs", "mod a; mod b; mod c;"),
            a,
            ("b.rs", "use crate::c::C; pub struct B;"),
            ("c.rs", "pub struct C; pub use super::a::A;"),
        ];
        check(&files, &[&["a.rs", "b.rs", "c.rs"]]);
    }

    #[test]
    fn a_folder_may_list_what_its_files_define() {
        let [a, b] = [("m/a.rs", "pub struct A;"), ("m/b.rs", "use super::A; use crate::m::a;\nfn f() { a::g() }")];
        for root in ["pub use a::A;", "pub(crate) use self::a::{A as A};", "pub use a::*;"] {
            check(&[("lib.rs", "mod m;"), ("m/mod.rs", &format!("mod a; mod b; {root}")), a, b], &[]);
        }
    }

    #[test]
    fn a_folder_that_uses_its_files_must_define_nothing_for_them() {
        let a = ("m/a.rs", "use super::Shared; pub struct A;");
        for root in [
            "mod a; use a::A; pub struct Shared(A);",
            "mod a; pub struct Shared(a::A);",
            "mod a; pub use a::A; pub struct Shared(A);",
        ] {
            check(&[("lib.rs", "mod m;"), ("m/mod.rs", root), a], &[&["m/a.rs", "m/mod.rs"]]);
        }
        let apart = ("m/mod.rs", "mod a; mod shared; pub use shared::Shared; use a::A; fn f(a: A) {}");
        check(&[("lib.rs", "mod m;"), apart, ("m/shared.rs", "pub struct Shared;"), a], &[]);
    }

    #[test]
    fn names_are_followed_to_their_definition() {
        fn files(a: &str) -> [(&str, &str); 5] {
            [
                ("lib.rs", "mod a; mod b; mod error; mod prelude; pub use error::{Error, Result as Res};"),
                ("a.rs", a),
                ("b.rs", "pub const B: u8 = crate::a::A; pub enum Kind { One }"),
                ("error.rs", "pub type Result = (); pub struct Error; use std::path::Path;"),
                ("prelude.rs", "pub use crate::error::*; pub use crate::b::Kind as Sort;"),
            ]
        }
        for path in ["b::Kind::One", "prelude::Sort", "{error, b::Kind}"] {
            let text = format!("use crate::{path}; pub const A: u8 = 1;");
            check(&files(&text), &[&["a.rs", "b.rs"]]);
        }
        for path in ["Error", "Res", "prelude::Result", "error::Path", "b"] {
            check(&files(&format!("use crate::{path}; pub const A: u8 = 1;")), &[]);
        }
        // A module that is imported by its name is used where the name is.
        check(&files("use crate::b; pub const A: u8 = b::B;"), &[&["a.rs", "b.rs"]]);
    }

    #[test]
    fn inner_modules_are_of_their_file() {
        let a = "pub struct A; mod inner { use super::A; use super::super::b::B; pub fn f() {} } use inner::f;";
        check(&[("lib.rs", "mod a; mod b;"), ("a.rs", a), ("b.rs", "pub struct B;")], &[]);
        check(
            &[("lib.rs", "mod a; mod b;"), ("a.rs", a), ("b.rs", "use crate::a::A; pub struct B;")],
            &[&["a.rs", "b.rs"]],
        );
    }

    #[test]
    fn tests_comments_and_texts_do_not_count() {
        let b = ("b.rs", "use crate::a::A; pub struct B;");
        for text in [
            "#[cfg(test)]\nmod tests { use crate::b::B; fn f() {} }",
            "#[cfg(all(test, unix))] use crate::b::B;",
            "#[cfg(test)] #[allow(x)] fn f() -> [u8; 2] { crate::b::B }",
            "// use crate::b::B;\n/* /* */ use crate::b::B; */",
            "const T: &str = \"\\\" crate::b::B\"; const R: &str = r#\"\" crate::b::B\"#;",
            "fn f<'a>(x: &'a str) -> [char; 3] { ['\"', '\\'', ':'] } // crate::b::B",
        ] {
            check(&[("lib.rs", "mod a; mod b;"), ("a.rs", &format!("{text} pub struct A;")), b], &[]);
        }
        let after = "#[cfg(test)] mod tests { fn f() {} } use crate::b::B; pub struct A;";
        check(&[("lib.rs", "mod a; mod b;"), ("a.rs", after), b], &[&["a.rs", "b.rs"]]);
    }

    #[test]
    fn exceptions_are_listed_and_needed() {
        let files = [
            ("lib.rs", "mod a; mod b;"),
            ("a.rs", "use crate::b::B; pub struct A;"),
            ("b.rs", "use crate::a::A; pub struct B;"),
        ];
        check_but(&[("src/a.rs", "src/b.rs", "a and b are one")], &files, &[]);
        let stale = "src/a.rs: closes no circle by using src/c.rs; unlist it in xtask/src/tidy/modules/mod.rs";
        check_but(&[("src/a.rs", "src/c.rs", "gone")], &files, &[&["a.rs", "b.rs"], &[stale]]);
    }
}
