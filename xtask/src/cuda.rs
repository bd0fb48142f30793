//! `cuda`: builds `tunebench-cuda` where CUDA is; or checks its types anywhere, with a compiler that compiles nothing.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, Result, bail};

use crate::plugins::build_all;
use crate::workspace::{Workspace, run as run_command};

/// CUDA's version, and the card that the stand-in pretends to compile for. No card is of this kind, so that a real build in the
/// same folder does not take the empty kernels for its own: what is kept there goes by the kind of card.
const STAND_IN: [(&str, &str); 2] = [("CUDARC_CUDA_VERSION", "13000"), ("CUDA_COMPUTE_CAP", "99")];

#[derive(clap::Args)]
pub struct Args {
    /// Check the types alone, by a stand-in for nvcc: on any machine, with neither CUDA nor a card.
    #[arg(long)]
    check: bool,
}

/// Builds the plugins and, beside them, `tunebench-cuda`; or checks it.
///
/// # Errors
/// When there is no nvcc, or the build fails.
pub fn run(args: &Args) -> Result<ExitCode> {
    let workspace = Workspace::members_only()?;
    if args.check {
        run_command(&mut check(&workspace)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    if Command::new("nvcc").arg("--version").output().is_err() {
        bail!("no nvcc in PATH: install CUDA's compiler, or check the types alone by `cargo xtask cuda --check`");
    }
    run_command(&mut build_all(&workspace))?;
    run_command(&mut of_cuda(&workspace, "build"))?;
    println!("{}", workspace.built().join("tunebench-cuda").display());
    Ok(ExitCode::SUCCESS)
}

/// The check by the stand-in.
///
/// # Errors
/// When PATH cannot be extended.
pub fn check(workspace: &Workspace) -> Result<Command> {
    let stand_in = workspace.root.join("xtask/src/cuda");
    let mut command = of_cuda(workspace, "check");
    command.envs(STAND_IN).env("PATH", before_path(&stand_in)?);
    // Real headers would be looked for there.
    command.env_remove("CUDA_HOME").env_remove("CUDA_PATH");
    Ok(command)
}

/// Of the whole workspace, whose features are those of every other build: of 370 dependencies candle alone is built again. One
/// executable of it, so that `tunebench` stays as it is.
fn of_cuda(workspace: &Workspace, what: &str) -> Command {
    workspace.cargo([what, "--workspace", "--features", "tunebench-cuda/cuda", "--bin", "tunebench-cuda"])
}

fn before_path(folder: &Path) -> Result<std::ffi::OsString> {
    let old = std::env::var_os("PATH").unwrap_or_default();
    let all = std::iter::once(folder.to_owned()).chain(std::env::split_paths(&old));
    std::env::join_paths(all).with_context(|| format!("putting {} into PATH", folder.display()))
}
