//! `tunebench fetch`: what a study takes from the hub, downloaded before it is run.

use anyhow::Result;

use crate::args::{Fetch, Shared};
use crate::output::{print, printable};
use crate::plugin_files;

pub fn run(args: &Fetch, shared: &Shared) -> Result<()> {
    let mut text = String::new();
    for (what, paths) in plugin_files::open_study(&args.file, shared)?.fetch()? {
        let paths: Vec<String> = paths.iter().map(|path| path.display().to_string()).collect();
        text += &format!("{what}\n  {}\n", paths.join("\n  "));
    }
    if text.is_empty() {
        text = "This study takes nothing from the hub.\n".into();
    }
    print(&printable(&text))
}
