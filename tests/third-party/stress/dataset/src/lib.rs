//! A dataset of one question a line that misbehaves as it is told.

use std::io::Read as _;
use std::os::fd::FromRawFd as _;
use std::sync::OnceLock;

use tunebench_plugin_api::abi::{
    AbiDataset, AbiDataset_TO, AbiResult, DatasetBox, PluginRoot, PluginRoot_Ref, SourceBox,
};
use tunebench_plugin_api::abi_export::dataset_root;
use tunebench_plugin_api::abi_stable::prefix_type::PrefixTypeTrait as _;
use tunebench_plugin_api::abi_stable::sabi_trait::TD_Opaque;
use tunebench_plugin_api::abi_stable::std_types::{ROk, RStr, RString};
use tunebench_plugin_api::prelude::*;
use tunebench_plugin_api::serde_json::{Value, from_str};

#[derive(Default, Deserialize)]
#[serde(crate = "tunebench_plugin_api::serde", default, deny_unknown_fields)]
struct Options {
    misdeed: String,
}

struct Stress {
    misdeed: String,
    records: Records<Source>,
    rows: usize,
}

impl Stress {
    fn panic_if(&self, place: &str) {
        assert!(self.misdeed != format!("panic-in-{place}"), "asked to panic in {place}");
    }
}

impl Drop for Stress {
    fn drop(&mut self) {
        self.panic_if("drop");
    }
}

/// Whether the initialiser of this library could read the environment of the process that started it.
static INITIALISER: OnceLock<std::io::Result<()>> = OnceLock::new();

#[used]
#[unsafe(link_section = ".init_array")]
static RUN: extern "C" fn() = look_around;

extern "C" fn look_around() {
    let _ = INITIALISER.set(environment_of_parent());
}

fn environment_of_parent() -> std::io::Result<()> {
    let path = format!("/proc/{}/environ", std::os::unix::process::parent_id());
    std::fs::read(path).map(drop)
}

/// What lies behind a descriptor that the host's own parent may have left open.
fn inherited() -> std::io::Result<()> {
    // SAFETY: none; this is the misdeed. The file is not closed here.
    let mut file = std::mem::ManuallyDrop::new(unsafe { std::fs::File::from_raw_fd(INHERITED) });
    file.read_exact(&mut [0; 11])
}

/// Where the tests leave a file open.
const INHERITED: i32 = 9;

/// Looks at what a plugin has no business with, and refuses with what came of it.
fn look_at(deed: &str, folder: &str) -> Option<Error> {
    let result = match deed {
        "read" => std::fs::read(std::path::Path::new(folder).join("kept")).map(drop),
        "stat" => std::fs::metadata(std::path::Path::new(folder).join("kept")).map(drop),
        "list" => std::fs::read_dir("/").map(drop),
        "read-environment" => environment_of_parent(),
        "read-memory" => std::fs::File::open(format!("/proc/{}/mem", std::os::unix::process::parent_id())).map(drop),
        "read-inherited" => inherited(),
        "read-early" => match INITIALISER.get()? {
            Ok(()) => Ok(()),
            Err(e) => Err(e.kind().into()),
        },
        _ => return None,
    };
    Some(match result {
        Ok(()) => Error::new(format!("it was possible to {deed}")),
        Err(e) => Error::new(format!("to {deed}: {e}")),
    })
}

/// Does what a plugin has no business with, when told so by `DEED ADDRESS FOLDER`, and refuses if that was possible.
fn reach_out(misdeed: &str) -> Result<()> {
    let words: Vec<&str> = misdeed.splitn(3, ' ').collect();
    let &[deed, address, folder] = words.as_slice() else { return Ok(()) };
    if let Some(refusal) = look_at(deed, folder) {
        return Err(refusal);
    }
    let at = |name: &str| std::path::Path::new(folder).join(name);
    let done = match deed {
        "write" => std::fs::File::create(at("written")).is_ok() | std::fs::File::create(at("kept")).is_ok(),
        "remove" => std::fs::remove_file(at("kept")).is_ok(),
        "connect" => std::net::TcpStream::connect(address).is_ok(),
        _ => std::process::Command::new("touch").arg(at("started")).status().is_ok_and(|status| status.success()),
    };
    if done { Err(Error::new(format!("it was possible to {deed}"))) } else { Ok(()) }
}

/// Appends a line to the file that it is told by `note FILE`.
fn note(misdeed: &str, what: &str) {
    use std::io::Write as _;
    let Some(file) = misdeed.strip_prefix("note ") else { return };
    let file = std::fs::OpenOptions::new().append(true).create(true).open(file);
    let _ = file.and_then(|mut file| writeln!(file, "{what}"));
}

fn deeper(n: u64) -> u64 {
    let local = std::hint::black_box([n; 64]);
    if n == u64::MAX { 0 } else { deeper(n + 1) + local[3] }
}

impl Dataset for Stress {
    const NAME: &'static str = "stress";
    const DESCRIPTION: &'static str = "misbehaves on request";
    type Options = Options;

    fn open(source: Source, options: Options) -> Result<Self> {
        reach_out(&options.misdeed)?;
        note(&options.misdeed, "open");
        let this = Self { misdeed: options.misdeed, records: Records::new(source), rows: 0 };
        this.panic_if("open");
        Ok(this)
    }

    fn next(&mut self) -> Result<Option<Row>> {
        self.panic_if("next");
        note(&self.misdeed, "next");
        self.rows += 1;
        match self.misdeed.as_str() {
            "endless-next" => loop {
                std::thread::sleep(std::time::Duration::from_millis(50));
            },
            "exit" => std::process::exit(0),
            "abort" => std::process::abort(),
            "deep-recursion" => drop(deeper(0)),
            "much-memory" => {
                let mut kept = Vec::new();
                loop {
                    kept.push(vec![1u8; 64 << 20]);
                }
            }
            "refuse" => return Err(Error::new("these rows are not for you")),
            _ => {}
        }
        let Some(record) = self.records.next()? else { return Ok(None) };
        Ok(Some(record.into_row(|place, value| {
            let text = value["q"].as_str().ok_or("no q")?;
            let turns = vec![Turn::new(Role::User, text), Turn::new(Role::Assistant, text)];
            Ok(Example { id: place.to_owned(), turns, category: None, reference: Some(text.to_owned()), rubric: None })
        })))
    }

    fn position(&self) -> Position {
        self.panic_if("position");
        self.records.position()
    }

    fn seek(&mut self, position: &Position) -> Result<()> {
        self.panic_if("seek");
        note(&self.misdeed, "seek");
        self.records.seek(position)
    }
}

/// As the macro's own root, with another constructor.
fn with_misdeeds(manifest: extern "C" fn() -> RString) -> PluginRoot_Ref {
    let honest = dataset_root::<Stress>(manifest);
    let (new_tuner, new_judge, take_fault) = (honest.new_tuner(), honest.new_judge(), honest.take_fault());
    PluginRoot { manifest, new_tuner, new_dataset, new_judge, take_fault }.leak_into_prefix()
}

extern "C" fn no_manifest() -> RString {
    RString::new()
}

extern "C" fn new_dataset(source: SourceBox, options: RStr<'_>) -> AbiResult<DatasetBox> {
    let named: Value = from_str(&options).unwrap_or_default();
    match named["misdeed"].as_str() {
        Some(misdeed @ ("not-utf8" | "giant-count" | "more-rows")) => {
            ROk(AbiDataset_TO::from_value(Raw(misdeed.to_owned()), TD_Opaque))
        }
        _ => (dataset_root::<Stress>(no_manifest).new_dataset())(source, options),
    }
}

/// Misdeeds that safe code of the contract cannot commit.
struct Raw(String);

impl AbiDataset for Raw {
    fn next_batch(&mut self, max: u64) -> AbiResult<RString> {
        let row = r#"{"position":{},"row":{"kind":"skip","place":"here","reason":"none"}}"#;
        match self.0.as_str() {
            // SAFETY: none; this is the misdeed. The bytes are never read as text on this side.
            "not-utf8" => ROk(unsafe { RString::from_utf8_unchecked(b"[\"\xff\xfe\"]".to_vec().into()) }),
            "giant-count" => {
                ROk(r#"[{"position":1e999,"row":{"kind":"example","id":"x","turns":99999999999999999999}}]"#.into())
            }
            _ => ROk(format!("[{}]", vec![row; max as usize + 1].join(",")).into()),
        }
    }

    fn seek(&mut self, _: RStr<'_>) -> AbiResult<()> {
        ROk(())
    }
}

export_plugin!(@ with_misdeeds, Stress, Dataset, "dataset", &[], false, false);
