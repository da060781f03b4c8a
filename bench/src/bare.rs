//! The least that a registry must do with a layer, without a registry around it: the bound that processor time is held against.
//!
//! It is a process of its own (`bench bare …`), so that its processor time is read as that of the others.
use crate::Result;
use crate::content::MIB;
use crate::http::Target;
use crate::process::{Process, free_address, listens};
use crate::server::{Kind, Server};
use crate::tls::{Tls, server_config};
use oci::{Algorithm, Hasher};
use rustix::fs::OFlags;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::fs::{File, OpenOptions};
use std::io::{BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// What one read or write moves.
const BUFFER: usize = 256 * 1024;
/// Direct writes go to the disk one by one, so they are larger.
const DIRECT_BUFFER: usize = MIB;
const ALIGNMENT: usize = 4096;
/// The file that `send` sends; `receive` writes it.
pub const FILE: &str = "layer";

/// What a bare loop does with each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Loop {
    /// Receives, hashes, writes, syncs.
    Receive,
    /// The same past the page cache.
    ReceiveDirect,
    /// Reads and sends.
    Send,
}

#[derive(Debug, clap::Args)]
pub struct Bare {
    #[arg(value_enum)]
    run: Loop,
    #[arg(long)]
    listen: SocketAddr,
    #[arg(long)]
    directory: PathBuf,
    /// PEM files, for a loop through TLS.
    #[arg(long, requires = "key")]
    certificate: Option<PathBuf>,
    #[arg(long)]
    key: Option<PathBuf>,
}

/// Starts this program as a bare loop, through TLS if there is a certificate for it.
pub fn start(run: Loop, directory: &Path, tls: Option<&Tls>) -> Result<Server> {
    let address = free_address()?;
    std::fs::create_dir_all(directory)?;
    let name = clap::ValueEnum::to_possible_value(&run).ok_or("a loop without a name")?;
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["bare", name.get_name(), "--listen", &address.to_string(), "--directory"]).arg(directory);
    if let Some(tls) = tls {
        command.arg("--certificate").arg(&tls.certificate).arg("--key").arg(&tls.key);
    }
    let log = directory.with_extension("log");
    let mut process = Process::start(&mut command, &log)?;
    process.wait_until(&log, || listens(address))?;
    let target = Target { address, authorization: String::new(), tls: tls.map(|tls| tls.client.clone()) };
    Ok(Server { kind: Kind::Bare, target, process, directory: directory.to_owned() })
}

impl Bare {
    /// Serves until it is killed, each connection in a thread.
    pub fn run(self) -> Result<()> {
        let config = match (&self.certificate, &self.key) {
            (Some(certificate), Some(key)) => Some(server_config(certificate, key)?),
            _ => None,
        };
        let listener = TcpListener::bind(self.listen)?;
        for stream in listener.incoming() {
            let (stream, path, run, config) = (stream?, self.directory.join(FILE), self.run, config.clone());
            std::thread::spawn(move || {
                let ended = match config {
                    None => run.serve(stream, &path),
                    Some(config) => encrypted(stream, config).and_then(|stream| run.serve(stream, &path)),
                };
                if let Err(error) = ended {
                    eprintln!("{error}");
                }
            });
        }
        Ok(())
    }
}

impl Loop {
    fn serve(self, stream: impl Read + Write, path: &Path) -> Result<()> {
        match self {
            Loop::Receive => receive(stream, path, BUFFER, OFlags::empty()),
            Loop::ReceiveDirect => receive(stream, path, DIRECT_BUFFER, OFlags::DIRECT),
            Loop::Send => send(stream, path),
        }
    }
}

/// A socket that TLS reads in large pieces: by itself it asks for its next record.
struct Ahead(BufReader<TcpStream>);

impl Read for Ahead {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(into)
    }
}

impl Write for Ahead {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.get_mut().write(bytes)
    }

    fn write_vectored(&mut self, slices: &[std::io::IoSlice<'_>]) -> std::io::Result<usize> {
        self.0.get_mut().write_vectored(slices)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn encrypted(stream: TcpStream, config: Arc<ServerConfig>) -> Result<StreamOwned<ServerConnection, Ahead>> {
    let mut session = ServerConnection::new(config)?;
    session.set_buffer_limit(Some(BUFFER));
    Ok(StreamOwned::new(session, Ahead(BufReader::with_capacity(BUFFER, stream))))
}

/// Bytes that begin at an address that direct writes take. A copy of page-aligned bytes, which the kernel's are, to an address a
/// little behind a page's beginning, where the C library puts large allocations, takes some processors five times as long.
pub struct Aligned {
    bytes: Vec<u8>,
    start: usize,
    length: usize,
}

impl Aligned {
    pub fn new(length: usize) -> Aligned {
        let bytes = vec![0; length + ALIGNMENT];
        // Where the start can't be found, direct writes fail and say so.
        let start = bytes.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        Aligned { bytes, start, length }
    }

    pub fn all(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.length]
    }
}

/// Receives layers, and writes each to the file in pieces of that buffer.
fn receive(mut stream: impl Read + Write, path: &Path, buffer: usize, flags: OFlags) -> Result<()> {
    let mut memory = Aligned::new(buffer);
    let buffer = memory.all();
    while let Some((length, mut filled)) = head(&mut stream, buffer)? {
        let flags = i32::try_from(flags.bits())?;
        let file = OpenOptions::new().write(true).create(true).truncate(true).custom_flags(flags).open(path)?;
        let mut hasher = Hasher::new(Algorithm::Sha256);
        let mut written = 0;
        while written < length {
            while filled < buffer.len() && written + (filled as u64) < length {
                filled += read_some(&mut stream, &mut buffer[filled..])?;
            }
            hasher.update(&buffer[..filled]);
            // A direct write is of whole blocks; the layers here are.
            file.write_all_at(&buffer[..filled], written)?;
            written += filled as u64;
            filled = 0;
        }
        file.sync_data()?;
        created(&mut stream, &hasher)?;
    }
    Ok(())
}

fn created(stream: &mut impl Write, hasher: &Hasher) -> Result<()> {
    let digest = hasher.clone().finish();
    let answer = format!("HTTP/1.1 201 Created\r\ndocker-content-digest: {digest}\r\ncontent-length: 0\r\n\r\n");
    stream.write_all(answer.as_bytes())?;
    Ok(stream.flush()?)
}

fn send(mut stream: impl Read + Write, path: &Path) -> Result<()> {
    let mut memory = Aligned::new(BUFFER);
    let buffer = memory.all();
    while head(&mut stream, buffer)?.is_some() {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        stream.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").as_bytes())?;
        let mut sent = 0;
        while sent < length {
            let read = file.read_at(buffer, sent)?;
            stream.write_all(&buffer[..read])?;
            sent += read as u64;
        }
        stream.flush()?;
    }
    Ok(())
}

fn read_some(stream: &mut impl Read, into: &mut [u8]) -> Result<usize> {
    match stream.read(into)? {
        0 => Err("the client closed the connection within a body".into()),
        read => Ok(read),
    }
}

/// Reads a request's head. Returns the length of its body and how much of it came with the head, which is then at the buffer's
/// beginning; `None` when there is no further request.
fn head(stream: &mut impl Read, buffer: &mut [u8]) -> Result<Option<(u64, usize)>> {
    let mut filled = 0;
    let end = loop {
        let read = stream.read(&mut buffer[filled..])?;
        if read == 0 {
            return Ok(None);
        }
        filled += read;
        if let Some(at) = buffer[..filled].windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break at + 4;
        }
    };
    let text = std::str::from_utf8(&buffer[..end])?;
    let length = text.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length = length.map_or(Ok(0), str::parse)?;
    buffer.copy_within(end..filled, 0);
    Ok(Some((length, filled - end)))
}
