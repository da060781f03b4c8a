//! The bare loop: the minimal work that a registry must do with a layer. It is the lower bound for a server's processor time.
//!
//! It runs as its own process (`bench bare …`), so that its processor time is measured as a server's is.

use crate::Result;
use crate::content::MIB;
use crate::http::Target;
use crate::process::{Process, free_address, listens};
use crate::server::{Server, ServerKind};
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

/// Bytes of one read or write.
const BUFFER: usize = 256 * 1024;
/// Bytes of one direct write. Direct writes go to the disk one by one, so they are larger.
const DIRECT_BUFFER: usize = MIB;
const ALIGNMENT: usize = 4096;
/// The file that `receive` writes and `send` sends.
pub const FILE: &str = "layer";

/// The work of a bare loop for each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum BareLoop {
    /// Receives, hashes, writes and syncs a layer.
    Receive,
    /// Does the same, but writes past the page cache.
    ReceiveDirect,
    /// Reads and sends a layer.
    Send,
}

#[derive(Debug, clap::Args)]
pub struct Bare {
    #[arg(value_enum)]
    run: BareLoop,
    #[arg(long)]
    listen: SocketAddr,
    #[arg(long)]
    directory: PathBuf,
    /// The certificate and the key are PEM files. With them the loop speaks TLS.
    #[arg(long, requires = "key")]
    certificate: Option<PathBuf>,
    #[arg(long)]
    key: Option<PathBuf>,
}

/// Starts this program as a bare loop, with TLS if `tls` is given.
pub fn start(run: BareLoop, directory: &Path, tls: Option<&Tls>) -> Result<Server> {
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
    Ok(Server { kind: ServerKind::Bare, target, process, directory: directory.to_owned() })
}

impl Bare {
    /// Serves until the process is killed. Each connection has a thread.
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

impl BareLoop {
    fn serve(self, stream: impl Read + Write, path: &Path) -> Result<()> {
        match self {
            BareLoop::Receive => receive(stream, path, BUFFER, OFlags::empty()),
            BareLoop::ReceiveDirect => receive(stream, path, DIRECT_BUFFER, OFlags::DIRECT),
            BareLoop::Send => send(stream, path),
        }
    }
}

/// A socket with a read buffer, because rustls by itself reads one record at a time.
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

/// A buffer whose start is aligned, as direct writes require.
///
/// Reads are faster too. The C library places large allocations shortly after the start of a page. Copying the kernel's page-aligned
/// bytes there takes some processors five times as long.
pub struct AlignedBuffer {
    bytes: Vec<u8>,
    start: usize,
    length: usize,
}

impl AlignedBuffer {
    pub fn new(length: usize) -> AlignedBuffer {
        let bytes = vec![0; length + ALIGNMENT];
        // If the offset is unknown, the buffer is unaligned, and direct writes fail.
        let start = bytes.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
        AlignedBuffer { bytes, start, length }
    }

    pub fn all(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.length]
    }
}

/// Receives layers, and writes each to the file, `buffer` bytes at a time.
fn receive(mut stream: impl Read + Write, path: &Path, buffer: usize, flags: OFlags) -> Result<()> {
    let mut memory = AlignedBuffer::new(buffer);
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
            // A direct write must consist of whole blocks. All layers here do.
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
    let mut memory = AlignedBuffer::new(BUFFER);
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
        0 => Err("the client closed the connection during a body".into()),
        read => Ok(read),
    }
}

/// Reads a request's head. Returns the length of the body, and the number of body bytes that came with the head and are now at the
/// start of the buffer. Returns `None` if there is no further request.
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
