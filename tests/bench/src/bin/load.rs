//! `load`: what goes through a tunnel when a whole one is measured: a TCP service and its client.
//!
//!     load serve ADDRESS...                   says `ready`, and serves until it is ended
//!     load fetch ADDRESS CONNECTIONS BYTES    prints the seconds that BYTES took, in all
//!     load echo ADDRESS COUNT                 prints µs, the median and the 99th percentile
//!
//! Owns no measure but wall time. Invariants: 8 bytes (big-endian) ask for so many, zero to get
//! every further byte back; the clock starts when one byte has come through each connection and
//! nothing more is asked for yet, and ends with the last byte; one too few or too many is an error.

use rit_bench::settings::median;
use std::env;
use std::io::{self, Error, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

/// Bytes of one call: large, so that this side's own calls weigh little.
const BLOCK: usize = 256 * 1024;
/// Round trips before those that count.
const WARM_UP: usize = 200;
/// Without a byte for so long, a tunnel is stuck.
const STUCK: Duration = Duration::from_secs(30);

type Answer = Result<(), Box<dyn std::error::Error + Send + Sync>>;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["serve", addresses @ ..] if !addresses.is_empty() => serve(addresses),
        ["fetch", address, connections, bytes] => fetch(address, connections, bytes),
        ["echo", address, count] => echo(address, count),
        _ => Err("usage: load serve ADDRESS... | fetch ADDRESS CONNECTIONS BYTES | \
                  echo ADDRESS COUNT"
            .into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("load: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(addresses: &[&str]) -> Answer {
    let mut listeners = Vec::new();
    for address in addresses {
        let listener = TcpListener::bind(address)?;
        listeners.push(thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                thread::spawn(move || answer(stream));
            }
        }));
    }
    println!("ready");
    for listener in listeners {
        listener.join().map_err(|_| "a listener ended")?;
    }
    Ok(())
}

/// One connection. That it breaks is its client's to say.
fn answer(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let block = vec![7; BLOCK];
    loop {
        let mut bytes = [0; 8];
        stream.read_exact(&mut bytes)?;
        let mut left = u64::from_be_bytes(bytes);
        if left == 0 {
            return give_back(&mut stream);
        }
        while left > 0 {
            let len = left.min(BLOCK as u64) as usize;
            stream.write_all(&block[..len])?;
            left -= len as u64;
        }
    }
}

fn give_back(stream: &mut TcpStream) -> io::Result<()> {
    let mut byte = [0];
    while stream.read(&mut byte)? > 0 {
        stream.write_all(&byte)?;
    }
    Ok(())
}

fn connect(address: &str) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(STUCK))?;
    Ok(stream)
}

fn fetch(address: &str, connections: &str, bytes: &str) -> Answer {
    let connections: u64 = connections.parse()?;
    let share = bytes.parse::<u64>()?.checked_div(connections).unwrap_or(0);
    if share == 0 {
        return Err("there must be a connection, and a byte for each".into());
    }
    let all_stand = Arc::new(Barrier::new(connections as usize));
    let mut readers = Vec::new();
    for _ in 0..connections {
        let mut stream = connect(address)?;
        let all_stand = all_stand.clone();
        readers.push(thread::spawn(move || {
            let first = ask(&mut stream, 1);
            all_stand.wait();
            // By the first thread's clock and to the last one's: any other may be late to run.
            let start = Instant::now();
            first.and_then(|()| ask(&mut stream, share))?;
            let end = Instant::now();
            expect_end(stream).map(|()| (start, end))
        }));
    }
    let mut times = Vec::new();
    for reader in readers {
        times.push(reader.join().map_err(|_| "a reader panicked")??);
    }
    let start = times.iter().map(|(start, _)| *start).min();
    let end = times.iter().map(|(_, end)| *end).max();
    let seconds = start.zip(end).map_or(0.0, |(start, end)| (end - start).as_secs_f64());
    println!("{seconds:.6}");
    Ok(())
}

/// Asks for so many bytes and reads them.
fn ask(stream: &mut TcpStream, bytes: u64) -> io::Result<()> {
    stream.write_all(&bytes.to_be_bytes())?;
    let mut block = vec![0; BLOCK];
    let mut left = bytes;
    while left > 0 {
        let got = stream.read(&mut block)? as u64;
        if got == 0 || got > left {
            return Err(Error::other(format!("{left} bytes were still to come, then {got} came")));
        }
        left -= got;
    }
    Ok(())
}

/// Nothing more is asked for, and nothing more comes.
fn expect_end(mut stream: TcpStream) -> io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    match stream.read(&mut [0])? {
        0 => Ok(()),
        _ => Err(Error::other("more came than was asked for")),
    }
}

fn echo(address: &str, count: &str) -> Answer {
    let count: usize = count.parse()?;
    let mut stream = connect(address)?;
    stream.write_all(&0u64.to_be_bytes())?;
    let mut times = Vec::with_capacity(count);
    for i in 0..WARM_UP + count {
        let sent = [i as u8];
        let mut got = [!sent[0]];
        let start = Instant::now();
        stream.write_all(&sent)?;
        stream.read_exact(&mut got)?;
        if i >= WARM_UP {
            times.push(start.elapsed().as_secs_f64() * 1e6);
        }
        if got != sent {
            return Err("another byte came back".into());
        }
    }
    times.sort_by(f64::total_cmp);
    let last_percent = times.get(count * 99 / 100).copied().unwrap_or(f64::NAN);
    println!("{:.2} {last_percent:.2}", median(times));
    Ok(())
}
