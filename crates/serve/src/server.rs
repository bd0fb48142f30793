//! A server from its address to its end.

use std::net::{SocketAddr, TcpListener, ToSocketAddrs as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use hyper_util::server::graceful::GracefulShutdown;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tunebench_model::backend::Backend;
use tunebench_spec::hash;

use crate::connections::{self, MOST_CONNECTIONS};
use crate::error::Error;
use crate::models::{OpenModels, ServedModel};
use crate::prepare::Draws;
use crate::routes::{Shared, now, router};
use crate::worker::Worker;

/// Threads that read requests: bodies, templates and schemas.
const READERS: usize = 2;
/// How often it is asked whether to end.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// What bounds a server.
#[derive(Clone, Debug)]
pub struct Options {
    /// A name or an address of this machine.
    pub host: String,
    /// 0 takes any that is free.
    pub port: u16,
    /// That requests must bring, if any.
    pub api_key: Option<String>,
    /// Answers of a model that wait for a place, at most.
    pub max_queue: usize,
    /// Draws for requests that name no seed.
    pub seed: u64,
    /// Until answers under way are broken off, once the server is told to end.
    pub end_within: Duration,
}

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Connections that were broken off.
    pub broken_off: usize,
}

/// A server that has its address.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    options: Options,
}

/// A server with its models in memory.
pub struct ReadyServer {
    server: Server,
    models: Arc<OpenModels>,
}

impl Server {
    /// Takes the address, before anything large is read.
    ///
    /// # Errors
    /// When there is none of this name, or another program has it.
    pub fn bind(options: Options) -> Result<Self, Error> {
        if options.api_key.as_ref().is_some_and(|key| key.trim().is_empty()) {
            return Err(Error::EmptyKey);
        }
        let Options { host, port, .. } = &options;
        let fault = |source| Error::Address { host: host.clone(), port: *port, source };
        let mut addresses = (host.as_str(), *port).to_socket_addrs().map_err(fault)?;
        let address = addresses.next().ok_or_else(|| fault(std::io::ErrorKind::NotFound.into()))?;
        let fault = |source| Error::Listen { address: address.to_string(), source };
        let listener = TcpListener::bind(address).map_err(fault)?;
        listener.set_nonblocking(true).map_err(fault)?;
        let address = listener.local_addr().map_err(fault)?;
        Ok(Self { listener, address, options })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Whether anybody who reaches this machine may ask.
    pub fn is_open_to_others(&self) -> bool {
        !self.address.ip().is_loopback() && self.options.api_key.is_none()
    }

    /// Puts the models into memory.
    ///
    /// # Errors
    /// When they do not fit together, or one cannot be opened.
    pub fn load(self, models: Vec<ServedModel>, backend: &'static dyn Backend) -> Result<ReadyServer, Error> {
        let models = Arc::new(OpenModels::open(models, backend)?);
        Ok(ReadyServer { server: self, models })
    }
}

impl ReadyServer {
    /// What is to be known of the memory that the models take.
    pub fn remark(&self) -> Option<&str> {
        self.models.remark.as_deref()
    }

    /// What each model can take, in a line.
    pub fn models(&self) -> impl Iterator<Item = String> {
        self.models.iter().map(|model| {
            let (id, positions) = (&model.id, model.positions());
            format!("{id}: {positions} positions, {} answers at once within {} tokens", model.places, model.tokens)
        })
    }

    /// Answers until `stop` says so; then takes nothing more, and ends once what is under way is answered or `end_within` is over.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub fn run(self, stop: impl Fn() -> bool) -> Result<Ended, Error> {
        let Server { listener, address, options } = self.server;
        let runtime = Builder::new_current_thread().enable_all().max_blocking_threads(READERS).build();
        let runtime = runtime.map_err(Error::Runtime)?;
        let (worker, thread) = Worker::start(self.models.clone()).map_err(Error::Runtime)?;
        let shared = Arc::new(Shared {
            models: self.models,
            worker,
            draws: Draws::new(options.seed),
            checks_host: options.api_key.is_none() && address.ip().is_loopback(),
            key: options.api_key.map(|key| hash::of_bytes(key.trim().as_bytes())),
            max_queue: options.max_queue,
            started: now(),
            is_ending: AtomicBool::new(false),
            count: AtomicU64::new(0),
        });
        let ended = serve(&runtime, listener, shared, options.end_within, &stop);
        // With the last connection the last question is gone, and the thread ends.
        runtime.shutdown_timeout(ASK_EVERY);
        let _ = thread.join();
        ended
    }
}

fn serve(
    runtime: &Runtime,
    listener: TcpListener,
    shared: Arc<Shared>,
    end_within: Duration,
    stop: &impl Fn() -> bool,
) -> Result<Ended, Error> {
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener).map_err(Error::Runtime)?;
        let (graceful, router) = (GracefulShutdown::new(), router(shared.clone()));
        let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
        while !stop() {
            let Ok(Ok(place)) = timeout(ASK_EVERY, places.clone().acquire_owned()).await else { continue };
            match timeout(ASK_EVERY, listener.accept()).await {
                Ok(Ok((stream, _))) => connections::spawn(stream, router.clone(), &graceful, place),
                // Too many files are open, or the client was gone at once.
                Ok(Err(_)) => sleep(ASK_EVERY).await,
                Err(_) => {}
            }
        }
        drop(listener);
        shared.is_ending.store(true, Ordering::Relaxed);
        let is_done = timeout(end_within, graceful.shutdown()).await.is_ok();
        Ok(Ended { broken_off: if is_done { 0 } else { MOST_CONNECTIONS - places.available_permits() } })
    })
}
