//! ARCHITECTURE.md against the repository: a map that names what is gone, or leaves a crate out, is a fault.

/// The map.
pub const FILE: &str = "ARCHITECTURE.md";

/// Names of packages begin with one of these; the map may use them bare.
const PACKAGE_PREFIXES: [&str; 4] = ["tunebench-", "tuner-", "dataset-", "judge-"];

/// What the map names that does not exist, and which of the crate `folders` it does not name.
pub fn faults(map: &str, folders: &[String], exists: impl Fn(&str) -> bool) -> Vec<String> {
    let mut faults = Vec::new();
    for (number, line) in map.lines().enumerate() {
        for name in code_spans(line).chain(link_targets(line)) {
            let package = PACKAGE_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) && !name.contains('/');
            let found = match package {
                true => folders.iter().any(|f| last(f) == name.strip_prefix("tunebench-").unwrap_or(name)),
                false => !is_path(name) || exists(name),
            };
            if !found {
                faults.push(format!("{FILE}:{}: there is no `{name}`; correct the map", number + 1));
            }
        }
    }
    let named = |folder: &&String| map.lines().flat_map(code_spans).any(|s| s.trim_end_matches('/') == folder.as_str());
    let missing = folders.iter().filter(|f| !named(f));
    faults.extend(missing.map(|f| format!("{FILE}: does not name `{f}`; say there what it is for")));
    faults
}

/// What stands between backquotes.
fn code_spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// Targets of Markdown links, without those on the web.
fn link_targets(line: &str) -> impl Iterator<Item = &str> {
    let targets = line.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.map(|t| t.split('#').next().unwrap_or(t)).filter(|t| !t.is_empty() && !t.contains("://"))
}

/// Whether a word is a path of the repository, rather than a command, a type or a fraction.
fn is_path(word: &str) -> bool {
    let plain = word.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
    plain && (word.contains('/') || word.ends_with(".md"))
}

fn last(folder: &str) -> &str {
    folder.rsplit('/').next().unwrap_or(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(map: &str, want: &[&str]) {
        let folders = ["crates/spec".to_owned(), "plugins/tuner-ft".to_owned()];
        let all = "`crates/spec/` and `plugins/tuner-ft`\n";
        let exists = |path: &str| ["crates/spec/", "plugins/tuner-ft", "README.md"].contains(&path);
        let found = faults(&format!("{all}{map}"), &folders, exists);
        assert_eq!(found, want.iter().map(|w| format!("{FILE}{w}")).collect::<Vec<_>>());
    }

    #[test]
    fn what_exists() {
        check(
            "`tuner-ft`, `tunebench-spec`, `README.md` and [it](README.md#top), `config.json`, `cargo test`, `a / b`, [x](https://y.z/)",
            &[],
        );
    }

    #[test]
    fn what_is_gone() {
        check(
            "see `crates/gone` and [it](old.md)",
            &[":2: there is no `crates/gone`; correct the map", ":2: there is no `old.md`; correct the map"],
        );
        check("\n`tuner-gone`", &[":3: there is no `tuner-gone`; correct the map"]);
        check("`gone.md`", &[":2: there is no `gone.md`; correct the map"]);
    }

    #[test]
    fn what_is_left_out() {
        let found = faults("`crates/spec`", &["crates/spec".into(), "crates/new".into()], |_| true);
        assert_eq!(found, ["ARCHITECTURE.md: does not name `crates/new`; say there what it is for"]);
    }
}
