//! The base address: whether it can be one, and the mistakes that are common in it.

use std::net::IpAddr;

use reqwest::Url;

/// What the address of a model begins with that our own engine runs.
const OWN_ENGINE: &str = "local:";

/// What belongs behind the base address, and is often written with it.
const ENDPOINTS: [&str; 8] = [
    "/chat/completions",
    "/completions",
    "/messages/batches",
    "/messages",
    "/responses",
    "/batches",
    "/files",
    "/models",
];

/// Hosts that everybody knows, and the paths under which they have their API.
const PATHS: [(&str, &str); 15] = [
    ("api.openai.com", "/v1"),
    ("api.anthropic.com", "/v1"),
    ("openrouter.ai", "/api/v1"),
    ("api.groq.com", "/openai/v1"),
    ("api.mistral.ai", "/v1"),
    ("api.together.xyz", "/v1"),
    ("api.together.ai", "/v1"),
    ("api.x.ai", "/v1"),
    ("api.cerebras.ai", "/v1"),
    ("api.fireworks.ai", "/inference/v1"),
    ("api.moonshot.cn", "/v1"),
    ("api.siliconflow.cn", "/v1"),
    ("integrate.api.nvidia.com", "/v1"),
    ("generativelanguage.googleapis.com", "/v1beta/openai"),
    ("dashscope.aliyuncs.com", "/compatible-mode/v1"),
];

/// Reads the base address of the settings; it comes back without a slash at its end.
///
/// # Errors
/// Why it cannot be one, and what to write.
pub(super) fn read(base_url: &str) -> Result<Url, String> {
    let text = base_url.trim().trim_end_matches('/');
    if text.starts_with(OWN_ENGINE) {
        return Err(format!("`{}` is a model of our own engine, not a server's address", shown(text)));
    }
    let url = Url::parse(text).map_err(|_| no_address(text))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err(no_address(text));
    }
    // The address is kept with every reply: it must hold no secret.
    if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
        return Err(
            "must hold no user name, password, `?` or `#`; what stands behind `?` belongs into [eval.chat.query]"
                .into(),
        );
    }
    let path = url.path().trim_end_matches('/');
    if let Some(rest) = ENDPOINTS.iter().find_map(|endpoint| path.strip_suffix(endpoint)) {
        return Err(format!("ends in what is added to it; write `{}`", with_path(&url, rest)));
    }
    let host = url.host_str().unwrap_or_default();
    match PATHS.iter().find(|(known, _)| *known == host) {
        Some((_, right)) if path.is_empty() || (path != *right && right.starts_with(path)) => {
            Err(format!("lacks the path of this server's API; write `{}`", with_path(&url, right)))
        }
        _ => Ok(url),
    }
}

/// The name of the server at an address, under which its replies are kept: one name for all ways to write the address, as with
/// capitals in its host, the usual port, spaces around it or slashes behind it. It holds no secret. What is no server's address,
/// as of a model of our own engine, keeps its name.
pub fn server_name(base_url: &str) -> String {
    let text = base_url.trim().trim_end_matches('/');
    match read(text) {
        Ok(url) => name(&url),
        Err(_) if text.is_empty() || text.starts_with(OWN_ENGINE) => text.to_owned(),
        Err(_) => shown(text),
    }
}

/// As [`server_name`], of an address that was read.
pub(super) fn name(url: &Url) -> String {
    url.as_str().trim_end_matches('/').to_owned()
}

/// Whether it is a server on this machine, which commonly wants no key.
pub(super) fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.ends_with(".localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn with_path(url: &Url, path: &str) -> String {
    let mut url = url.clone();
    url.set_path(path);
    name(&url)
}

fn no_address(text: &str) -> String {
    format!("`{}` is no http:// or https:// address", shown(text))
}

/// Text that may hold a password, to be shown: none of what stands before an `@`, or behind a `?`.
fn shown(text: &str) -> String {
    let text = text.rsplit('@').next().unwrap_or_default();
    crate::reply::shorten(text.split(['?', '#']).next().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_this_machine_only() {
        for (url, expected) in [
            ("http://localhost:8000/v1", true),
            ("http://127.0.0.1/v1", true),
            ("http://127.8.8.8:1/v1", true),
            ("http://[::1]:9/v1", true),
            ("http://localhost.example.com/v1", false),
            ("http://10.0.0.1/v1", false),
            ("https://api.openai.com/v1", false),
        ] {
            assert_eq!(is_loopback(&read(url).unwrap()), expected, "{url}");
        }
    }

    #[test]
    fn a_server_has_one_name_however_its_address_is_written() {
        for (url, name) in [
            ("https://api.openai.com/v1", "https://api.openai.com/v1"),
            ("https://API.OpenAI.com/v1", "https://api.openai.com/v1"),
            ("HTTPS://api.openai.com:443/v1/", "https://api.openai.com/v1"),
            (" https://api.openai.com/v1//\n", "https://api.openai.com/v1"),
            ("https://api.openai.com/./v1", "https://api.openai.com/v1"),
            ("https://Bücher.example/V1", "https://xn--bcher-kva.example/V1"),
            ("http://LOCALHOST:80", "http://localhost"),
            ("http://127.1:8000/v1", "http://127.0.0.1:8000/v1"),
            ("http://[0:0::1]:9/", "http://[::1]:9"),
            ("https://host:444/v1", "https://host:444/v1"),
            ("local:SmolLM@2", "local:SmolLM@2"),
            (" local:smollm/ ", "local:smollm"),
            ("https://me:secret@host/v1?key=secret", "host/v1"),
            ("", ""),
        ] {
            assert_eq!(server_name(url), name, "{url}");
            assert_eq!(server_name(name), name, "a name is its own name");
        }
    }

    #[test]
    fn mistakes_are_named_with_what_to_write() {
        for (url, part) in [
            ("", "is no http:// or https:// address"),
            ("api.openai.com/v1", "is no http:// or https:// address"),
            ("localhost:8000/v1", "is no http:// or https:// address"),
            ("ftp://host/v1", "is no http:// or https:// address"),
            ("https://", "is no http:// or https:// address"),
            ("https://me:secret@host/v1", "no user name"),
            ("https://host/v1?key=secret", "[eval.chat.query]"),
            ("https://host/v1#secret", "no user name"),
            ("https//me:secret@host", "is no http:// or https:// address"),
            ("local:smollm", "our own engine"),
            ("https://host/v1/chat/completions", "write `https://host/v1`"),
            ("https://host/v1/chat/completions/", "write `https://host/v1`"),
            ("https://api.anthropic.com/v1/messages", "write `https://api.anthropic.com/v1`"),
            ("https://api.openai.com", "write `https://api.openai.com/v1`"),
            ("https://api.openai.com/", "write `https://api.openai.com/v1`"),
            ("https://openrouter.ai/api", "write `https://openrouter.ai/api/v1`"),
            ("https://api.groq.com/openai", "write `https://api.groq.com/openai/v1`"),
        ] {
            let reason = read(url).unwrap_err();
            assert!(reason.contains(part) && !reason.contains("secret"), "{url}: {reason}");
        }
        for url in [
            "https://api.openai.com/v1",
            "http://localhost:11434/v1/",
            "https://x.ai/any/path",
            "https://api.openai.com/v2",
        ] {
            assert_eq!(read(url).unwrap().as_str(), url.trim_end_matches('/'));
        }
    }
}
