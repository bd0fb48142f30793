//! Landlock: the kernel lets this process open no file and look at no process outside, whoever its user is.
//!
//! <https://docs.kernel.org/userspace-api/landlock.html>. A file that lies in no mounted file system, as sealed memory, is
//! not its matter.

use std::fs::File;

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, PathBeneath, Ruleset, RulesetAttr as _, RulesetCreatedAttr as _,
    RulesetError, RulesetStatus, Scope,
};

/// The version whose rights are asked for; of an older one the kernel has, all that it knows. Each version refuses reading.
const VERSION: ABI = ABI::V6;

/// Takes all rights from this thread, the only one, but that to read `library`. Whether the kernel has Landlock.
pub fn restrict(library: Option<&File>) -> Result<bool, RulesetError> {
    let rules = Ruleset::default()
        .handle_access(AccessFs::from_all(VERSION))?
        .handle_access(AccessNet::from_all(VERSION))?
        .scope(Scope::from_all(VERSION))?
        .create()?;
    let rules = match library {
        Some(library) => rules.add_rule(PathBeneath::new(library, AccessFs::ReadFile))?,
        None => rules,
    };
    Ok(rules.restrict_self()?.ruleset != RulesetStatus::NotEnforced)
}
