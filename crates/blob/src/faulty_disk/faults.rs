//! Decides which calls to the disk fail, and how.

use rustix::io::Errno;
use std::io;

/// A kind of call to the disk or to one of its files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskCall {
    CreateNew,
    OpenWrite,
    OpenRead,
    Remove,
    Mkdir,
    SyncDir,
    List,
    Write,
    Read,
    SyncData,
    Truncate,
    Len,
}

#[derive(Default)]
pub(super) struct Faults {
    pub(super) space: Option<u64>,
    pub(super) read_only: bool,
    calls: u64,
    powered_off: bool,
    power_off_at: Option<u64>,
    /// The failures still to come. Each has a kind of call, or any, and counts down the calls until it fails one.
    failing: Vec<(Option<DiskCall>, u64)>,
}

impl Faults {
    /// Counts a call, and fails if a failure is due.
    pub(super) fn meet(&mut self, call: DiskCall) -> io::Result<()> {
        self.calls += 1;
        self.powered_off |= self.power_off_at.is_some_and(|at| self.calls >= at);
        let mut fails = false;
        for (_, left) in self.failing.iter_mut().filter(|(kind, _)| kind.is_none_or(|kind| kind == call)) {
            *left -= 1;
            fails |= *left == 0;
        }
        self.failing.retain(|(_, left)| *left > 0);
        let changes = matches!(
            call,
            DiskCall::CreateNew
                | DiskCall::OpenWrite
                | DiskCall::Remove
                | DiskCall::Mkdir
                | DiskCall::Write
                | DiskCall::Truncate
        );
        if self.powered_off || fails {
            Err(Errno::IO.into())
        } else if changes && self.read_only {
            Err(Errno::ROFS.into())
        } else {
            Ok(())
        }
    }

    pub(super) fn fail_nth(&mut self, call: Option<DiskCall>, nth: u64) {
        self.failing.push((call, nth.max(1)));
    }

    pub(super) fn power_off(&mut self) {
        self.powered_off = true;
    }

    pub(super) fn power_off_at(&mut self, nth: u64) {
        self.power_off_at = Some(self.calls.saturating_add(nth));
    }

    pub(super) fn calls(&self) -> u64 {
        self.calls
    }

    /// Returns how many of `wanted` bytes fit, and subtracts them from the space that is left.
    pub(super) fn take_space(&mut self, wanted: usize) -> usize {
        let Some(space) = &mut self.space else { return wanted };
        let fits = usize::try_from(*space).unwrap_or(usize::MAX).min(wanted);
        *space -= fits as u64;
        fits
    }
}
