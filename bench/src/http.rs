//! An HTTP client that costs almost nothing, because it shares the machine with the servers that it measures.
//!
//! Requests are ready bytes, and an answer is parsed only as far as a workload needs. A connection sends no request before the answer
//! to the previous one.

use crate::Result;
use rustix::net::RecvFlags;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

/// The timeout of a read or write, longer than any answer takes. A server that hangs then fails the run.
const PATIENCE: Duration = Duration::from_secs(120);
/// The most attempts of a request to a busy server.
const TRIES: usize = 20;
/// The pause before a busy server gets a request again.
const BUSY_PAUSE: Duration = Duration::from_millis(20);
/// The most bytes of an answer's head, and the size of one read of small answers.
const BUFFER: usize = 64 * 1024;

/// The address of a server, and the credentials for it.
#[derive(Clone)]
pub struct Target {
    pub address: SocketAddr,
    /// The value of the Authorization header. Empty for requests without credentials.
    pub authorization: String,
    pub tls: Option<Arc<rustls::ClientConfig>>,
}

impl Target {
    /// Returns a request without a body, or the head of a request with a body of `length` bytes. `more` contains header lines, each
    /// with its line end.
    pub fn head(&self, method: &str, path: &str, more: &str, length: Option<u64>) -> String {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\n{more}", self.address);
        if !self.authorization.is_empty() {
            head.push_str("authorization: ");
            head.push_str(&self.authorization);
            head.push_str("\r\n");
        }
        if let Some(length) = length {
            head.push_str(&format!("content-length: {length}\r\n"));
        }
        head.push_str("\r\n");
        head
    }

    /// Returns a request with its body.
    pub fn request(&self, method: &str, path: &str, more: &str, body: &[u8]) -> Vec<u8> {
        let mut bytes = self.head(method, path, more, Some(body.len() as u64)).into_bytes();
        bytes.extend_from_slice(body);
        bytes
    }
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<rustls::StreamOwned<rustls::ClientConnection, TcpStream>>),
}

impl Stream {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Stream::Plain(stream) => stream.read(into),
            Stream::Tls(stream) => stream.read(into),
        }
    }

    /// Reads and drops bytes, at most the length of `through`. The content of `through` is unspecified afterwards.
    fn discard(&mut self, through: &mut [u8]) -> std::io::Result<usize> {
        match self {
            // The kernel drops the bytes without a copy (tcp(7), MSG_TRUNC), so a pull costs the client almost nothing.
            Stream::Plain(stream) => Ok(rustix::net::recv(stream, through, RecvFlags::TRUNC)?.1),
            Stream::Tls(stream) => stream.read(through),
        }
    }

    fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            Stream::Plain(stream) => stream.write_all(bytes),
            Stream::Tls(stream) => stream.write_all(bytes).and_then(|()| stream.flush()),
        }
    }
}

/// A persistent connection.
pub struct Connection {
    stream: Stream,
    buffer: Box<[u8]>,
    /// The bytes in `buffer` that were received but not parsed yet.
    unread: std::ops::Range<usize>,
    /// The number of requests that were sent again because the server was busy.
    pub refused: usize,
}

/// The head of an answer.
#[derive(Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub body: Body,
    /// The path and query of the Location header.
    pub location: Option<String>,
}

/// How an answer's body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    Length(u64),
    Chunked,
}

impl Connection {
    pub fn open(target: &Target) -> Result<Connection> {
        let stream = TcpStream::connect(target.address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let stream = match &target.tls {
            None => Stream::Plain(stream),
            Some(config) => {
                let name = "localhost".try_into()?;
                let session = rustls::ClientConnection::new(config.clone(), name)?;
                Stream::Tls(Box::new(rustls::StreamOwned::new(session, stream)))
            }
        };
        Ok(Connection { stream, buffer: vec![0; BUFFER].into_boxed_slice(), unread: 0..0, refused: 0 })
    }

    /// Sends bytes of a request.
    pub fn send(&mut self, bytes: &[u8]) -> Result<()> {
        Ok(self.stream.write_all(bytes)?)
    }

    /// Reads the head of an answer. The body must be read next, unless the request was a HEAD.
    pub fn answer(&mut self, to_head: bool) -> Result<Answer> {
        let end = loop {
            let seen = &self.buffer[self.unread.clone()];
            if let Some(at) = seen.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
                break self.unread.start + at + 4;
            }
            if self.fill()? == 0 {
                return Err("the server closed the connection before the end of its answer".into());
            }
        };
        let mut answer = parse(&self.buffer[self.unread.start..end])?;
        self.unread.start = end;
        if to_head || answer.status == 204 {
            answer.body = Body::Length(0);
        }
        Ok(answer)
    }

    /// Reads and drops the body of an answer, and returns its length. Uses `through` as the buffer if it is the larger one.
    pub fn skip(&mut self, body: Body, through: &mut [u8]) -> Result<u64> {
        let Body::Length(length) = body else { return Ok(self.whole(body)?.len() as u64) };
        let held = (self.unread.len() as u64).min(length);
        self.unread.start += usize::try_from(held)?;
        let mut missing = length - held;
        while missing > 0 {
            let most = usize::try_from(missing).unwrap_or(usize::MAX);
            let into = if through.len() > BUFFER { &mut *through } else { &mut self.buffer };
            let most = most.min(into.len());
            let read = self.stream.discard(&mut into[..most])?;
            if read == 0 {
                return Err("the server closed the connection before its body's end".into());
            }
            missing -= read as u64;
        }
        Ok(length)
    }

    /// Reads the body of an answer.
    pub fn whole(&mut self, body: Body) -> Result<Vec<u8>> {
        let mut whole = Vec::new();
        match body {
            Body::Length(length) => self.exactly(length, &mut whole)?,
            Body::Chunked => loop {
                let line = self.line()?;
                let size = u64::from_str_radix(line.split(';').next().unwrap_or_default().trim(), 16)?;
                self.exactly(size, &mut whole)?;
                // After the last chunk comes the empty line of its trailers; no server here sends a trailer.
                self.line()?;
                if size == 0 {
                    break;
                }
            },
        }
        Ok(whole)
    }

    /// Reads a piece of a body that is not read to its end. The connection can't be reused.
    pub fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        Ok(self.stream.read(into)?)
    }

    /// Sends a request and reads the whole answer, which must have one of the statuses `wanted`.
    pub fn call(&mut self, request: &[u8], wanted: &[u16]) -> Result<(Answer, Vec<u8>)> {
        self.send(request)?;
        let answer = self.answer(request.starts_with(b"HEAD "))?;
        let body = self.whole(answer.body)?;
        answer.must_be(wanted, request, &body)?;
        Ok((answer, body))
    }

    /// Sends a request and drops the body of the answer. Sends the request again while the server is busy, as clients do.
    pub fn ask(&mut self, request: &[u8], wanted: &[u16]) -> Result<Answer> {
        self.send(request)?;
        self.take(request, wanted)
    }

    /// Reads the answer to a request that was sent already. See [`Connection::ask`].
    pub fn take(&mut self, request: &[u8], wanted: &[u16]) -> Result<Answer> {
        let mut answer = self.answer(request.starts_with(b"HEAD "))?;
        let mut tries = 1;
        while matches!(answer.status, 429 | 503) && tries < TRIES {
            self.refused += 1;
            tries += 1;
            self.skip(answer.body, &mut [])?;
            std::thread::sleep(BUSY_PAUSE);
            self.send(request)?;
            answer = self.answer(request.starts_with(b"HEAD "))?;
        }
        if !wanted.contains(&answer.status) {
            let body = self.whole(answer.body)?;
            answer.must_be(wanted, request, &body)?;
        }
        self.skip(answer.body, &mut [])?;
        Ok(answer)
    }

    /// Returns the socket, for polling.
    pub fn socket(&self) -> &TcpStream {
        match &self.stream {
            Stream::Plain(stream) => stream,
            Stream::Tls(stream) => &stream.sock,
        }
    }

    fn exactly(&mut self, length: u64, into: &mut Vec<u8>) -> Result<()> {
        let mut missing = usize::try_from(length)?;
        while missing > 0 {
            if self.unread.is_empty() && self.fill()? == 0 {
                return Err("the server closed the connection before its body's end".into());
            }
            let taken = missing.min(self.unread.len());
            into.extend_from_slice(&self.buffer[self.unread.start..self.unread.start + taken]);
            self.unread.start += taken;
            missing -= taken;
        }
        Ok(())
    }

    fn line(&mut self) -> Result<String> {
        loop {
            let seen = &self.buffer[self.unread.clone()];
            if let Some(at) = seen.iter().position(|byte| *byte == b'\n') {
                let line = String::from_utf8_lossy(&seen[..at]).trim().to_owned();
                self.unread.start += at + 1;
                return Ok(line);
            }
            if self.fill()? == 0 {
                return Err("the server closed the connection during a chunk".into());
            }
        }
    }

    /// Reads more bytes into the buffer. Returns 0 if the server has closed the connection.
    fn fill(&mut self) -> Result<usize> {
        self.buffer.copy_within(self.unread.clone(), 0);
        self.unread = 0..self.unread.len();
        if self.unread.end == self.buffer.len() {
            return Err(format!("an answer's head has more than {BUFFER} bytes").into());
        }
        loop {
            match self.stream.read(&mut self.buffer[self.unread.end..]) {
                Ok(read) => {
                    self.unread.end += read;
                    return Ok(read);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Answer {
    /// Fails unless the status is one of `wanted`. The error shows the request and the answer.
    pub fn must_be(&self, wanted: &[u16], request: &[u8], body: &[u8]) -> Result<()> {
        if wanted.contains(&self.status) {
            return Ok(());
        }
        let asked = request.split(|byte| *byte == b'\r').next().unwrap_or_default();
        let (asked, said) = (String::from_utf8_lossy(asked), String::from_utf8_lossy(body));
        Err(format!("{asked}: {} instead of {wanted:?}: {said}", self.status).into())
    }
}

/// Parses a head, including its final empty line.
fn parse(head: &[u8]) -> Result<Answer> {
    let head = std::str::from_utf8(head)?;
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap_or_default();
    let status = status.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)).and_then(|code| code.parse().ok());
    let status = status.ok_or("the answer does not begin with an HTTP/1.1 status line")?;
    let mut answer = Answer { status, body: Body::Length(0), location: None };
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        let value = value.trim();
        if name.eq_ignore_ascii_case("content-length") {
            answer.body = Body::Length(value.parse()?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            answer.body = Body::Chunked;
        } else if name.eq_ignore_ascii_case("location") {
            // Some servers return an absolute URL.
            let path = value.split_once("://").map_or(value, |(_, rest)| rest.find('/').map_or("/", |at| &rest[at..]));
            answer.location = Some(path.to_owned());
        }
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_the_body_and_the_location_are_read_from_a_head() {
        let read = |text: &str| parse(text.as_bytes()).unwrap();
        let answer =
            |status, body, location: Option<&str>| Answer { status, body, location: location.map(str::to_owned) };
        assert_eq!(read("HTTP/1.1 200 OK\r\ncontent-Length: 12\r\n\r\n"), answer(200, Body::Length(12), None));
        assert_eq!(read("HTTP/1.1 204 No Content\r\n\r\n"), answer(204, Body::Length(0), None));
        assert_eq!(read("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"), answer(200, Body::Chunked, None));
        for (given, path) in [("/v2/a?x=1", "/v2/a?x=1"), ("http://127.0.0.1:5/v2/a?_state=b", "/v2/a?_state=b")] {
            let text = format!("HTTP/1.1 202 Accepted\r\nLocation: {given}\r\n\r\n");
            assert_eq!(read(&text), answer(202, Body::Length(0), Some(path)));
        }
        parse(b"HTTP/1.0 200 OK\r\n\r\n").unwrap_err();
    }

    #[test]
    fn a_chunked_body_is_assembled_and_the_next_answer_is_kept() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let first = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n";
            stream.write_all(first).unwrap();
            stream.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nno").unwrap();
        });
        let mut connection = Connection::open(&Target { address, authorization: String::new(), tls: None }).unwrap();
        let first = connection.answer(false).unwrap();
        assert_eq!(connection.whole(first.body).unwrap(), b"abcde");
        let second = connection.answer(false).unwrap();
        assert_eq!((second.status, connection.skip(second.body, &mut []).unwrap()), (404, 2));
        server.join().unwrap();
    }
}
