//! Whether the other ranks are alive. An MPI leaves ranks waiting forever for one that was killed, and not every launcher
//! ends them; but the system closes a dead process's connections at once.
//!
//! Every rank is connected with rank 0. A connection that breaks off without a word is a rank that died: who sees it says so
//! in one sentence and ends, and so do all. A machine that fails without a word is noticed half a minute later.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream, ToSocketAddrs as _};
#[cfg(target_os = "linux")]
use std::os::fd::AsRawFd as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::exchange::Exchange;

/// For all ranks to be connected.
const PATIENCE: Duration = Duration::from_secs(10);

/// For a launcher to pass on what a rank has printed: some end all ranks when the first ends, and drop what is under way.
pub const PRINTED: Duration = Duration::from_millis(300);

/// For a launcher to end this rank, where another has said why and asked for it.
const ENDED: Duration = Duration::from_secs(2);

/// What is said on a connection: that its rank comes to its regular end, or that it has said itself why all end.
const FINISHED: u8 = b'F';
const ABORTED: u8 = b'A';

/// By which rank 0 knows that a connection is one of its ranks'.
const TOKEN: usize = 16;

/// This rank's connections: rank 0 has one to each other, and each other one to rank 0. None where there can be none.
pub struct Lifeline {
    peers: Arc<Mutex<Vec<TcpStream>>>,
}

impl Lifeline {
    /// Connects all ranks; `host` is where this one runs. Where they cannot be, that is said, and nobody is watched.
    ///
    /// # Errors
    /// As every operation of an exchange.
    pub fn tie(exchange: &mut dyn Exchange, host: &str) -> Result<Self, Error> {
        let hosts = exchange.gather(host.as_bytes())?;
        let is_one_host = hosts.iter().all(|other| *other == hosts[0]);
        let listener = (exchange.rank() == 0).then(|| listen(is_one_host));
        let offer = match &listener {
            Some(Ok((_, offer))) => offer.clone(),
            _ => Vec::new(),
        };
        let offer = exchange.share(0, offer)?;
        let peers = match listener {
            Some(Ok((listener, _))) => accept(&listener, &offer, exchange.size() - 1),
            Some(Err(fault)) => Err(fault),
            None => {
                let first = String::from_utf8_lossy(&hosts[0]);
                connect(if is_one_host { "127.0.0.1" } else { &first }, &offer, exchange.rank())
                    .map(|peer| vec![(0, peer)])
            }
        };
        let fault = peers.as_ref().err().map_or("", String::as_str);
        let faults = exchange.gather(fault.as_bytes())?;
        let fault = faults.iter().find(|fault| !fault.is_empty());
        let peers = match (peers, fault) {
            (Ok(peers), None) => {
                peers.iter().for_each(|(_, peer)| keep_asking(peer));
                peers
            }
            (_, fault) => {
                if exchange.rank() == 0 {
                    let why = String::from_utf8_lossy(fault.map_or(b"", Vec::as_slice));
                    eprintln!(
                        "warning: ranks cannot be connected with rank 0 by TCP ({why}), so one that dies may leave the \
                         others waiting; have the launcher end them (srun --kill-on-bad-exit=1)"
                    );
                }
                Vec::new()
            }
        };
        Ok(Self::watch(exchange.rank(), exchange.size(), peers))
    }

    /// Looks after the peers, each on a thread.
    fn watch(rank: usize, size: usize, peers: Vec<(usize, TcpStream)>) -> Self {
        let to_all: Vec<TcpStream> = peers.iter().filter_map(|(_, peer)| peer.try_clone().ok()).collect();
        let lifeline = Self { peers: Arc::new(Mutex::new(to_all)) };
        for (other, mut peer) in peers {
            let others = Self { peers: Arc::clone(&lifeline.peers) };
            thread::spawn(move || {
                let word = read_word(&mut peer);
                if word == Some(FINISHED) {
                    return;
                }
                // Of all who see rank 0 die, one says so.
                let tells = word.is_none() && (rank == 0 || rank == 1);
                if tells {
                    eprintln!(
                        "error: rank {other} of {size} has died (it was killed, or its machine failed), so all ranks end; start them again \
                         to go on from the last checkpoint"
                    );
                    thread::sleep(PRINTED);
                }
                others.say(ABORTED);
                if !tells {
                    thread::sleep(ENDED);
                }
                end();
            });
        }
        lifeline
    }

    /// Says that this rank comes to its regular end.
    pub fn finished(&self) {
        self.say(FINISHED);
    }

    /// Says that this rank has said why all end.
    pub fn aborted(&self) {
        self.say(ABORTED);
    }

    fn say(&self, word: u8) {
        for peer in self.peers.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
            // Who is gone already needs no word.
            let _ = peer.write_all(&[word]);
        }
    }
}

/// Has the system ask for a peer that says nothing, so that a machine without power or network is noticed, too: after 15
/// seconds, then every 5, three times.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "options of a socket that the standard library does not set")]
fn keep_asking(peer: &TcpStream) {
    let options = [
        (libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1),
        (libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, 15),
        (libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, 5),
        (libc::IPPROTO_TCP, libc::TCP_KEEPCNT, 3),
    ];
    for (level, name, value) in options {
        let value: libc::c_int = value;
        let length = size_of::<libc::c_int>() as libc::socklen_t;
        // SAFETY: the socket is open, and each of these options is one int. Where one cannot be set, the others serve.
        unsafe { libc::setsockopt(peer.as_raw_fd(), level, name, (&raw const value).cast(), length) };
    }
}

#[cfg(not(target_os = "linux"))]
fn keep_asking(_: &TcpStream) {}

/// Ends this process: an MPI's own end would wait for ranks that are no more.
#[expect(unsafe_code, reason = "a process that waits in MPI cannot be ended otherwise")]
fn end() -> ! {
    // SAFETY: it takes no memory and does not come back.
    unsafe { libc::_exit(1) }
}

/// The next word; none where the connection is broken.
fn read_word(peer: &mut TcpStream) -> Option<u8> {
    let mut word = [0];
    loop {
        match peer.read(&mut word) {
            Ok(0) => return None,
            Ok(_) => return Some(word[0]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
}

/// Where rank 0 waits for the others, and what they need to find it: the port and a token.
fn listen(is_one_host: bool) -> Result<(TcpListener, Vec<u8>), String> {
    let address = if is_one_host { Ipv4Addr::LOCALHOST } else { Ipv4Addr::UNSPECIFIED };
    let fault = |error: std::io::Error| format!("rank 0 cannot listen: {error}");
    let listener = TcpListener::bind((address, 0)).map_err(fault)?;
    let mut offer = listener.local_addr().map_err(fault)?.port().to_le_bytes().to_vec();
    let mut token = [0; TOKEN];
    std::fs::File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut token)).map_err(fault)?;
    offer.extend(token);
    Ok((listener, offer))
}

/// The connections of so many others, each of which shows the token and its number.
fn accept(listener: &TcpListener, offer: &[u8], count: usize) -> Result<Vec<(usize, TcpStream)>, String> {
    let fault = |error: std::io::Error| format!("rank 0 cannot be reached: {error}");
    listener.set_nonblocking(true).map_err(fault)?;
    let (begin, mut peers) = (Instant::now(), Vec::new());
    while peers.len() < count {
        match listener.accept() {
            Ok((peer, _)) => peers.extend(known(peer, offer)),
            Err(error) if error.kind() == ErrorKind::WouldBlock && begin.elapsed() < PATIENCE => {
                thread::sleep(Duration::from_millis(2));
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                return Err(format!("{} of {count} ranks have reached rank 0", peers.len()));
            }
            Err(error) => return Err(fault(error)),
        }
    }
    Ok(peers)
}

/// A connection that is one of our ranks', and whose; others are dropped.
fn known(mut peer: TcpStream, offer: &[u8]) -> Option<(usize, TcpStream)> {
    let mut said = [0; TOKEN + size_of::<u64>()];
    peer.set_nonblocking(false).ok()?;
    peer.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    peer.read_exact(&mut said).ok()?;
    peer.set_read_timeout(None).ok()?;
    let (token, rank) = said.split_first_chunk::<TOKEN>()?;
    let rank = u64::from_le_bytes(rank.try_into().ok()?) as usize;
    offer.ends_with(token).then_some((rank, peer))
}

fn connect(host: &str, offer: &[u8], rank: usize) -> Result<TcpStream, String> {
    let Some((port, token)) = offer.split_first_chunk() else { return Err("rank 0 does not listen".into()) };
    let port = u16::from_le_bytes(*port);
    let mut fault = format!("rank {rank} finds no address of {host}");
    for address in (host, port).to_socket_addrs().map_err(|error| format!("{fault}: {error}"))? {
        let connected = TcpStream::connect_timeout(&address, PATIENCE / 2).and_then(|mut peer| {
            peer.write_all(&[token, &(rank as u64).to_le_bytes()].concat())?;
            Ok(peer)
        });
        match connected {
            Ok(peer) => return Ok(peer),
            Err(error) => fault = format!("rank {rank} cannot reach {address}: {error}"),
        }
    }
    Err(fault)
}
