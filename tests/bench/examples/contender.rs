//! `contender NAME DATAGRAM MIB`: one contender of the core area, once, for a profiler to watch.
//! `core/PERFORMANCE.md` has the commands.

use rit_bench::core_area::CONTENDERS;
use std::env;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    match measure(&arguments) {
        Ok(line) => {
            println!("{line}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(2)
        }
    }
}

fn measure(arguments: &[String]) -> Result<String, String> {
    let [name, datagram, mib] = arguments else { return Err("NAME DATAGRAM MIB".into()) };
    let names: Vec<&str> = CONTENDERS.iter().map(|(name, _)| *name).collect();
    let (_, contend) = CONTENDERS
        .iter()
        .find(|(known, _)| known == name)
        .ok_or_else(|| format!("there are: {}", names.join(", ")))?;
    let datagram = datagram.parse().ok().filter(|size| (1200..=8900).contains(size));
    let datagram = datagram.ok_or("datagrams have from 1200 to 8900 bytes")?;
    let mib = mib.parse().ok().filter(|mib| (1..=1_000_000).contains(mib));
    let mib: u64 = mib.ok_or("MIB is a whole number from 1 to 1000000")?;
    let run = contend(datagram, mib << 20);
    Ok(format!("{name}: {:.2} Gbit/s in {} B", run.gbit_per_s(), run.datagram))
}
