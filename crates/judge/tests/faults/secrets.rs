//! A key in all the forms in which it could get out.

use std::fmt::Write;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// A key with characters that every encoding writes differently.
pub const KEY: &str = "sk-t\"e\\st+K3y/of=the?Server~42";

/// A secret, to be said by a server, and to be looked for.
#[derive(Clone)]
pub struct Secret {
    pub plain: String,
}

impl Secret {
    pub fn new(plain: &str) -> Self {
        Self { plain: plain.to_owned() }
    }

    /// Plain, as JSON has it, base64, percent-encoded, hexadecimal.
    pub fn forms(&self) -> [String; 5] {
        let json = serde_json::to_string(&self.plain).unwrap();
        let (mut percent, mut hex) = (String::new(), String::new());
        for byte in self.plain.bytes() {
            let is_plain = byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
            if is_plain {
                percent.push(char::from(byte))
            } else {
                write!(percent, "%{byte:02X}").unwrap()
            }
            write!(hex, "{byte:02x}").unwrap();
        }
        [self.plain.clone(), json.trim_matches('"').to_owned(), STANDARD.encode(&self.plain), percent, hex]
    }

    /// The form in which the secret is in a text, if it is. A form that stands in JSON is escaped once more there.
    pub fn find_in(&self, text: &str) -> Option<String> {
        let twice = self.forms().map(|form| serde_json::to_string(&form).unwrap().trim_matches('"').to_owned());
        self.forms().into_iter().chain(twice).find(|form| text.contains(form.as_str()))
    }

    /// Fails when the secret is in a file of the folder.
    pub fn assert_not_in(&self, folder: &Path) {
        let mut files = 0;
        let mut folders = vec![folder.to_owned()];
        while let Some(folder) = folders.pop() {
            for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
                if path.is_dir() {
                    folders.push(path);
                    continue;
                }
                files += 1;
                let text = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
                assert_eq!(self.find_in(&text), None, "{}", path.display());
            }
        }
        assert!(files > 0, "there is something to look at");
    }
}
