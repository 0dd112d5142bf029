//! Pictures: bars on a logarithmic scale, since what is compared differs by orders of magnitude.

use crate::{
    Measured,
    groups::{Figure, Group},
    table::{middle, short},
};

const WIDTH: f64 = 720.0;
const LABELS: f64 = 230.0;
const ROW: f64 = 24.0;

/// A bar for each program: its median.
pub fn bars(group: &Group, figure: &Figure, measured: &Measured) -> String {
    let values: Vec<(&str, f64)> = measured
        .iter()
        .filter_map(|(label, rows)| Some((label.as_str(), middle(rows, figure).filter(|value| *value > 0.0)?)))
        .collect();
    let largest = values.iter().map(|(_, value)| *value).fold(f64::MIN_POSITIVE, f64::max);
    let smallest = values.iter().map(|(_, value)| *value).fold(f64::MAX, f64::min);
    let (low, high) = (smallest.log10().floor() - 0.3, largest.log10());
    let height = 44.0 + ROW * values.len() as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <style>text {{ fill: #24292f }} .ours {{ fill: #2563a8 }} .other {{ fill: #9aa5b1 }}\n\
         @media (prefers-color-scheme: dark) {{ text {{ fill: #e6edf3 }} .other {{ fill: #6b7683 }} .ours {{ fill: #5b9bd9 }} }}</style>\n\
         <text x=\"4\" y=\"20\" font-weight=\"bold\">{}: {} (logarithmic)</text>\n",
        escaped(group.name),
        escaped(figure.label),
    );
    for (at, (label, value)) in values.iter().enumerate() {
        let y = 36.0 + ROW * at as f64;
        let length = (value.log10() - low) / (high - low).max(0.1) * (WIDTH - LABELS - 90.0);
        let class = if label.starts_with("ours") || group.name == "servers" { "ours" } else { "other" };
        svg += &format!(
            "<text x=\"{:.0}\" y=\"{:.0}\" text-anchor=\"end\">{}</text>\
             <rect class=\"{class}\" x=\"{LABELS}\" y=\"{y:.0}\" width=\"{length:.0}\" height=\"16\" rx=\"2\"/>\
             <text x=\"{:.0}\" y=\"{:.0}\">{}</text>\n",
            LABELS - 8.0,
            y + 13.0,
            escaped(label),
            LABELS + length + 6.0,
            y + 13.0,
            short(*value),
        );
    }
    svg + "</svg>\n"
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
