//! What the machine itself can do, without any server: the bounds of everything else.
use crate::Result;
use crate::content::{MIB, Noise};
use crate::report::{Table, milliseconds};
use crate::sample::median;
use oci::{Algorithm, Hasher};
use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::time::{Duration, Instant};

/// Small syncs whose median is told.
const SYNCS: usize = 200;

/// Measures the machine's limits, with files below `directory`.
pub fn limits(directory: &Path, quick: bool) -> Result<Table> {
    let mib = if quick { 128 } else { 512 };
    let mut table = Table::new("The machine", &["limit", "value"]);
    let mut say = |name: &str, value: String| table.rows.push(vec![name.to_owned(), value]);
    say("processor", processor()?);
    say("cores", std::thread::available_parallelism()?.to_string());
    say("kernel", std::fs::read_to_string("/proc/sys/kernel/osrelease")?.trim().to_owned());
    // Who else works here makes everything slower.
    let load = std::fs::read_to_string("/proc/loadavg")?;
    say("load before the run", load.split(' ').next().unwrap_or_default().to_owned());
    let block = Noise::new(1).bytes(MIB);
    let rate = |began: Instant| (mib * MIB) as f64 / began.elapsed().as_secs_f64();

    let began = Instant::now();
    let mut hasher = Hasher::new(Algorithm::Sha256);
    (0..mib).for_each(|_| hasher.update(&block));
    std::hint::black_box(hasher.finish());
    say("SHA-256 on one core", format!("{:.2} GB/s", rate(began) / 1e9));

    let path = directory.join("machine");
    for (name, flags) in [("write and fdatasync", 0), ("the same with O_DIRECT", rustix::fs::OFlags::DIRECT.bits())] {
        let mut buffer = crate::bare::Aligned::new(MIB);
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

fn create(path: &Path, flags: u32) -> Result<File> {
    let flags = i32::try_from(flags)?;
    Ok(OpenOptions::new().write(true).create(true).truncate(true).custom_flags(flags).open(path)?)
}

/// Bytes a second from one thread to another.
fn loopback(block: &[u8], mib: usize) -> Result<f64> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut sender = TcpStream::connect(listener.local_addr()?)?;
    let (mut receiver, _) = listener.accept()?;
    let began = Instant::now();
    std::thread::scope(|scope| {
        let sending = scope.spawn(move || (0..mib).try_for_each(|_| sender.write_all(block)));
        let mut buffer = vec![0; MIB];
        while receiver.read(&mut buffer)? > 0 {}
        sending.join().map_err(|_| "the sending thread broke")??;
        Ok((mib * MIB) as f64 / began.elapsed().as_secs_f64())
    })
}

fn processor() -> Result<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo")?;
    let model = text.lines().find_map(|line| line.strip_prefix("model name")).and_then(|line| line.split_once(": "));
    Ok(model.map_or("unknown", |(_, name)| name).to_owned())
}
