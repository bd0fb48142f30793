//! What an address may be.

use tunebench_hub::{Address, Settings};

#[test]
fn an_address_has_a_repository_a_revision_and_a_path() {
    for (text, repo, revision, path) in [
        ("hf:a/b", "a/b", "main", None),
        ("hf:gpt2", "gpt2", "main", None),
        ("hf:a/b@v1", "a/b", "v1", None),
        ("hf:a/b@refs/pr/3", "a/b", "refs/pr/3", None),
        ("hf:a/b@refs/pr/3/x.gguf", "a/b", "refs/pr/3", Some("x.gguf")),
        ("hf:a/b/x.gguf", "a/b", "main", Some("x.gguf")),
        ("hf:a/b@v1/data/train-*.parquet", "a/b", "v1", Some("data/train-*.parquet")),
        ("hf:a/b/", "a/b", "main", None),
        ("hf:a/b/sub/", "a/b", "main", Some("sub")),
    ] {
        let address: Address = text.parse().unwrap();
        assert_eq!((&*address.repo, &*address.revision, address.path.as_deref()), (repo, revision, path), "{text}");
        assert_eq!(address.to_string(), text.trim_end_matches('/'));
    }
}

#[test]
fn what_is_no_address_is_refused_in_a_sentence() {
    for text in [
        "a/b",
        "hf:",
        "hf:/b",
        "hf:a//x",
        "hf:https://huggingface.co/a/b",
        "hf://a/b",
        "hf:a b/c",
        "hf:../b",
        "hf:a/..",
        "hf:a/b@",
        "hf:a/b@../x",
        "hf:a/b/../../etc/passwd",
        "hf:a/b/x y.json",
        "hf:a/b/x\u{0}",
        "hf:ä/b",
        "hf:a/b@@v",
    ] {
        let error = text.parse::<Address>().map(|a| format!("{a:?}")).unwrap_err().to_string();
        assert!(error.contains("write hf:owner/name"), "{text}: {error}");
    }
}

#[test]
fn settings_follow_the_variables_of_other_tools() {
    let settings = |variables: &[(&str, &str)]| {
        let find =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
        Settings::from_variables(&find)
    };
    for (variables, cache) in [
        (&[("HOME", "/h")][..], "/h/.cache/huggingface/hub"),
        (&[("HOME", "/h"), ("XDG_CACHE_HOME", "/x")], "/x/huggingface/hub"),
        (&[("HOME", "/h"), ("XDG_CACHE_HOME", "/x"), ("HF_HOME", "/f")], "/f/hub"),
        (&[("HF_HOME", "/f"), ("HF_HUB_CACHE", "/c")], "/c"),
        (&[("HF_HOME", "/f"), ("HUGGINGFACE_HUB_CACHE", "/c")], "/c"),
        (&[("HF_HOME", ""), ("HOME", "/h")], "/h/.cache/huggingface/hub"),
    ] {
        assert_eq!(settings(variables).unwrap().cache.to_str(), Some(cache));
    }
    assert!(settings(&[]).is_err());
    for (value, is_offline) in [("1", true), ("true", true), ("YES", true), ("on", true), ("0", false), ("", false)] {
        assert_eq!(settings(&[("HOME", "/h"), ("HF_HUB_OFFLINE", value)]).unwrap().is_offline, is_offline, "{value}");
    }
    let all = settings(&[("HOME", "/h"), ("HF_ENDPOINT", "https://mirror/"), ("HF_TOKEN", " t\n")]).unwrap();
    assert_eq!((&*all.endpoint, all.token.as_deref()), ("https://mirror", Some("t")));

    let home = tempfile::tempdir().unwrap();
    std::fs::write(home.path().join("token"), "from file\n").unwrap();
    let home = home.path().to_str().unwrap();
    assert_eq!(settings(&[("HF_HOME", home)]).unwrap().token.as_deref(), Some("from file"));
    assert_eq!(settings(&[("HF_HOME", home), ("HF_TOKEN", "t")]).unwrap().token.as_deref(), Some("t"));
}
