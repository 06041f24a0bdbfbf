//! Throughput over delay as a picture: SVG, by hand, because it is a few lines.

use std::fmt::Write as _;

/// A contender on a link.
pub struct Dot {
    /// Who.
    pub name: &'static str,
    /// Milliseconds, above zero.
    pub x: f64,
    /// Percent of the link.
    pub y: f64,
}

/// A link.
pub struct Chart {
    /// Its name.
    pub title: String,
    /// Who was on it.
    pub dots: Vec<Dot>,
}

const WIDTH: f64 = 460.0;
const HEIGHT: f64 = 300.0;
/// Around the field of a chart.
const MARGIN: f64 = 50.0;
/// Delays from 10 ms to 100 s, by a logarithmic scale.
const DECADES: f64 = 4.0;

/// The charts, two in a row.
pub fn draw(charts: &[Chart]) -> String {
    let rows = charts.len().div_ceil(2) as f64;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" \
         font-family=\"sans-serif\" font-size=\"11\">\n<rect width=\"100%\" height=\"100%\" \
         fill=\"white\"/>\n",
        WIDTH * 2.0,
        HEIGHT * rows
    );
    for (index, chart) in charts.iter().enumerate() {
        let (left, top) = ((index % 2) as f64 * WIDTH, (index / 2) as f64 * HEIGHT);
        let _ = writeln!(out, "<g transform=\"translate({left} {top})\">{}</g>", inside(chart));
    }
    out + "</svg>\n"
}

fn inside(chart: &Chart) -> String {
    let mut out = String::new();
    let (right, bottom) = (WIDTH - MARGIN, HEIGHT - MARGIN);
    let mut line = |x1: f64, y1: f64, x2: f64, y2: f64| {
        let _ = write!(
            out,
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"#ddd\"/>"
        );
    };
    for decade in 0..=DECADES as u32 {
        let x = across(10f64.powi(decade as i32 + 1));
        line(x, MARGIN, x, bottom);
    }
    for percent in [0.0, 25.0, 50.0, 75.0, 100.0] {
        line(MARGIN, down(percent), right, down(percent));
    }
    for (decade, label) in ["10 ms", "100 ms", "1 s", "10 s", "100 s"].iter().enumerate() {
        let x = across(10f64.powi(decade as i32 + 1));
        text(&mut out, (x, bottom + 16.0), "middle", label);
    }
    for percent in [0.0, 50.0, 100.0] {
        text(&mut out, (MARGIN - 6.0, down(percent) + 4.0), "end", &format!("{percent} %"));
    }
    let middle = (MARGIN + right) / 2.0;
    text(&mut out, (middle, MARGIN - 20.0), "middle", &escaped(&chart.title));
    text(&mut out, (middle, bottom + 34.0), "middle", "self-inflicted delay, 95th percentile");
    // Names of neighbours stand at different heights.
    let mut dots: Vec<&Dot> = chart.dots.iter().collect();
    dots.sort_by(|a, b| a.x.total_cmp(&b.x));
    for (rank, dot) in dots.into_iter().enumerate() {
        let (x, y) = (across(dot.x), down(dot.y));
        let colour = if dot.name.starts_with("ours") { "#c00" } else { "#36c" };
        let _ = write!(out, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{colour}\"/>");
        let below = 16.0 + (rank % 3) as f64 * 13.0;
        let _ = write!(
            out,
            "<line x1=\"{x:.1}\" y1=\"{y:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" stroke=\"#999\"/>",
            x + 4.0,
            y + below - 8.0
        );
        text(&mut out, (x + 3.0, y + below), "start", dot.name);
    }
    out
}

fn text(out: &mut String, (x, y): (f64, f64), anchor: &str, words: &str) {
    let _ = write!(out, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{words}</text>");
}

fn across(ms: f64) -> f64 {
    let part = ((ms.log10() - 1.0) / DECADES).clamp(0.0, 1.0);
    MARGIN + part * (WIDTH - 2.0 * MARGIN)
}

fn down(percent: f64) -> f64 {
    HEIGHT - MARGIN - percent.clamp(0.0, 105.0) / 100.0 * (HEIGHT - 2.0 * MARGIN)
}

fn escaped(words: &str) -> String {
    words.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_are_where_their_figures_are() {
        let dots =
            vec![Dot { name: "ours", x: 100.0, y: 100.0 }, Dot { name: "x", x: 0.1, y: 0.0 }];
        let svg = draw(&[Chart { title: "a<b".into(), dots }]);
        assert!(svg.contains("a&lt;b") && svg.ends_with("</svg>\n"));
        assert!(
            svg.contains("cx=\"140.0\" cy=\"50.0\"") && svg.contains("cx=\"50.0\" cy=\"250.0\"")
        );
    }
}
