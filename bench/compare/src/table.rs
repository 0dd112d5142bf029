//! The tables: medians with the lowest and the highest, and ratios to yardsticks.

use std::{error::Error, fs, thread};

use figures::median;

use crate::{
    Measured, Row,
    groups::{Figure, Group},
};

/// On what was measured.
pub fn head(rounds: usize) -> Result<String, Box<dyn Error>> {
    let processors = thread::available_parallelism()?;
    let model = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = model.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown");
    let model = model.trim_start_matches([' ', '\t', ':']);
    Ok(format!("{processors} processors ({model}); medians of {rounds} rounds [lowest .. highest].\n"))
}

/// The table of a group.
pub fn of(group: &Group, measured: &Measured) -> String {
    let mut text = format!("\n## {}\n\n{}\n\n| |", group.name, group.what);
    for figure in group.figures {
        text += &format!(" {} |", figure.label);
    }
    for (figure, other) in group.ratios {
        text += &format!(" {} / {other} |", figure.label);
    }
    let columns = text.lines().last().unwrap_or_default().matches('|').count() - 1;
    text += &format!("\n|{}\n", "---|".repeat(columns));
    for (label, rows) in measured {
        text += &format!("| {label} |");
        for figure in group.figures {
            let mut values: Vec<f64> = rows.iter().filter_map(|(_, row)| number(row, figure)).collect();
            let (middle, first, last) = (median(&mut values), values.first().copied(), values.last().copied());
            text += &match (first, last) {
                (Some(first), Some(last)) => format!(" {} [{} .. {}] |", short(middle), short(first), short(last)),
                _ => " |".to_owned(),
            };
        }
        for (figure, other) in group.ratios {
            let mut ratios = ratios(measured, rows, other, figure);
            let cell = if label == other || ratios.is_empty() { String::new() } else { short(median(&mut ratios)) };
            text += &format!(" {cell} |");
        }
        text += "\n";
    }
    text
}

/// The median of a figure.
pub fn middle(rows: &[(usize, Row)], figure: &Figure) -> Option<f64> {
    let mut values: Vec<f64> = rows.iter().filter_map(|(_, row)| number(row, figure)).collect();
    Some(median(&mut values)).filter(|value| value.is_finite())
}

/// Within the rounds in which both have run.
fn ratios(measured: &Measured, rows: &[(usize, Row)], yardstick: &str, figure: &Figure) -> Vec<f64> {
    let of_yardstick = measured.iter().find(|(label, _)| label == yardstick).map(|(_, rows)| rows.as_slice());
    let pairs = rows.iter().filter_map(|(round, row)| {
        let (_, other) = of_yardstick?.iter().find(|(other, _)| other == round)?;
        Some((number(row, figure)?, number(other, figure)?))
    });
    pairs.filter(|(_, other)| *other > 0.0).map(|(ours, other)| ours / other).collect()
}

fn number(row: &Row, figure: &Figure) -> Option<f64> {
    row.get(figure.field)?.as_f64()
}

/// Three digits that count.
pub fn short(value: f64) -> String {
    match value.abs() {
        size if size >= 1e6 => format!("{:.2} M", value / 1e6),
        size if size >= 1e5 => format!("{:.0} k", value / 1e3),
        size if size >= 1e3 => format!("{:.1} k", value / 1e3),
        size if size >= 100.0 || value == 0.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 0.995 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        let texts: Vec<_> = [1_234_567.0, 123_456.0, 12_345.0, 123.4, 12.34, 1.0, 0.1234, 0.0].map(short).into();
        assert_eq!(texts, ["1.23 M", "123 k", "12.3 k", "123", "12.3", "1.00", "0.123", "0"]);
    }
}
