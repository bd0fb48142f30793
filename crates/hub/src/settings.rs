//! Where the hub is, where its files are kept and who asks: the variables that all of Hugging Face's tools read.

use std::path::PathBuf;

use crate::error::Error;

const ENDPOINT: &str = "https://huggingface.co";

/// How the hub is used.
#[derive(Clone)]
pub struct Settings {
    /// Without a `/` at its end.
    pub endpoint: String,
    /// The folder `hub` of `HF_HOME`.
    pub cache: PathBuf,
    pub token: Option<String>,
    /// Whether nothing may be asked of the network.
    pub is_offline: bool,
}

impl Settings {
    /// From this process's environment.
    ///
    /// # Errors
    /// [`Error::NoCache`] when no variable says where files may be kept.
    pub fn from_env() -> Result<Self, Error> {
        Self::from_variables(&|name| std::env::var(name).ok())
    }

    /// From variables, in the order in which `huggingface_hub` looks at them. An empty one counts as not set.
    ///
    /// # Errors
    /// As [`Self::from_env`].
    pub fn from_variables(variable: &dyn Fn(&str) -> Option<String>) -> Result<Self, Error> {
        let variable = |name: &str| variable(name).map(|v| v.trim().to_owned()).filter(|v| !v.is_empty());
        let path = |name: &str| variable(name).map(PathBuf::from);
        let home = path("HF_HOME")
            .or_else(|| path("XDG_CACHE_HOME").map(|cache| cache.join("huggingface")))
            .or_else(|| path("HOME").map(|home| home.join(".cache/huggingface")));
        let cache = path("HF_HUB_CACHE")
            .or_else(|| path("HUGGINGFACE_HUB_CACHE"))
            .or_else(|| home.as_ref().map(|home| home.join("hub")))
            .ok_or(Error::NoCache)?;
        // The library compares absolute paths.
        let cache = std::path::absolute(&cache).map_err(|source| Error::Io { path: cache.clone(), source })?;
        let token_file = path("HF_TOKEN_PATH").or_else(|| home.map(|home| home.join("token")));
        let from_file = || {
            let text = std::fs::read_to_string(token_file?).ok()?;
            Some(text.trim().to_owned()).filter(|token| !token.is_empty())
        };
        let token = variable("HF_TOKEN").or_else(|| variable("HUGGING_FACE_HUB_TOKEN")).or_else(from_file);
        let is_true = |value: String| matches!(value.to_ascii_uppercase().as_str(), "1" | "ON" | "YES" | "TRUE");
        Ok(Self {
            endpoint: variable("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.into()).trim_end_matches('/').into(),
            cache,
            token,
            is_offline: variable("HF_HUB_OFFLINE").is_some_and(is_true),
        })
    }

    /// What to do about a refusal, by whether there was a token.
    pub(crate) fn about_token(&self) -> &'static str {
        match self.token {
            Some(_) => "the token of HF_TOKEN or of `hf auth login` was sent",
            None => "no token was sent: set HF_TOKEN, or run `hf auth login`",
        }
    }
}
