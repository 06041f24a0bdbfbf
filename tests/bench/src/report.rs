//! The table, and the same rows as one JSON object a line.

use std::fmt::Write as _;

/// Our figure beside one peer's.
#[derive(Clone, Debug)]
pub struct Row {
    /// What was measured.
    pub name: String,
    /// What both figures count; more is better where `name` does not say otherwise.
    pub unit: &'static str,
    /// Our figure.
    pub ours: f64,
    /// The peer's figure.
    pub peer: f64,
    /// Who the peer is.
    pub peer_name: &'static str,
}

impl Row {
    /// How many times the peer's figure ours is.
    pub fn ratio(&self) -> f64 {
        self.ours / self.peer
    }

    fn cells(&self) -> [String; 6] {
        let (ours, peer) = (figure(self.ours), figure(self.peer));
        let ratio = format!("{:.2}", self.ratio());
        [self.name.clone(), self.unit.into(), ours, peer, self.peer_name.into(), ratio]
    }

    /// The row as a JSON object.
    pub fn json(&self) -> String {
        let (name, unit, peer_name) =
            (quoted(&self.name), quoted(self.unit), quoted(self.peer_name));
        let (ours, peer, ratio) = (number(self.ours), number(self.peer), number(self.ratio()));
        format!(
            "{{\"name\":{name},\"unit\":{unit},\"ours\":{ours},\"peer\":{peer},\
             \"peer_name\":{peer_name},\"ratio\":{ratio}}}"
        )
    }
}

/// All rows under one header, in columns, as Markdown.
pub fn table(rows: &[Row]) -> String {
    let header = ["name", "unit", "ours", "peer", "peer name", "ratio"].map(String::from);
    let lines: Vec<[String; 6]> =
        std::iter::once(header).chain(rows.iter().map(Row::cells)).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].len()).max().unwrap_or(0);
    let widths: [usize; 6] = std::array::from_fn(width);
    let mut out = String::new();
    for (i, line) in lines.iter().enumerate() {
        let cells: Vec<String> =
            line.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        let _ = writeln!(out, "| {} |", cells.join(" | "));
        if i == 0 {
            let rules: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
            let _ = writeln!(out, "| {} |", rules.join(" | "));
        }
    }
    out
}

/// Four significant digits are more than the machine's noise leaves.
fn figure(value: f64) -> String {
    if value.abs() >= 100.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

/// JSON knows no infinity.
fn number(value: f64) -> String {
    if value.is_finite() { format!("{value:.4}") } else { "null".into() }
}

fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_as_json_and_in_the_table() {
        let row =
            Row { name: "a \"b\"".into(), unit: "x/s", ours: 3.0, peer: 1.5, peer_name: "them" };
        let json = r#"{"name":"a \"b\"","unit":"x/s","ours":3.0000,"peer":1.5000,"#;
        assert_eq!(row.json(), format!("{json}{}", r#""peer_name":"them","ratio":2.0000}"#));
        assert_eq!(
            table(&[row]),
            "| name  | unit | ours | peer | peer name | ratio |\n\
             | ----- | ---- | ---- | ---- | --------- | ----- |\n\
             | a \"b\" | x/s  | 3.00 | 1.50 | them      | 2.00  |\n"
        );
    }

    #[test]
    fn without_a_peer_there_is_no_ratio() {
        let row = Row { name: "a".into(), unit: "u", ours: 1.0, peer: 0.0, peer_name: "p" };
        assert!(row.json().ends_with("\"ratio\":null}"));
    }
}
