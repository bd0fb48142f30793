//! The binary boundary between host and plugins: what it is now against what was committed for its version, and whether
//! the change log knows of that version.

use anyhow::{Context as _, Result, bail};

use crate::workspace::Workspace;

const CRATE: &str = "crates/plugin-api";

/// What differs. A boundary that has changed is a new version; a released one never changes.
pub fn faults(workspace: &Workspace) -> Result<Vec<String>> {
    let mut command = workspace.cargo("run --quiet --package tunebench-plugin-api --example abi".split(' '));
    let output = command.output().context("starting cargo")?;
    if !output.status.success() {
        bail!("the boundary cannot be printed:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    let printed = String::from_utf8(output.stdout).context("the boundary as printed")?;
    let read = |file: &str| std::fs::read_to_string(workspace.root.join(CRATE).join(file)).unwrap_or_default();
    let (manifest, log) = (read("Cargo.toml"), read("CHANGELOG.md"));
    let version =
        manifest.lines().find_map(|line| line.strip_prefix("version = ")).unwrap_or_default().trim_matches('"');
    let minor = printed.lines().next().and_then(|line| line.strip_prefix("plugin-api ")).unwrap_or_default();
    let file = format!("abi/{minor}.txt");
    Ok(compare(&printed, &read(&file), &file, version, minor, &log))
}

fn compare(printed: &str, kept: &str, file: &str, version: &str, minor: &str, log: &str) -> Vec<String> {
    let mut faults = Vec::new();
    if printed != kept {
        let line = printed.lines().zip(kept.lines()).position(|(new, old)| new != old);
        let line = line.unwrap_or_else(|| printed.lines().count().min(kept.lines().count())) + 1;
        faults.push(format!(
            "{CRATE}/{file}:{line}: the binary boundary is another; once this version is released, raise API_MINOR and \
             the crate's version and only append. Then `cargo run -qp tunebench-plugin-api --example abi > {CRATE}/{file}`"
        ));
    }
    if version.rsplit_once('.').map(|(start, _)| start) != Some(minor) {
        faults.push(format!("{CRATE}/Cargo.toml: version {version}, but src/abi.rs says {minor}; they go together"));
    }
    if log.lines().find_map(|line| line.strip_prefix("## ")) != Some(version) {
        faults.push(format!("{CRATE}/CHANGELOG.md: its first section must be `## {version}` and say what changed"));
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_boundary_its_version_and_its_log_go_together() {
        let log = "# Changes\n\n## 1.1.3\n\n- more\n";
        for (printed, kept, version, log, want) in [
            ("plugin-api 1.1\na\n", "plugin-api 1.1\na\n", "1.1.3", log, ""),
            (
                "plugin-api 1.1\na\n",
                "plugin-api 1.1\nb\n",
                "1.1.3",
                log,
                "abi/1.1.txt:2: the binary boundary is another",
            ),
            ("plugin-api 1.1\na\n", "", "1.1.3", log, "abi/1.1.txt:1"),
            ("plugin-api 1.1\n", "plugin-api 1.1\n", "1.2.0", "## 1.2.0", "they go together"),
            ("plugin-api 1.1\n", "plugin-api 1.1\n", "1.1.4", log, "`## 1.1.4`"),
        ] {
            let faults = compare(printed, kept, "abi/1.1.txt", version, "1.1", log);
            assert_eq!(faults.len(), usize::from(!want.is_empty()), "{faults:?}");
            assert!(faults.concat().contains(want), "{faults:?}");
        }
    }
}
