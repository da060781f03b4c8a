//! What connections may take of the process.
/// What connections may take of the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Connections at once that are served, over all listeners of the doors.
    pub connections: usize,
    /// Further connections at once, which are answered health and metrics, and 503 to everything else. Connections that were told
    /// to end count among them until they have.
    pub spare: usize,
    /// Bytes at once that the connections of authorized transfers may read ahead.
    pub read_ahead_bytes: usize,
    /// Bytes at once that strangers' connections may hold beyond [`FREE_BYTES`] each.
    pub strangers_bytes: usize,
}

impl Default for ConnectionLimits {
    fn default() -> ConnectionLimits {
        ConnectionLimits {
            connections: 4096,
            spare: 64,
            read_ahead_bytes: 48 * 1024 * 1024,
            strangers_bytes: 32 * 1024 * 1024,
        }
    }
}

/// Files that the process has open beside its connections and their layers: databases, logs, listeners, the runtime's own.
const OTHER_FILES: u64 = 128;
/// Files that a connection takes: its socket, and the layer that it reads or writes.
const CONNECTION_FILES: u64 = 2;
/// The least number of connections, however few files there may be.
const LEAST_CONNECTIONS: u64 = 16;

impl ConnectionLimits {
    /// The same limits, with no more connections than `files` open files allow; `None` is any number of files.
    pub fn within(self, files: Option<u64>) -> ConnectionLimits {
        let Some(files) = files else { return self };
        let spare = u64::try_from(self.spare).unwrap_or(u64::MAX);
        let left = files.saturating_sub(OTHER_FILES).saturating_sub(spare) / CONNECTION_FILES;
        let allowed = usize::try_from(left.max(LEAST_CONNECTIONS)).unwrap_or(usize::MAX);
        ConnectionLimits { connections: self.connections.min(allowed), ..self }
    }

    /// Layers' files at most that pulls may have open at once, of `files` that the process may; `None` is any number. One connection
    /// of HTTP/2 may ask for a hundred.
    pub fn layer_files(self, files: Option<u64>) -> usize {
        let Some(files) = files else { return usize::MAX };
        let sockets = u64::try_from(self.within(Some(files)).connections + self.spare).unwrap_or(u64::MAX);
        let left = files.saturating_sub(OTHER_FILES).saturating_sub(sockets);
        usize::try_from(left.max(LEAST_CONNECTIONS)).unwrap_or(usize::MAX)
    }
}
