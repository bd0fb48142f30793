//! What a source file says of modules: those it declares, what it imports, and the paths in its code.

use std::collections::BTreeSet;

/// One module: a file, or a `mod … { }` in it. Code for tests only is left out.
#[derive(Debug, Default)]
pub struct Module {
    /// Names of the modules around it within the file; empty for the file itself.
    pub inner: Vec<String>,
    /// `mod name;`: modules in files of their own, and what a `#[path]` says of the file.
    pub children: Vec<(String, Option<String>)>,
    pub imports: Vec<Import>,
    /// Paths outside of imports, such as `super::tile::rows`, and their lines.
    pub paths: Vec<(Vec<String>, usize)>,
    /// Words outside of imports.
    pub words: BTreeSet<String>,
    /// Names of its own items.
    pub items: BTreeSet<String>,
}

/// One name that a `use` brings.
#[derive(Clone, Debug, PartialEq)]
pub struct Import {
    pub path: Vec<String>,
    /// The name it has here; `*` for all that the path holds.
    pub name: String,
    /// `pub`, `pub(crate)` and the like.
    pub is_public: bool,
    pub line: usize,
}

/// A word, `::`, a text in quotes or a single other character. Comments, lifetimes and other texts are left out.
struct Token<'a> {
    text: &'a str,
    line: usize,
}

/// The modules of a file, itself first.
pub fn scan(text: &str) -> Vec<Module> {
    Scanner { tokens: without_tests(tokens(text)), at: 0, modules: vec![Module::default()], open: vec![(0, 0)] }.scan()
}

struct Scanner<'a> {
    tokens: Vec<Token<'a>>,
    at: usize,
    modules: Vec<Module>,
    /// The modules around this place, and how many braces were open before each one's items.
    open: Vec<(usize, usize)>,
}

/// Words in front of the name of an item.
const ITEMS: [&str; 9] = ["const", "enum", "fn", "macro_rules", "static", "struct", "trait", "type", "union"];

impl Scanner<'_> {
    fn scan(mut self) -> Vec<Module> {
        let mut depth = 0;
        while let Some(text) = self.text(0) {
            let (module, floor) = self.open.last().copied().unwrap_or_default();
            match text {
                "{" => depth += 1,
                "}" => {
                    depth = usize::saturating_sub(depth, 1);
                    if depth < floor {
                        self.open.pop();
                    }
                }
                "use" => {
                    self.import(module);
                    continue;
                }
                "mod" if self.text(2) == Some(";") => {
                    let child = (self.text(1).unwrap_or_default().to_owned(), self.path_attribute());
                    self.modules[module].children.push(child);
                    self.at += 2;
                }
                "mod" if self.text(2) == Some("{") => {
                    let mut inner = self.modules[module].inner.clone();
                    inner.push(self.text(1).unwrap_or_default().to_owned());
                    depth += 1;
                    self.open.push((self.modules.len(), depth));
                    self.modules.push(Module { inner, ..Module::default() });
                    self.at += 2;
                }
                _ if is_word(text) => {
                    if depth == floor && ITEMS.contains(&text) {
                        self.item(module);
                    }
                    self.path(module);
                    continue;
                }
                _ => {}
            }
            self.at += 1;
        }
        self.modules
    }

    fn text(&self, ahead: usize) -> Option<&str> {
        self.tokens.get(self.at + ahead).map(|token| token.text)
    }

    fn before(&self, back: usize) -> &str {
        self.at.checked_sub(back).and_then(|at| self.tokens.get(at)).map_or("", |token| token.text)
    }

    /// The file that `#[path = "…"]` in front of this word names.
    fn path_attribute(&self) -> Option<String> {
        let back = (1..self.at).take_while(|back| !matches!(self.before(*back), ";" | "{" | "}"));
        let end = back.into_iter().find(|back| self.before(*back) == "]" && self.before(back + 3) == "path")?;
        Some(self.before(end + 1).trim_matches('"').to_owned())
    }

    fn item(&mut self, module: usize) {
        let name = match (self.text(1), self.text(2)) {
            (Some("!" | "mut"), Some(name)) => name,
            (Some(name), _) => name,
            (None, _) => return,
        };
        let name = name.to_owned();
        self.modules[module].items.insert(name);
    }

    /// A word, and what follows it with `::` between.
    fn path(&mut self, module: usize) {
        let (is_field, is_reach) = (self.before(1) == ".", self.before(1) == "in" && self.before(2) == "(");
        let goes_on = self.before(1) == "::";
        let line = self.tokens[self.at].line;
        let mut path = vec![self.text(0).unwrap_or_default().to_owned()];
        self.at += 1;
        while let (Some("::"), Some(next)) = (self.text(0), self.text(1)) {
            if !is_word(next) {
                break;
            }
            path.push(next.to_owned());
            self.at += 2;
        }
        if is_field || is_reach || goes_on {
            return;
        }
        self.modules[module].words.insert(path[0].clone());
        if path.len() > 1 {
            self.modules[module].paths.push((path, line));
        }
    }

    fn import(&mut self, module: usize) {
        let is_public = match self.before(1) {
            ")" => (2..8).any(|back| self.before(back) == "("),
            word => word == "pub",
        };
        let line = self.tokens[self.at].line;
        self.at += 1;
        let mut found = Vec::new();
        self.tree(&mut Vec::new(), &mut found);
        let imports = found.into_iter().map(|(path, name, at)| Import { path, name, is_public, line: at.max(line) });
        self.modules[module].imports.extend(imports);
    }

    /// The names of `a::{b, c as d, e::*}`, each with its path and line; stops at what ends it.
    fn tree(&mut self, prefix: &mut Vec<String>, found: &mut Vec<(Vec<String>, String, usize)>) {
        let (start, depth) = (self.at, prefix.len());
        let mut line = 0;
        let mut name = None;
        while let Some(text) = self.text(0).map(str::to_owned) {
            line = self.tokens[self.at].line.max(line);
            match text.as_str() {
                "," | "}" | ";" => break,
                "{" => {
                    while !matches!(self.text(0), None | Some("}" | ";")) {
                        self.at += 1;
                        self.tree(prefix, found);
                    }
                    self.at += 1;
                    prefix.truncate(depth);
                    return;
                }
                "as" => {
                    name = self.text(1).map(str::to_owned);
                    self.at += 1;
                }
                "*" => name = Some(text),
                // `a::{self}` is `a`.
                "self" if !prefix.is_empty() => {}
                word if is_word(word) => prefix.push(text),
                _ => {}
            }
            self.at += 1;
        }
        let name = name.or_else(|| prefix.last().cloned());
        if let Some(name) = name.filter(|_| self.at > start) {
            found.push((prefix.clone(), name, line));
        }
        prefix.truncate(depth);
    }
}

fn is_word(text: &str) -> bool {
    text.starts_with(|c: char| c.is_alphanumeric() || c == '_')
}

/// Leaves out each item under `#[cfg(test)]` or `#[cfg(all(test, …))]`.
fn without_tests(tokens: Vec<Token>) -> Vec<Token> {
    const MARKS: [&[&str]; 2] =
        [&["#", "[", "cfg", "(", "test", ")"], &["#", "[", "cfg", "(", "all", "(", "test", ","]];
    let is_mark = |rest: &[Token]| {
        MARKS.iter().any(|mark| rest.len() >= mark.len() && mark.iter().zip(rest).all(|(m, token)| *m == token.text))
    };
    let mut skipped = vec![false; tokens.len()];
    let mut at = 0;
    while at < tokens.len() {
        let end = if is_mark(&tokens[at..]) { item_end(&tokens, at) } else { at };
        skipped[at..end].fill(true);
        at = end.max(at + 1);
    }
    tokens.into_iter().zip(skipped).filter(|(_, is_skipped)| !is_skipped).map(|(token, _)| token).collect()
}

/// The first token behind the item that begins with an attribute at `start`.
fn item_end(tokens: &[Token], start: usize) -> usize {
    let mut depth = 0usize;
    let mut is_block = false;
    for (i, token) in tokens.iter().enumerate().skip(start) {
        match token.text {
            "(" | "[" => depth += 1,
            "{" => {
                is_block |= depth == 0;
                depth += 1;
            }
            ")" | "]" => depth = depth.saturating_sub(1),
            // The end of what is around: a field or a statement without `;`.
            "}" if depth == 0 => return i,
            "}" => {
                depth -= 1;
                if depth == 0 && is_block {
                    return i + 1;
                }
            }
            ";" if depth == 0 => return i + 1,
            _ => {}
        }
    }
    tokens.len()
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut line = 1;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = silent_length(rest);
        let (taken, is_token) = match length {
            Some(length) => (length, first == '"'),
            None if is_word(rest) => {
                (rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len()), true)
            }
            None if rest.starts_with("::") => (2, true),
            None => (first.len_utf8(), !first.is_whitespace()),
        };
        let (text, after) = rest.split_at(taken);
        if is_token {
            tokens.push(Token { text, line });
        }
        line += text.matches('\n').count();
        rest = after;
    }
    tokens
}

/// Bytes of the comment, text, character or lifetime that `rest` begins with.
fn silent_length(rest: &str) -> Option<usize> {
    if rest.starts_with("//") {
        return Some(rest.find('\n').unwrap_or(rest.len()));
    }
    if rest.starts_with("/*") {
        return Some(comment_length(rest));
    }
    let mark = rest.trim_start_matches(['b', 'c']);
    let prefix = rest.len() - mark.len();
    let raw = mark.strip_prefix('r').filter(|_| prefix < 2);
    if let Some(raw) = raw {
        let fence = raw.len() - raw.trim_start_matches('#').len();
        if raw[fence..].starts_with('"') {
            let end = format!("\"{}", "#".repeat(fence));
            let body = prefix + 1 + fence + 1;
            return Some(rest[body..].find(&end).map_or(rest.len(), |at| body + at + end.len()));
        }
    }
    if mark.starts_with('"') && prefix < 2 {
        return Some(prefix + quoted_length(mark, '"'));
    }
    if mark.starts_with('\'') && prefix < 2 {
        let mut next = mark.chars().skip(1);
        return match (next.next(), next.next()) {
            (Some('\\'), _) | (Some(_), Some('\'')) => Some(prefix + quoted_length(mark, '\'')),
            _ if prefix == 0 => {
                Some(1 + mark[1..].find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(mark.len() - 1))
            }
            _ => None,
        };
    }
    None
}

/// Comments nest.
fn comment_length(rest: &str) -> usize {
    let mut depth = 0usize;
    let bytes = rest.as_bytes();
    let mut at = 0;
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => depth += 1,
            b"*/" => depth -= 1,
            _ => {
                at += 1;
                continue;
            }
        }
        at += 2;
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

fn quoted_length(text: &str, quote: char) -> usize {
    let mut is_escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            c if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}
