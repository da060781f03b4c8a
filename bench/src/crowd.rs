//! Drives many concurrent connections from one thread, each with one request in flight. A thread for each connection would cost the
//! machine more than some of the servers do.

use crate::Result;
use crate::http::{Answer, Connection, Target};
use rustix::event::{PollFd, PollFlags, poll};
use std::time::{Duration, Instant};

/// A request of one client, and the accepted statuses of its answer.
pub struct CrowdRequest {
    pub request: Vec<u8>,
    pub wanted: &'static [u16],
}

/// The behaviour of one client.
pub trait Client {
    /// Returns the next request, given the answer to the previous one, or `None` to end. The first call has no answer.
    fn next(&mut self, answer: Option<Answer>) -> Result<Option<CrowdRequest>>;
}

/// A client with its connection and its request in flight.
struct Member<C> {
    client: C,
    connection: Connection,
    /// The request in flight.
    asked: CrowdRequest,
    began: Instant,
}

/// The latency of each request, and how often the server refused one because it was busy.
#[derive(Default)]
pub struct CrowdResult {
    pub latencies: Vec<Duration>,
    pub refused: usize,
}

/// Runs every client over its own connection until all have ended. Returns the first failure.
pub fn drive<C: Client>(target: &Target, clients: Vec<C>) -> Result<CrowdResult> {
    // Every client sends its first request.
    let mut found = CrowdResult::default();
    let mut members = Vec::with_capacity(clients.len());
    for mut client in clients {
        let mut connection = Connection::open(target)?;
        if let Some(asked) = client.next(None)? {
            let began = Instant::now();
            connection.send(&asked.request)?;
            members.push(Member { client, connection, asked, began });
        }
    }

    // Serve the clients whose answers arrive, and keep those that have another request.
    while !members.is_empty() {
        let ready = ready(&members)?;
        let mut still = Vec::with_capacity(members.len());
        for (mut member, ready) in members.into_iter().zip(ready) {
            if !ready || member.step(&mut found)? {
                still.push(member);
            }
        }
        members = still;
    }
    Ok(found)
}

impl<C: Client> Member<C> {
    /// Reads an answer that has begun to arrive, and sends the next request. Returns false if the client has ended.
    fn step(&mut self, found: &mut CrowdResult) -> Result<bool> {
        let answer = self.connection.take(&self.asked.request, self.asked.wanted)?;
        let now = Instant::now();
        found.latencies.push(now - self.began);
        let Some(asked) = self.client.next(Some(answer))? else {
            found.refused += self.connection.refused;
            return Ok(false);
        };
        (self.asked, self.began) = (asked, now);
        self.connection.send(&self.asked.request)?;
        Ok(true)
    }
}

/// Waits until an answer has begun to arrive. Returns for each member whether its answer has.
fn ready<C>(members: &[Member<C>]) -> Result<Vec<bool>> {
    let mut sockets: Vec<_> =
        members.iter().map(|member| PollFd::new(member.connection.socket(), PollFlags::IN)).collect();
    poll(&mut sockets, None)?;
    Ok(sockets.iter().map(|socket| !socket.revents().is_empty()).collect())
}
