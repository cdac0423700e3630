//! The table, and the same as JSON.

use std::fmt::Write as _;

use crate::measure::{Absent, Figure, Measured};

/// What a figure must keep to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Bar {
    /// Not above.
    AtMost(f64),
    /// Not below.
    AtLeast(f64),
    /// A peer's row: for comparison.
    None,
}

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Times something else.
    Ratio,
    /// Milliseconds.
    Ms,
    /// 2^20 bytes.
    Mib,
    /// Millions a second.
    MillionsPerS,
}

/// One line of the table.
pub(crate) struct Row {
    /// What was measured.
    pub(crate) what: String,
    /// What it is divided by; empty for an absolute figure.
    pub(crate) against: &'static str,
    /// What it must keep to.
    pub(crate) bar: Bar,
    /// In what.
    pub(crate) unit: Unit,
    /// The figure.
    pub(crate) figure: Measured<Figure>,
    /// What else was seen.
    pub(crate) note: String,
}

impl Row {
    /// A ratio to something measured in the same rounds.
    pub(crate) fn ratio(
        what: impl Into<String>,
        against: &'static str,
        bar: Bar,
        figure: Measured<Figure>,
    ) -> Self {
        Self { what: what.into(), against, bar, unit: Unit::Ratio, figure, note: String::new() }
    }

    /// A figure of its own.
    pub(crate) fn absolute(
        what: impl Into<String>,
        bar: Bar,
        unit: Unit,
        figure: Measured<Figure>,
    ) -> Self {
        Self { what: what.into(), against: "", bar, unit, figure, note: String::new() }
    }

    /// The same with a note.
    pub(crate) fn with_note(mut self, note: impl Into<String>) -> Self {
        self.note = note.into();
        self
    }

    /// Was the bar kept? `None` without a bar or a figure.
    pub(crate) fn is_met(&self) -> Option<bool> {
        let value = self.figure.as_ref().ok()?.quiet;
        match self.bar {
            Bar::AtMost(bar) => Some(value <= bar),
            Bar::AtLeast(bar) => Some(value >= bar),
            Bar::None => None,
        }
    }

    fn verdict(&self) -> String {
        match (&self.figure, self.is_met()) {
            (Ok(_), Some(true)) => "met".to_owned(),
            (Ok(_), Some(false)) => "MISSED".to_owned(),
            (Ok(_), None) => "peer".to_owned(),
            (Err(Absent::NotInstalled(_)), _) => "not installed".to_owned(),
            (Err(Absent::NoCommand), _) => "n/a".to_owned(),
            (Err(Absent::Needs(what)), _) => format!("needs {what}"),
            (Err(Absent::Failed(_)), _) => "FAILED".to_owned(),
        }
    }

    fn cells(&self) -> [String; 6] {
        let unit = match self.unit {
            Unit::Ratio => " ×",
            Unit::Ms => " ms",
            Unit::Mib => " MiB",
            Unit::MillionsPerS => " M/s",
        };
        let bar = match self.bar {
            Bar::AtMost(bar) => format!("≤ {bar}{unit}"),
            Bar::AtLeast(bar) => format!("≥ {bar}{unit}"),
            Bar::None => String::new(),
        };
        let (value, spread) = match &self.figure {
            Ok(figure) => (
                format!("{:.2}{unit}", figure.quiet),
                format!("{:.2} ({:.2}–{:.2})", figure.all, figure.low, figure.high),
            ),
            Err(Absent::NotInstalled(program)) => (String::new(), (*program).to_owned()),
            Err(_) => (String::new(), String::new()),
        };
        [self.what.clone(), self.against.to_owned(), value, bar, self.verdict(), spread]
    }
}

/// The table for people.
pub(crate) fn table(rows: &[Row]) -> String {
    let head = ["what", "divided by", "jr", "bar", "", "all rounds: median (range)"];
    let mut lines = vec![head.map(str::to_owned)];
    lines.extend(rows.iter().map(Row::cells));
    let width = |column: usize| lines.iter().map(|cells| cells[column].chars().count()).max();
    let widths: Vec<usize> = (0..head.len()).map(|column| width(column).unwrap_or(0)).collect();
    let mut out = String::new();
    for (cells, row) in lines.iter().zip(std::iter::once(None).chain(rows.iter().map(Some))) {
        let mut line = String::new();
        for (cell, width) in cells.iter().zip(&widths) {
            write!(line, "{cell:<width$}  ").expect("a string takes all");
        }
        out.push_str(line.trim_end());
        out.push('\n');
        if let Some(Row { figure: Err(Absent::Failed(why)), .. }) = row {
            writeln!(out, "    {why}").expect("a string takes all");
        }
        if let Some(row) = row.filter(|row| !row.note.is_empty()) {
            writeln!(out, "    {}", row.note).expect("a string takes all");
        }
    }
    out
}

/// All figures for machines.
pub(crate) fn json(machine: &[(&str, String)], rows: &[Row]) -> String {
    let mut out = String::from("{\"schema\":\"jr.compare/1\",\"machine\":{");
    let facts = machine.iter().map(|(key, value)| format!("{}:{}", quote(key), quote(value)));
    out.push_str(&facts.collect::<Vec<_>>().join(","));
    out.push_str("},\"items\":[\n");
    out.push_str(&rows.iter().map(json_row).collect::<Vec<_>>().join(",\n"));
    out.push_str("\n]}\n");
    out
}

fn json_row(row: &Row) -> String {
    let (at_most, at_least) = match row.bar {
        Bar::AtMost(bar) => (bar.to_string(), "null".to_owned()),
        Bar::AtLeast(bar) => ("null".to_owned(), bar.to_string()),
        Bar::None => ("null".to_owned(), "null".to_owned()),
    };
    let unit = match row.unit {
        Unit::Ratio => "ratio",
        Unit::Ms => "ms",
        Unit::Mib => "mib",
        Unit::MillionsPerS => "million_per_s",
    };
    let [quiet, all, low, high] = match &row.figure {
        Ok(figure) => [figure.quiet, figure.all, figure.low, figure.high].map(|n| n.to_string()),
        Err(_) => std::array::from_fn(|_| "null".to_owned()),
    };
    let met = row.is_met().map_or("null".to_owned(), |met| met.to_string());
    let error = match &row.figure {
        Err(Absent::Failed(why)) => quote(why),
        _ => "null".to_owned(),
    };
    format!(
        "{{\"what\":{},\"against\":{},\"unit\":\"{unit}\",\"at_most\":{at_most},\
         \"at_least\":{at_least},\"quiet\":{quiet},\"median\":{all},\"low\":{low},\"high\":{high},\
         \"met\":{met},\"verdict\":{},\"error\":{error},\"note\":{}}}",
        quote(&row.what),
        quote(row.against),
        quote(&row.verdict()),
        quote(&row.note),
    )
}

fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
