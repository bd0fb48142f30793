//! One connection: request after request, each answered as the script says.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use flate2::Compression;
use flate2::write::GzEncoder;

use crate::response::{Framing, Response};
use crate::shared::{Seen, Shared};

/// Serves until the other side, or the script, closes the connection.
pub(crate) fn serve(stream: TcpStream, number: usize, shared: &Shared) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut stream = stream;
    loop {
        let mut seen = read(&mut reader)?;
        (seen.at, seen.connection) = (shared.start.elapsed(), number);
        let before = {
            let mut log = shared.seen.lock().unwrap();
            log.push(seen.clone());
            log.len() - 1
        };
        let response = (shared.script)(before, &seen);
        std::thread::sleep(response.delay);
        if response.hangs_up {
            return None;
        }
        let asks_to_close = seen.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
        let closes = write(&mut stream, &response)?;
        if closes || asks_to_close {
            return Some(());
        }
    }
}

fn read(reader: &mut impl BufRead) -> Option<Seen> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
    let mut words = line.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let header = |name: &str| headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    let length = header("content-length").map_or(Some(0), |length| length.parse().ok())?;
    let mut bytes = vec![0; length];
    reader.read_exact(&mut bytes).ok()?;
    Some(Seen {
        authorization: header("authorization"),
        body: serde_json::from_slice(&bytes).unwrap_or_default(),
        path: path.to_owned(),
        query: query.to_owned(),
        method,
        headers,
        bytes,
        at: std::time::Duration::ZERO,
        connection: 0,
    })
}

/// Writes the answer; whether the connection ends with it.
fn write(stream: &mut TcpStream, response: &Response) -> Option<bool> {
    let body = if response.is_gzip { pack(&response.body) } else { response.body.clone() };
    let framing = match response.framing {
        Framing::Length => format!("content-length: {}\r\n", body.len()),
        Framing::WrongLength(by) => format!("content-length: {}\r\n", body.len() as i64 + by),
        Framing::Chunked => "transfer-encoding: chunked\r\n".to_owned(),
        Framing::Close => "connection: close\r\n".to_owned(),
    };
    let packing = if response.is_gzip { "content-encoding: gzip\r\n" } else { "" };
    let headers: String = response.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!("HTTP/1.1 {} Scripted\r\n{framing}{packing}{headers}\r\n", response.status);
    stream.write_all(head.as_bytes()).ok()?;
    let most = response.cut_after.unwrap_or(body.len()).min(body.len());
    let piece = response.trickle.map_or(most, |(bytes, _)| bytes).max(1);
    for part in body[..most].chunks(piece) {
        if response.framing == Framing::Chunked {
            write!(stream, "{:x}\r\n", part.len()).ok()?;
        }
        stream.write_all(part).ok()?;
        if response.framing == Framing::Chunked {
            stream.write_all(b"\r\n").ok()?;
        }
        if let Some((_, pause)) = response.trickle {
            stream.flush().ok()?;
            std::thread::sleep(pause);
        }
    }
    if response.cut_after.is_some() {
        return Some(true);
    }
    if response.framing == Framing::Chunked {
        stream.write_all(b"0\r\n\r\n").ok()?;
    }
    let ends = matches!(response.framing, Framing::Close | Framing::WrongLength(_));
    Some(ends || response.drops)
}

fn pack(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
