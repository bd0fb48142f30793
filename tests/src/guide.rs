//! The guide, `docs/guide`: its commands are run in the order of its pages, in one folder, and print what it says.
//!
//! In a block marked `console` a line that begins with `$ ` is a command, and what follows is what it printed, `...` for lines that
//! are left out, or for the rest of one. Numbers and the widths of columns are not compared: another CPU rounds otherwise, and other cores are as fast as they
//! are. A command that prints `error: ` fails, any other succeeds. What takes a network, a download or minutes is marked
//! `<!-- run by PATH -->` with the file that runs it. Blocks of TOML are parsed, and whole studies checked.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tunebench_spec::Study;

use crate::support;

/// A fenced block of a page.
#[derive(Debug)]
struct Block {
    language: String,
    text: String,
    /// The file that runs it, where this test does not.
    run_by: Option<String>,
}

/// The pages in the order of the contents.
fn pages() -> Vec<PathBuf> {
    let source = support::repository("docs/guide/src");
    let contents = fs::read_to_string(source.join("SUMMARY.md")).unwrap();
    let links = contents.split("](").skip(1).map(|rest| rest.split(')').next().unwrap().to_owned());
    links.map(|name| source.join(name)).collect()
}

fn blocks(text: &str) -> Vec<Block> {
    let (mut blocks, mut run_by, mut open) = (Vec::new(), None, None::<Block>);
    for line in text.lines() {
        match (&mut open, line.strip_prefix("```")) {
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(block), None) => block.text += &format!("{line}\n"),
            (None, Some(language)) => {
                open = Some(Block { language: language.into(), text: String::new(), run_by: run_by.take() });
            }
            (None, None) if line.trim().is_empty() => {}
            (None, None) => {
                run_by = line.strip_prefix("<!-- run by ").and_then(|l| l.strip_suffix(" -->")).map(Into::into)
            }
        }
    }
    blocks
}

/// Commands, each with the lines that it is said to print.
fn commands(block: &str) -> Vec<(String, Vec<String>)> {
    let mut commands: Vec<(String, Vec<String>)> = Vec::new();
    let mut continues = false;
    for line in block.lines() {
        match (line.strip_prefix("$ "), commands.last_mut()) {
            (Some(command), _) => commands.push((command.into(), Vec::new())),
            (None, Some((command, _))) if continues => *command += &format!("\n{line}"),
            (None, Some((_, output))) => output.push(line.into()),
            (None, None) => panic!("a console block begins with a command: {block}"),
        }
        continues = commands.last().is_some_and(|(command, output)| output.is_empty() && command.ends_with('\\'));
    }
    commands
}

/// A line without what differs between machines: numbers, the widths of columns, and whether a time is seconds.
fn shape(line: &str) -> String {
    let mut shape = String::new();
    for c in line.chars() {
        let c = match c {
            '0'..='9' => '0',
            '─' | '-' => '-',
            c if c.is_whitespace() => ' ',
            c => c,
        };
        // `1,234`, `0.5` and `1e-3` are one number.
        let repeats = matches!(c, '0' | '-' | ' ') && shape.ends_with(c);
        if !repeats {
            shape.push(c);
        }
    }
    for (from, to) in [("0,0", "0"), ("0.0", "0"), ("0e-0", "0"), ("0,0", "0"), ("-0", "0")] {
        while shape.contains(from) {
            shape = shape.replace(from, to);
        }
    }
    // Fast machines take less than a second.
    shape.trim().replace("0 ms", "0 s")
}

/// Whether the lines are those said, `...` standing for any number of them.
fn is_said(said: &[String], printed: &[String]) -> bool {
    match said {
        [] => printed.is_empty(),
        [first, rest @ ..] if first == "..." => (0..=printed.len()).any(|skipped| is_said(rest, &printed[skipped..])),
        [first, rest @ ..] => {
            let is_alike = |line: &String| match first.strip_suffix("...") {
                Some(beginning) => line.starts_with(beginning),
                None => line == first,
            };
            printed.first().is_some_and(is_alike) && is_said(rest, &printed[1..])
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).unwrap();
        }
    }
}

#[test]
fn every_command_of_the_guide_prints_what_it_says() {
    let home = tempfile::tempdir().unwrap();
    copy(&support::repository("docs/guide/files"), home.path());
    fs::copy(support::repository("data/quickstart/small.safetensors"), home.path().join("small/model.safetensors"))
        .unwrap();
    let executable = support::executable();
    let path = format!("{}:{}", executable.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let mut faults = Vec::new();
    for page in pages() {
        let name = page.file_name().unwrap().to_str().unwrap().to_owned();
        for block in blocks(&fs::read_to_string(&page).unwrap()).iter().filter(|block| block.language == "console") {
            if let Some(file) = &block.run_by {
                assert!(support::repository(file).exists(), "{name}: {file} runs nothing");
                continue;
            }
            for (command, said) in commands(&block.text) {
                let mut shell = Command::new("sh");
                shell.args(["-c", &format!("{{ {command}\n}} 2>&1")]).current_dir(home.path()).env("PATH", &path);
                shell.env("TUNEBENCH_HOME", home.path()).env("TUNEBENCH_CACHE", home.path().join(".cache"));
                let output = shell.output().unwrap();
                let text = String::from_utf8(output.stdout).unwrap();
                let lines = |text: &mut dyn Iterator<Item = &str>| -> Vec<String> {
                    text.map(shape).filter(|line| !line.is_empty()).collect()
                };
                let fails = said.iter().any(|line| line.starts_with("error: "));
                let printed = lines(&mut text.lines());
                if output.status.success() == fails || !is_said(&lines(&mut said.iter().map(String::as_str)), &printed)
                {
                    faults.push(format!("{name}: $ {command}\n{text}[status {:?}]\n", output.status.code()));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{} commands print otherwise:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn its_studies_are_studies_and_its_links_lead_somewhere() {
    let mut studies = 0;
    for page in pages() {
        let text = fs::read_to_string(&page).unwrap();
        for block in blocks(&text).iter().filter(|block| block.language == "toml") {
            let table: toml::Table = toml::from_str(&block.text).unwrap_or_else(|e| panic!("{}: {e}", page.display()));
            if table.contains_key("arm") && table.contains_key("model") {
                studies += 1;
                Study::from_toml(&block.text).unwrap_or_else(|e| panic!("{}: {e}", page.display()));
            }
        }
        for link in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            let target = link.split('#').next().unwrap();
            let is_there = target.is_empty() || page.parent().unwrap().join(target).exists();
            assert!(link.starts_with("https://") || is_there, "{}: {link}", page.display());
        }
    }
    assert!(studies > 0);
}
