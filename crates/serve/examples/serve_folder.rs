//! Serves one model without a run folder: `serve_folder FOLDER [PORT [ENGINE]]`, a Hugging Face folder or a `.gguf` file with a chat
//! template of its own. For measuring the server beside others; `tunebench serve` is what users have.

use std::path::Path;
use std::time::Duration;

use tunebench_local_chat::LocalModel;
use tunebench_model::backend;
use tunebench_serve::{Options, ServedModel, Server};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let folder = arguments.first().cloned().ok_or("a folder")?;
    let port = arguments.get(1).map_or(Ok(8000), |port| port.parse())?;
    let engine = backend::named(arguments.get(2).map_or(backend::FAST.name(), String::as_str))?;
    let options = Options {
        host: "127.0.0.1".to_owned(),
        port,
        api_key: None,
        max_queue: 512,
        seed: 0,
        end_within: Duration::from_secs(1),
    };
    let server = Server::bind(options)?;
    let source = tunebench_model::open(Path::new(&folder))?;
    let (shape, quantised) = (source.shape.clone(), source.quantised());
    let id = Path::new(&folder).file_name().map_or_else(|| folder.clone(), |name| name.to_string_lossy().into_owned());
    let open = Box::new(move || Ok(LocalModel::open(Path::new(&folder), "", engine)?));
    let address = server.address();
    let server = server.load(vec![ServedModel { id: id.clone(), shape, quantised, trained: 0, open }], engine)?;
    eprintln!("{id}: listening at http://{address}/v1");
    server.run(|| false)?;
    Ok(())
}
