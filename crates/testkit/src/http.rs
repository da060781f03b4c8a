//! A plain HTTP/1.1 client that sends exactly what it is told, valid or not, and returns the whole answer.

use bytes::Bytes;
use serde_json::Value;
use std::net::SocketAddr;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, split};
use tokio::net::TcpStream;

/// A request as sent: only missing Host, Content-Length and Connection headers are added.
#[derive(Clone, Debug)]
pub struct Call {
    pub method: String,
    /// Path and query, sent unchanged.
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

impl Call {
    pub fn new(method: &str, target: impl Into<String>) -> Call {
        Call { method: method.to_owned(), target: target.into(), headers: Vec::new(), body: Bytes::new() }
    }
    pub fn header(mut self, name: &str, value: impl Into<String>) -> Call {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
    pub fn body(mut self, body: impl Into<Bytes>) -> Call {
        self.body = body.into();
        self
    }
    fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(n, _)| n.eq_ignore_ascii_case(name))
    }

    /// Returns the request's head, with the headers that every request needs.
    pub fn head(&self, address: SocketAddr) -> String {
        let mut head = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        if !self.has("host") {
            head += &format!("host: {address}\r\n");
        }
        for (name, value) in &self.headers {
            head += &format!("{name}: {value}\r\n");
        }
        let bodiless = matches!(self.method.as_str(), "GET" | "HEAD") && self.body.is_empty();
        if !(self.has("content-length") || self.has("transfer-encoding") || bodiless) {
            head += &format!("content-length: {}\r\n", self.body.len());
        }
        if !self.has("connection") {
            head += "connection: close\r\n";
        }
        head + "\r\n"
    }

    /// Sends the request over a new connection and reads the whole answer.
    pub async fn send(&self, address: SocketAddr) -> Answer {
        let stream = TcpStream::connect(address).await.expect("the server does not listen");
        self.send_over(stream, address).await
    }

    /// Sends the request over an open connection and reads the whole answer.
    pub async fn send_over<S>(&self, stream: S, address: SocketAddr) -> Answer
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (mut reader, mut writer) = split(stream);
        let head = self.head(address);
        let body = self.body.clone();
        // The server may answer and close before it has read the whole body. Writing then fails, but the answer counts.
        let sender = tokio::spawn(async move {
            if writer.write_all(head.as_bytes()).await.is_ok() && writer.write_all(&body).await.is_ok() {
                let _ = writer.flush().await;
            }
            writer
        });
        let answer = read_answer(&mut reader, self.method == "HEAD").await;
        drop(sender.await);
        answer.unwrap_or_else(|| panic!("no answer to {} {}", self.method, self.target))
    }
}

/// Sends raw bytes, closes the sending half if `end`, and reads the answer; `None` if there is none.
pub async fn raw(address: SocketAddr, bytes: &[u8], end: bool) -> Option<Answer> {
    let mut stream = TcpStream::connect(address).await.expect("the server does not listen");
    stream.write_all(bytes).await.ok()?;
    if end {
        stream.shutdown().await.ok()?;
    }
    read_answer(&mut stream, false).await
}

/// A complete answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    /// Whether it came over HTTP/2, which has no reason phrase.
    pub http2: bool,
    pub reason: String,
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

impl Answer {
    /// Returns the first header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_str())
    }
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
    /// Parses the body as JSON, or fails the test.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|e| panic!("{e} in the answer {} {:?}", self.status, self.text()))
    }
    /// Returns the answer if it has this status; otherwise fails the test and shows it.
    #[track_caller]
    pub fn expect(self, status: u16) -> Answer {
        assert_eq!(self.status, status, "{} {:?} {}", self.reason, self.headers, self.text());
        self
    }
    /// Returns the code of an error in the OCI envelope.
    pub fn code(&self) -> String {
        self.json()["errors"][0]["code"].as_str().unwrap_or_default().to_owned()
    }
    /// Returns the message of an error in the OCI envelope.
    pub fn message(&self) -> String {
        self.json()["errors"][0]["message"].as_str().unwrap_or_default().to_owned()
    }
}

async fn read_answer(reader: &mut (impl AsyncReadExt + Unpin), head_only: bool) -> Option<Answer> {
    let mut bytes = Vec::new();
    let mut chunk = vec![0; 64 * 1024];
    let end = loop {
        if let Some(end) = find(&bytes, b"\r\n\r\n") {
            // Interim responses such as 100 Continue precede the answer.
            if bytes.starts_with(b"HTTP/1.1 1") {
                bytes.drain(..end + 4);
                continue;
            }
            break end;
        }
        match reader.read(&mut chunk).await {
            Ok(0) | Err(_) => return None,
            Ok(n) => bytes.extend_from_slice(&chunk[..n]),
        }
    };
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let mut status_line = lines.next()?.splitn(3, ' ').skip(1);
    let status = status_line.next()?.parse().ok()?;
    let reason = status_line.next().unwrap_or_default().to_owned();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(n, v)| (n.to_ascii_lowercase(), v.trim().to_owned()))
        .collect();
    let mut answer = Answer { status, http2: false, reason, headers, body: Bytes::new() };
    let mut body = bytes.split_off(end + 4);
    let length: Option<usize> = answer.header("content-length").and_then(|l| l.parse().ok());
    if head_only || status == 204 || status == 304 {
        return Some(answer);
    }
    while length.is_none_or(|length| body.len() < length) {
        match reader.read(&mut chunk).await {
            Ok(0) => break,
            Err(error) => panic!("the answer {status} broke off after {} bytes: {error}", body.len()),
            Ok(n) => body.extend_from_slice(&chunk[..n]),
        }
    }
    if let Some(length) = length {
        assert_eq!(body.len(), length, "the answer's body is not as long as its Content-Length");
    }
    if answer.header("transfer-encoding").is_some_and(|t| t.eq_ignore_ascii_case("chunked")) {
        body = unchunk(&body);
    }
    answer.body = body.into();
    Some(answer)
}

fn unchunk(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    loop {
        let line = find(rest, b"\r\n").expect("a chunk without its size");
        let size =
            usize::from_str_radix(&String::from_utf8_lossy(&rest[..line]), 16).expect("a chunk's size is not hex");
        if size == 0 {
            return body;
        }
        body.extend_from_slice(&rest[line + 2..line + 2 + size]);
        rest = &rest[line + 2 + size + 2..];
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
