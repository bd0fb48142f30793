//! What a response says beside its body: names in lower case, values as text.

/// Headers of a response, secrets blanked out.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Headers(Vec<(String, String)>);

impl Headers {
    /// The first value of that name, which is written in lower case.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.trim())
    }

    /// The first that is there.
    pub fn first(&self, names: &[&str]) -> Option<&str> {
        names.iter().find_map(|name| self.get(name))
    }

    /// Every value of that name, joined as RFC 9110 joins lists.
    pub fn list(&self, name: &str) -> String {
        let values: Vec<&str> = self.0.iter().filter(|(known, _)| known == name).map(|(_, v)| v.as_str()).collect();
        values.join(", ")
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.into().to_ascii_lowercase(), value.into())).collect())
    }
}
