//! The limits of connections: their number, open files and memory.

/// The resources that connections may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Maximum served connections, over all listeners of the doors.
    pub connections: usize,
    /// Maximum further connections, on which only health and metrics are answered, and 503 to everything else. Connections that
    /// were told to end count among them until they have ended.
    pub spare: usize,
    /// Maximum bytes that all authorized transfers together may read ahead.
    pub read_ahead_bytes: usize,
    /// Maximum bytes that all strangers' connections together may hold, beyond [`FREE_BYTES`] each.
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

/// File descriptors reserved for everything but connections and their layers: databases, logs, listeners, the runtime.
const OTHER_FILES: u64 = 128;
/// File descriptors of a connection: its socket, and the layer that it reads or writes.
const CONNECTION_FILES: u64 = 2;
/// Minimum number of connections, however low the limit of open files is.
const LEAST_CONNECTIONS: u64 = 16;

impl ConnectionLimits {
    /// Reduces the connections to what `files` open files allow; `None` means no limit.
    pub fn within(self, files: Option<u64>) -> ConnectionLimits {
        let Some(files) = files else { return self };
        let spare = u64::try_from(self.spare).unwrap_or(u64::MAX);
        let left = files.saturating_sub(OTHER_FILES).saturating_sub(spare) / CONNECTION_FILES;
        let allowed = usize::try_from(left.max(LEAST_CONNECTIONS)).unwrap_or(usize::MAX);
        ConnectionLimits { connections: self.connections.min(allowed), ..self }
    }

    /// Returns how many layer files pulls may have open, given the process's limit `files`; `None` means no limit. A single
    /// HTTP/2 connection may ask for a hundred.
    pub fn layer_files(self, files: Option<u64>) -> usize {
        let Some(files) = files else { return usize::MAX };
        let sockets = u64::try_from(self.within(Some(files)).connections + self.spare).unwrap_or(u64::MAX);
        let left = files.saturating_sub(OTHER_FILES).saturating_sub(sockets);
        usize::try_from(left.max(LEAST_CONNECTIONS)).unwrap_or(usize::MAX)
    }
}
