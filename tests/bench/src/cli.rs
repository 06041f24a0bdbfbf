//! The command line that both programs share: areas to measure, and a file for JSON.

use crate::report::{Row, table};
use crate::settings::Settings;
use std::env;
use std::fs;
use std::process::ExitCode;

/// An area: its name, and what measures it.
pub type Area = (&'static str, fn(&Settings) -> Vec<Row>);

/// What the command line asks for.
struct Call {
    areas: Vec<&'static Area>,
    json: Option<String>,
}

/// Runs `[AREA...] [--json FILE]` with the areas there are.
pub fn run(areas: &'static [Area]) -> ExitCode {
    let call = parse(areas, env::args().skip(1));
    let call = call.and_then(|call| Ok((call, Settings::from_env()?)));
    let (call, settings) = match call {
        Ok(call) => call,
        Err(error) => {
            eprintln!("error: {error}");
            return ExitCode::from(2);
        }
    };
    let rows: Vec<Row> = call.areas.iter().flat_map(|(_, rows)| rows(&settings)).collect();
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
    let mut call = Call { areas: Vec::new(), json: None };
    while let Some(argument) = arguments.next() {
        if argument == "--json" {
            call.json = Some(arguments.next().ok_or("--json takes a file")?);
            continue;
        }
        let area = areas.iter().find(|(name, _)| *name == argument).ok_or_else(|| {
            let names: Vec<&str> = areas.iter().map(|(name, _)| *name).collect();
            format!("unknown area '{argument}'; there are: {}", names.join(" "))
        })?;
        call.areas.push(area);
    }
    if call.areas.is_empty() {
        call.areas = areas.iter().collect();
    }
    Ok(call)
}
