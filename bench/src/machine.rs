//! Measures the limits of the machine without a server, to compare every result with.

use crate::Result;
use crate::content::{MIB, Noise};
use crate::report::{Table, milliseconds};
use crate::sample::median;
use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey};
use oci::{Algorithm, Hasher};
use rustix::time::{ClockId, clock_gettime};
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

/// The number of small syncs, of which the median is reported.
const SYNCS: usize = 200;

/// The most bytes of a TLS record (RFC 8446 5.1).
const RECORD: usize = 16 * 1024;

/// Measures the machine's limits. Files are written below `directory`.
pub fn limits(directory: &Path, quick: bool) -> Result<Table> {
    let mib = if quick { 128 } else { 512 };
    let mut table = Table::new("The machine", &["limit", "value"]);
    let mut say = |name: &str, value: String| table.rows.push(vec![name.to_owned(), value]);

    // The machine itself, and its load, because other work on it slows everything down.
    say("processor", processor()?);
    say("cores", std::thread::available_parallelism()?.to_string());
    say("kernel", std::fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned());
    let load = std::fs::read_to_string("/proc/loadavg")?;
    say("load before the run", load.split(' ').next().unwrap_or_default().to_owned());
    let block = Noise::new(1).bytes(MIB);
    let rate = |began: Instant| (mib * MIB) as f64 / began.elapsed().as_secs_f64();

    // Hashing and encryption on one core. The thread may share its core, so its processor time counts, not the wall clock.
    let rate_of_core = |began: Duration| (mib * MIB) as f64 / (thread_time() - began).as_secs_f64();
    let began = thread_time();
    let mut hasher = Hasher::new(Algorithm::Sha256);
    (0..mib).for_each(|_| hasher.update(&block));
    std::hint::black_box(hasher.finish());
    say("SHA-256 on one core", format!("{:.2} GB/s", rate_of_core(began) / 1e9));

    for (name, algorithm) in [
        ("AES-128-GCM on one core, records of 16 KiB", &aead::AES_128_GCM),
        ("AES-256-GCM, the same", &aead::AES_256_GCM),
        ("ChaCha20-Poly1305, the same", &aead::CHACHA20_POLY1305),
    ] {
        let began = thread_time();
        seal(algorithm, block.clone(), mib)?;
        say(name, format!("{:.2} GB/s", rate_of_core(began) / 1e9));
    }

    // Sequential writes to the disk, through the page cache and past it.
    let path = directory.join("machine");
    for (name, flags) in [("write and fdatasync", 0), ("the same with O_DIRECT", rustix::fs::OFlags::DIRECT.bits())] {
        let mut buffer = crate::bare::AlignedBuffer::new(MIB);
        buffer.all().copy_from_slice(&block);
        let file = create(&path, flags)?;
        let began = Instant::now();
        for number in 0..mib {
            file.write_all_at(buffer.all(), (number * MIB) as u64)?;
        }
        file.sync_data()?;
        say(name, format!("{:.0} MB/s", rate(began) / 1e6));
        std::fs::remove_file(&path)?;
    }

    // Small synced appends, as in the log of a database.
    let file = create(&path, 0)?;
    let mut times = Vec::with_capacity(SYNCS);
    for number in 0..SYNCS {
        let began = Instant::now();
        file.write_all_at(&block[..4096], number as u64 * 4096)?;
        file.sync_data()?;
        times.push(began.elapsed().as_secs_f64());
    }
    std::fs::remove_file(&path)?;
    say("4 KiB appended and fdatasync", format!("{} ms", milliseconds(Duration::from_secs_f64(median(times)))));

    say("TCP over loopback", format!("{:.2} GB/s", loopback(&block, mib)? / 1e9));
    Ok(table)
}

/// Returns the user and system time of this thread.
fn thread_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    // The clock starts at 0 and only grows, so the conversion does not fail.
    Duration::try_from(time).unwrap_or_default()
}

/// Encrypts `mib` MiB in place, record by record.
fn seal(algorithm: &'static aead::Algorithm, mut bytes: Vec<u8>, mib: usize) -> Result<()> {
    let failed = |_| "the cipher failed";
    let key = LessSafeKey::new(UnboundKey::new(algorithm, &vec![1; algorithm.key_len()]).map_err(failed)?);
    for number in 0..mib {
        for (record, bytes) in bytes.chunks_mut(RECORD).enumerate() {
            let mut nonce = [0; aead::NONCE_LEN];
            nonce[..8].copy_from_slice(&((number * MIB / RECORD + record) as u64).to_le_bytes());
            let nonce = Nonce::assume_unique_for_key(nonce);
            let tag = key.seal_in_place_separate_tag(nonce, Aad::empty(), bytes).map_err(failed)?;
            std::hint::black_box(tag.as_ref());
        }
    }
    Ok(())
}

fn create(path: &Path, flags: u32) -> Result<File> {
    let flags = i32::try_from(flags)?;
    Ok(OpenOptions::new().write(true).create(true).truncate(true).custom_flags(flags).open(path)?)
}

/// Sends bytes from one thread to another over TCP, and returns the bytes per second.
fn loopback(block: &[u8], mib: usize) -> Result<f64> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut sender = TcpStream::connect(listener.local_addr()?)?;
    let (mut receiver, _) = listener.accept()?;
    let began = Instant::now();
    std::thread::scope(|scope| {
        let sending = scope.spawn(move || (0..mib).try_for_each(|_| sender.write_all(block)));
        let mut buffer = vec![0; MIB];
        while receiver.read(&mut buffer)? > 0 {}
        sending.join().map_err(|_| "the sending thread panicked")??;
        Ok((mib * MIB) as f64 / began.elapsed().as_secs_f64())
    })
}

fn processor() -> Result<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo")?;
    let model = text.lines().find_map(|line| line.strip_prefix("model name")).and_then(|line| line.split_once(": "));
    Ok(model.map_or("unknown", |(_, name)| name).to_owned())
}
