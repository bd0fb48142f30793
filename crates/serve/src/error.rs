//! Why a server cannot begin.

/// What went wrong, and what to do. What is wrong with a request is said to its client.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no address to listen at for {host}:{port}: {source}; give another --host or --port")]
    Address { host: String, port: u16, source: std::io::Error },
    #[error("cannot listen at {address}: {source}; another program may be there, so give another --port")]
    Listen { address: String, source: std::io::Error },
    #[error("no model to serve")]
    NoModel,
    #[error("two models have the id `{0}`; name each once")]
    SameId(String),
    #[error("{what} take {needed} together to answer, and {free} are free; serve fewer at once")]
    Memory { what: String, needed: String, free: String },
    #[error("`{id}`: {source}")]
    Open { id: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error(transparent)]
    Model(#[from] tunebench_local_chat::Error),
    #[error("the API key is empty; set it to some secret")]
    EmptyKey,
    #[error("the server cannot start: {0}")]
    Runtime(std::io::Error),
}
