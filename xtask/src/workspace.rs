//! The workspace as `cargo metadata` tells it, and cargo to build it with.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

/// What `cargo metadata` prints, as far as it is used here.
#[derive(Deserialize)]
pub struct Workspace {
    #[serde(rename = "workspace_root")]
    pub root: PathBuf,
    /// `target`, unless CARGO_TARGET_DIR or a configuration says otherwise.
    #[serde(rename = "target_directory")]
    pub target: PathBuf,
    #[serde(rename = "workspace_members")]
    member_ids: BTreeSet<String>,
    packages: Vec<Package>,
    resolve: Option<Resolve>,
}

/// A package of the workspace or one that it depends on.
#[derive(Deserialize)]
pub struct Package {
    id: String,
    pub name: String,
    manifest_path: PathBuf,
    targets: Vec<Target>,
    pub dependencies: Vec<Dependency>,
}

/// A declared dependency of any kind: normal, build or dev.
#[derive(Deserialize)]
pub struct Dependency {
    pub name: String,
}

#[derive(Deserialize)]
struct Target {
    crate_types: Vec<String>,
    src_path: PathBuf,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<ResolvedPackage>,
}

#[derive(Deserialize)]
struct ResolvedPackage {
    id: String,
    deps: Vec<ResolvedDependency>,
}

#[derive(Deserialize)]
struct ResolvedDependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

#[derive(Deserialize)]
struct DependencyKind {
    /// None for a normal dependency.
    kind: Option<String>,
}

impl Package {
    /// As cargo's messages name it.
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl Workspace {
    /// The members and their declared dependencies.
    ///
    /// # Errors
    /// When cargo cannot read the workspace around the current folder.
    pub fn members_only() -> Result<Self> {
        Self::read(&["--no-deps"])
    }

    /// The members and all that they depend on, on this platform.
    ///
    /// # Errors
    /// As [`Workspace::members_only`], or when a dependency can be neither found nor fetched.
    pub fn with_dependencies() -> Result<Self> {
        // Without the filter cargo would fetch the crates of other platforms too.
        Self::read(&["--filter-platform", &host_platform()?])
    }

    fn read(args: &[&str]) -> Result<Self> {
        let mut command = Command::new(cargo_path());
        command.args(["metadata", "--format-version", "1"]).args(args);
        let output = command.output().context("starting cargo")?;
        if !output.status.success() {
            bail!("cargo metadata failed:\n{}", String::from_utf8_lossy(&output.stderr));
        }
        serde_json::from_slice(&output.stdout).context("reading what cargo metadata printed")
    }

    /// Cargo, to be run in the root, as if it were started from a shell.
    ///
    /// What cargo tells a program about its own package must not reach the cargo that it starts: `ring` rebuilds itself,
    /// and with it half of all dependencies, whenever `CARGO_MANIFEST_DIR` and the like are not what they last were.
    pub fn cargo<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = Command::new(cargo_path());
        for (name, _) in std::env::vars_os() {
            if ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|start| name.to_string_lossy().starts_with(start)) {
                command.env_remove(name);
            }
        }
        command.args(args).current_dir(&self.root);
        command
    }

    /// The packages of this workspace.
    pub fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|p| self.member_ids.contains(&p.id))
    }

    /// The folder of a member, from the root: `crates/spec`.
    pub fn folder(&self, package: &Package) -> String {
        self.relative(package.manifest_path.parent().unwrap_or(&self.root))
    }

    /// A path with `/` between its parts, from the root where it lies below it.
    fn relative(&self, path: &Path) -> String {
        path.strip_prefix(&self.root).unwrap_or(path).to_string_lossy().replace('\\', "/")
    }

    /// The files below `src` in which the members' crates begin, from the root: `crates/spec/src/lib.rs`.
    pub fn roots(&self) -> Vec<String> {
        let of_package = |package: &Package| {
            let source = format!("{}/src/", self.folder(package));
            let files = package.targets.iter().map(|target| self.relative(&target.src_path));
            files.filter(|file| file.starts_with(&source)).collect::<Vec<_>>()
        };
        self.members().flat_map(of_package).collect()
    }

    /// The names of the packages that are built as plugin libraries.
    pub fn plugins(&self) -> Vec<&str> {
        let is_library = |p: &Package| p.targets.iter().any(|t| t.crate_types.iter().any(|c| c == "cdylib"));
        let of_ours = |p: &&Package| self.folder(p).starts_with("plugins/") && is_library(p);
        self.members().filter(of_ours).map(|p| p.name.as_str()).collect()
    }

    /// What the dev profile builds: the executable, with the plugins beside it.
    pub fn built(&self) -> PathBuf {
        self.target.join("debug")
    }

    /// The names of all packages that a member links, itself included: dependencies, not those of its tests.
    pub fn reachable_from(&self, member: &Package) -> BTreeSet<&str> {
        let names: BTreeMap<&str, &str> = self.packages.iter().map(|p| (p.id.as_str(), p.name.as_str())).collect();
        let nodes = self.resolve.iter().flat_map(|r| &r.nodes);
        let nodes: BTreeMap<&str, &ResolvedPackage> = nodes.map(|n| (n.id.as_str(), n)).collect();
        let mut seen = BTreeSet::new();
        let mut open = vec![member.id.as_str()];
        while let Some(id) = open.pop() {
            if !seen.insert(id) {
                continue;
            }
            let dependencies = nodes.get(id).into_iter().flat_map(|n| &n.deps);
            let linked = dependencies.filter(|d| d.dep_kinds.iter().any(|k| k.kind.as_deref() != Some("dev")));
            open.extend(linked.map(|d| d.pkg.as_str()));
        }
        seen.into_iter().filter_map(|id| names.get(id).copied()).collect()
    }
}

/// Runs a command in the foreground.
///
/// # Errors
/// When it cannot be started or fails.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("starting `{}`", show(command)))?;
    if !status.success() {
        bail!("`{}` failed ({status})", show(command));
    }
    Ok(())
}

/// A command as one would type it.
pub fn show(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_stem().unwrap_or_default();
    let words = std::iter::once(program).chain(command.get_args());
    words.map(|w| w.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// The cargo that runs this, so that `cargo +nightly xtask` stays on its toolchain.
fn cargo_path() -> OsString {
    std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())
}

fn host_platform() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("-vV").output().context("starting rustc")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let host = text.lines().find_map(|line| line.strip_prefix("host: "));
    Ok(host.context("`rustc -vV` does not say its host")?.to_owned())
}
