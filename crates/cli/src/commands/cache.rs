//! `tunebench cache`: the tokens that are kept from run to run.

use anyhow::{Context as _, Result};
use tunebench_study::token_cache::Held;

use crate::args::Cache;
use crate::output::print;
use crate::plugin_files;

pub fn run(args: &Cache) -> Result<()> {
    let cache = plugin_files::token_cache()?.context("no place for tokens: set TUNEBENCH_CACHE to a folder")?;
    let (Held { files, bytes }, what) =
        if args.clear { (cache.clear()?, "deleted") } else { (cache.held()?, "in this folder") };
    let gib = |bytes: u64| bytes as f64 / (1u64 << 30) as f64;
    let (folder, most) = (cache.folder.display(), gib(cache.most_bytes));
    print(&format!(
        "{folder}\n{files} files, {:.2} GiB, {what}; at most {most:.1} GiB (TUNEBENCH_CACHE_GIB)\n",
        gib(bytes)
    ))
}
