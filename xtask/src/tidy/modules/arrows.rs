//! The modules of a crate as a tree, and which file uses what another one defines.

use std::collections::BTreeMap;

use super::scan::{Import, Module, scan};

/// One file uses an item of another.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Arrow {
    pub from: String,
    pub to: String,
    pub line: usize,
    /// The path as it is written.
    pub path: String,
}

/// Re-exports of re-exports are followed so far.
const MOST_STEPS: usize = 16;

/// Where the item of a path is defined.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Item(usize),
    /// The path names the module itself.
    Module(usize),
    /// In another crate.
    Outside,
}

struct Node {
    file: String,
    /// From the root: `["attention", "decode"]`.
    name: Vec<String>,
    module: Module,
}

/// The modules of one crate, the root first.
pub struct Tree {
    nodes: Vec<Node>,
    by_name: BTreeMap<Vec<String>, usize>,
}

impl Tree {
    /// Reads the module tree that begins in the file `root`; `read` gives a file's text, if there is one.
    pub fn read(root: &str, read: &impl Fn(&str) -> Option<String>) -> Self {
        let mut tree = Self { nodes: Vec::new(), by_name: BTreeMap::new() };
        let mut open = vec![(root.to_owned(), parent(root).to_owned(), Vec::new())];
        while let Some((file, folder, name)) = open.pop() {
            for module in scan(&read(&file).unwrap_or_default()) {
                let name: Vec<String> = name.iter().chain(&module.inner).cloned().collect();
                let folder = module.inner.iter().fold(folder.clone(), |folder, part| format!("{folder}/{part}"));
                for (child, elsewhere) in &module.children {
                    let own = [format!("{folder}/{child}.rs"), format!("{folder}/{child}/mod.rs")];
                    let elsewhere = elsewhere.iter().map(|path| format!("{}/{path}", parent(&file)));
                    let Some(file) = elsewhere.chain(own).find(|file| read(file).is_some()) else { continue };
                    let name = name.iter().chain([child]).cloned().collect();
                    open.push((file, format!("{folder}/{child}"), name));
                }
                tree.by_name.insert(name.clone(), tree.nodes.len());
                tree.nodes.push(Node { file: file.clone(), name, module });
            }
        }
        tree
    }

    /// Every use of an item that another file defines, each pair of files once, at its first line.
    ///
    /// What a module re-exports from a module below it is no use of it, and whoever takes it there uses the file that
    /// defines it. So a folder's `mod.rs` may list what its files offer and still know none of them.
    pub fn arrows(&self) -> Vec<Arrow> {
        let mut arrows: BTreeMap<(String, String), Arrow> = BTreeMap::new();
        for at in 0..self.nodes.len() {
            for (path, line) in self.uses(at) {
                let (Some(Place::Item(to)), from) = (self.resolve(at, &path, MOST_STEPS), &self.nodes[at].file) else {
                    continue;
                };
                let to = &self.nodes[to].file;
                if from == to {
                    continue;
                }
                let arrow = Arrow { from: from.clone(), to: to.clone(), line, path: path.join("::") };
                let first = arrows.entry((from.clone(), to.clone())).or_insert_with(|| arrow.clone());
                if line < first.line {
                    *first = arrow;
                }
            }
        }
        arrows.into_values().collect()
    }

    /// The paths by which a module uses items, with their lines.
    fn uses(&self, at: usize) -> Vec<(Vec<String>, usize)> {
        let module = &self.nodes[at].module;
        let imports = module.imports.iter().filter(|import| !self.is_list(at, import));
        let imports = imports.map(|import| (import.path.clone(), import.line));
        imports.chain(module.paths.iter().cloned()).collect()
    }

    /// Whether an import only offers to others what a module below defines.
    fn is_list(&self, at: usize, import: &Import) -> bool {
        let node = &self.nodes[at];
        let below = |to: usize| self.nodes[to].name.starts_with(&node.name);
        let Some(Place::Item(to) | Place::Module(to)) = self.resolve(at, &import.path, MOST_STEPS) else {
            return false;
        };
        import.is_public && below(to) && !node.module.words.contains(&import.name)
    }

    /// Where the item of a path is defined that stands in the module `at`.
    fn resolve(&self, at: usize, path: &[String], steps: usize) -> Option<Place> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => self.descend(0, rest, steps),
            "self" => self.descend(at, rest, steps),
            "super" => self.descend(self.parent(at)?, rest, steps),
            _ => self.look_up(at, first, rest, steps),
        }
    }

    fn parent(&self, at: usize) -> Option<usize> {
        let (_, parent) = self.nodes[at].name.split_last()?;
        self.by_name.get(parent).copied()
    }

    fn descend(&self, at: usize, path: &[String], steps: usize) -> Option<Place> {
        match path.split_first() {
            None => Some(Place::Module(at)),
            Some((first, rest)) if first == "super" => self.descend(self.parent(at)?, rest, steps),
            // What is not found is made by a macro there.
            Some((first, rest)) => self.look_up(at, first, rest, steps).or(Some(Place::Item(at))),
        }
    }

    /// What `name` is in a module: a module below it, an import, an item of its own or of a module that it takes whole.
    fn look_up(&self, at: usize, name: &String, rest: &[String], steps: usize) -> Option<Place> {
        let steps = steps.checked_sub(1)?;
        let node = &self.nodes[at];
        let child: Vec<String> = node.name.iter().chain([name]).cloned().collect();
        if let Some(child) = self.by_name.get(&child) {
            return self.descend(*child, rest, steps);
        }
        if node.module.items.contains(name) {
            return Some(Place::Item(at));
        }
        let named = |import: &&Import| import.name == *name && import.path != [name.clone()];
        if let Some(import) = node.module.imports.iter().find(named) {
            let path: Vec<String> = import.path.iter().chain(rest).cloned().collect();
            return Some(self.resolve(at, &path, steps).unwrap_or(Place::Outside));
        }
        let globs = node.module.imports.iter().filter(|import| import.name == "*" && import.path != [name.clone()]);
        globs.filter_map(|glob| self.within(at, &glob.path, name, rest, steps)).next()
    }

    /// What `name` is in the module that `path` names from `at`.
    fn within(&self, at: usize, path: &[String], name: &String, rest: &[String], steps: usize) -> Option<Place> {
        match self.resolve(at, path, steps)? {
            Place::Module(module) if module != at => self.look_up(module, name, rest, steps),
            _ => None,
        }
    }
}

fn parent(file: &str) -> &str {
    file.rsplit_once('/').map_or("", |(folder, _)| folder)
}
