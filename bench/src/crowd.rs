//! Many connections at once, each with one request under way, driven by one thread: a thread for each would cost the machine
//! more than some of the servers do.
use crate::Result;
use crate::http::{Answer, Connection, Target};
use rustix::event::{PollFd, PollFlags, poll};
use std::time::{Duration, Instant};

/// A request, and the statuses that its answer may have.
pub struct Ask {
    pub request: Vec<u8>,
    pub wanted: &'static [u16],
}

/// What one client of the crowd does.
pub trait Client {
    /// What it asks next, after the answer to what it asked last, which at the beginning is none; `None` when it has done its work.
    fn next(&mut self, answer: Option<Answer>) -> Result<Option<Ask>>;
}

/// What a client of the crowd is doing.
struct Member<C> {
    client: C,
    connection: Connection,
    /// What is under way.
    asked: Ask,
    began: Instant,
}

/// What a crowd found: how long each request took, and how often a server was too busy.
#[derive(Default)]
pub struct Found {
    pub latencies: Vec<Duration>,
    pub refused: usize,
}

/// Lets every client do its work, over a connection of its own. The first failure is the whole's.
pub fn drive<C: Client>(target: &Target, clients: Vec<C>) -> Result<Found> {
    let mut found = Found::default();
    let mut members = Vec::with_capacity(clients.len());
    for mut client in clients {
        let mut connection = Connection::open(target)?;
        if let Some(asked) = client.next(None)? {
            let began = Instant::now();
            connection.send(&asked.request)?;
            members.push(Member { client, connection, asked, began });
        }
    }
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
    /// Takes an answer that has begun to come, and asks what is next; false when there is nothing.
    fn step(&mut self, found: &mut Found) -> Result<bool> {
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

/// Waits until a member's answer has begun to come, and says whose.
fn ready<C>(members: &[Member<C>]) -> Result<Vec<bool>> {
    let mut sockets: Vec<_> =
        members.iter().map(|member| PollFd::new(member.connection.socket(), PollFlags::IN)).collect();
    poll(&mut sockets, None)?;
    Ok(sockets.iter().map(|socket| !socket.revents().is_empty()).collect())
}
