//! The command line that both programs share: areas to measure, and a file for JSON.

use crate::report::{Row, table};
use crate::settings::Settings;
use std::env;
use std::fs;
use std::process::ExitCode;

/// An area: its name, and what measures it.
pub type Area = (&'static str, fn(&Settings) -> Result<Vec<Row>, String>);

/// What the command line asks for.
#[derive(Default)]
struct Call {
    areas: Vec<&'static Area>,
    json: Option<String>,
    traces: Vec<String>,
    svg: Option<String>,
}

/// Runs `[AREA...] [--json FILE] [--trace FILE]... [--svg FILE]` with the areas there are; the last
/// two are for area `cellular`.
pub fn run(areas: &'static [Area]) -> ExitCode {
    let call = parse(areas, env::args().skip(1));
    let call = call.and_then(|call| Ok((call, Settings::from_env()?)));
    let (call, mut settings) = match call {
        Ok(call) => call,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    (settings.traces, settings.svg) = (call.traces, call.svg);
    let results = call.areas.iter().map(|(_, rows)| rows(&settings));
    let rows = match results.collect::<Result<Vec<_>, _>>() {
        Ok(rows) => rows.concat(),
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::FAILURE;
        }
    };
    print!("{}", table(&rows));
    if let Some(file) = call.json {
        let lines: String = rows.iter().map(|row| row.json() + "\n").collect();
        if let Err(error) = fs::write(&file, lines) {
            eprintln!("error: {file}: {error}");
            return ExitCode::FAILURE;
        }
    }
    ExitCode::SUCCESS
}

fn parse(
    areas: &'static [Area],
    mut arguments: impl Iterator<Item = String>,
) -> Result<Call, String> {
    let mut call = Call::default();
    while let Some(argument) = arguments.next() {
        let mut file = || arguments.next().ok_or(format!("{argument} takes a file"));
        match argument.as_str() {
            "--json" => call.json = Some(file()?),
            "--trace" => call.traces.push(file()?),
            "--svg" => call.svg = Some(file()?),
            _ => call.areas.push(area(areas, &argument)?),
        }
    }
    if call.areas.is_empty() {
        call.areas = areas.iter().collect();
    }
    Ok(call)
}

fn area(areas: &'static [Area], argument: &str) -> Result<&'static Area, String> {
    areas.iter().find(|(name, _)| *name == argument).ok_or_else(|| {
        let names: Vec<&str> = areas.iter().map(|(name, _)| *name).collect();
        format!("unknown area '{argument}'; there are: {}", names.join(" "))
    })
}
