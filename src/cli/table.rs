//! Tables for people: pure, text in, text out.

use std::borrow::Cow;

use super::text;

/// How a cell looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// As it is.
    #[default]
    Plain,
    /// Succeeded.
    Good,
    /// Failed.
    Bad,
    /// Under way or waiting.
    Busy,
    /// Of little weight.
    Dim,
}

impl Style {
    /// SGR sequence that begins it; empty for plain.
    fn begin(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Good => "\x1b[32m",
            Self::Bad => "\x1b[31m",
            Self::Busy => "\x1b[33m",
            Self::Dim => "\x1b[2m",
        }
    }

    /// The text in this style.
    pub fn paint(self, content: &str, color: bool) -> String {
        let mut out = String::with_capacity(content.len() + 16);
        self.push(&mut out, content, color);
        out
    }

    fn push(self, out: &mut String, content: &str, color: bool) {
        let begin = if color { self.begin() } else { "" };
        let end = if begin.is_empty() { "" } else { "\x1b[0m" };
        out.push_str(begin);
        out.push_str(content);
        out.push_str(end);
    }
}

/// One cell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cell<'a> {
    content: Cow<'a, str>,
    width: usize,
    style: Style,
}

impl<'a> Cell<'a> {
    /// A cell with a style. Control characters become visible.
    pub fn styled(content: &'a str, style: Style) -> Self {
        Self::safe(text::line(content), style)
    }

    fn safe(content: Cow<'a, str>, style: Style) -> Self {
        Self { width: text::width(&content), content, style }
    }
}

impl<'a> From<&'a str> for Cell<'a> {
    fn from(content: &'a str) -> Self {
        Self::styled(content, Style::Plain)
    }
}

impl From<String> for Cell<'_> {
    fn from(content: String) -> Self {
        let escaped = match text::line(&content) {
            Cow::Owned(escaped) => Some(escaped),
            Cow::Borrowed(_) => None,
        };
        Self::safe(Cow::Owned(escaped.unwrap_or(content)), Style::Plain)
    }
}

/// Where a table is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Medium {
    /// Columns of the terminal; `None` shortens nothing.
    pub width: Option<usize>,
    /// Whether colours are wanted.
    pub color: bool,
}

/// Between two columns.
const GAP: &str = "  ";
/// The flexible column keeps at least this, as long as others can give way.
const FLEXIBLE_MIN: usize = 16;
/// A shortened column keeps at least this.
const COLUMN_MIN: usize = 5;
/// What a column keeps before others are left out for it.
const COLUMN_WISHED: usize = 9;
/// The first column, an id or a name, gives way to the others only above this: a name of 200 bytes
/// would leave them nothing.
const FIRST_WISHED: usize = 40;

/// Rows under headers; one column, else the last, takes what is left of the width.
#[derive(Clone, Debug, Default)]
pub struct Table<'a> {
    headers: Vec<&'static str>,
    rows: Vec<Vec<Cell<'a>>>,
    optional: &'static [usize],
    flexible: usize,
}

impl<'a> Table<'a> {
    /// A table with these columns.
    pub fn new(headers: &[&'static str]) -> Self {
        let flexible = headers.len().saturating_sub(1);
        Self { headers: headers.to_vec(), rows: Vec::new(), optional: &[], flexible }
    }

    /// The column that gives way first, and takes what is left.
    #[must_use]
    pub fn flexible(self, column: usize) -> Self {
        Self { flexible: column, ..self }
    }

    /// Columns that are left out where it is too narrow, in this order.
    #[must_use]
    pub fn optional(self, columns: &'static [usize]) -> Self {
        Self { optional: columns, ..self }
    }

    /// Adds a row; cells that are missing are empty.
    pub fn row(&mut self, cells: Vec<Cell<'a>>) {
        debug_assert!(cells.len() <= self.headers.len(), "a cell without a column");
        self.rows.push(cells);
    }

    /// Whether it has no rows.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as text.
    pub fn render(&self, medium: Medium) -> String {
        let widths = self.widths(medium.width);
        let mut out = String::new();
        let headers: Vec<Cell<'_>> =
            self.headers.iter().map(|header| Cell::styled(header, Style::Dim)).collect();
        for row in std::iter::once(&headers).chain(&self.rows) {
            render_row(&mut out, row, &widths, medium);
        }
        out
    }

    /// Whether nothing but the flexible column has to give way.
    pub fn fits(&self, medium: Medium) -> bool {
        let Some(available) = medium.width else { return true };
        let mut widths = self.wished_widths();
        widths[self.flexible] = widths[self.flexible].min(FLEXIBLE_MIN);
        widths.iter().sum::<usize>() + GAP.len() * widths.len().saturating_sub(1) <= available
    }

    fn wished_widths(&self) -> Vec<usize> {
        let widest = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            let header = text::width(self.headers[column]);
            cells.map(|cell| cell.width).chain([header]).max().unwrap_or(0)
        };
        (0..self.headers.len()).map(widest).collect()
    }

    fn widths(&self, available: Option<usize>) -> Vec<usize> {
        let mut widths = self.wished_widths();
        let Some(available) = available else { return widths };
        let gaps = GAP.len() * widths.len().saturating_sub(1);
        let mut over = (widths.iter().sum::<usize>() + gaps).saturating_sub(available);
        // First the flexible column gives way, then columns without content, then the widest of
        // the others; the first is the id, which people copy.
        let flexible = [self.flexible];
        let others: Vec<usize> = (1..widths.len()).filter(|n| *n != self.flexible).collect();
        over -= take(&mut widths, &flexible, over, FLEXIBLE_MIN);
        over -= take(&mut widths, &[0], over, FIRST_WISHED);
        for &column in &others {
            if over > 0 && self.is_blank(column) {
                let gained = widths[column] + GAP.len();
                widths[column] = 0;
                widths[self.flexible] += gained.saturating_sub(over);
                over = over.saturating_sub(gained);
            }
        }
        over -= take(&mut widths, &others, over, COLUMN_WISHED);
        for &column in self.optional {
            if over > 0 && widths[column] > 0 {
                let gained = widths[column] + GAP.len();
                widths[column] = 0;
                widths[self.flexible] += gained.saturating_sub(over);
                over = over.saturating_sub(gained);
            }
        }
        over -= take(&mut widths, &others, over, COLUMN_MIN);
        over -= take(&mut widths, &flexible, over, COLUMN_MIN);
        let all: Vec<usize> = (0..widths.len()).collect();
        take(&mut widths, &all, over, 1);
        widths
    }

    /// Whether no row has anything to say in it.
    fn is_blank(&self, column: usize) -> bool {
        let mut cells = self.rows.iter().filter_map(|row| row.get(column));
        !self.rows.is_empty() && cells.all(|cell| matches!(&*cell.content, "-" | ""))
    }
}

/// Takes up to `wanted` columns of the terminal from some columns of the table, always from the
/// widest, which keeps `least`.
fn take(widths: &mut [usize], from: &[usize], wanted: usize, least: usize) -> usize {
    for taken in 0..wanted {
        let widest = from.iter().max_by_key(|column| widths[**column]);
        match widest.filter(|column| widths[**column] > least) {
            Some(column) => widths[*column] -= 1,
            None => return taken,
        }
    }
    wanted
}

fn render_row(out: &mut String, row: &[Cell<'_>], widths: &[usize], medium: Medium) {
    let start = out.len();
    // A column without width is left out, with its gap.
    for (place, cell) in row.iter().enumerate().filter(|(place, _)| widths[*place] > 0) {
        let width = widths[place];
        if place > 0 {
            out.push_str(GAP);
        }
        let taken = if medium.width.is_some() && cell.width > width {
            let short = text::shorten(&cell.content, width);
            cell.style.push(out, &short, medium.color);
            text::width(&short)
        } else {
            cell.style.push(out, &cell.content, medium.color);
            cell.width
        };
        if place + 1 < row.len() {
            out.extend(std::iter::repeat_n(' ', width.saturating_sub(taken)));
        }
    }
    let end = out.trim_end_matches(' ').len().max(start);
    out.truncate(end);
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_first_column_leaves_the_others_their_room() {
        let mut table = Table::new(&["NAME", "RUNS", "LAST", "DURATIONS"]).optional(&[1]);
        let name = "n".repeat(200);
        table.row(vec![name.as_str().into(), "1234567".into(), "succeeded".into(), "▁▄█".into()]);
        let text = table.render(Medium { width: Some(100), color: false });
        for cell in ["RUNS", "1234567", "succeeded", "▁▄█"] {
            assert!(text.contains(cell), "{text}");
        }
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
    }

    fn sample() -> Table<'static> {
        let mut table = Table::new(&["ID", "NAME", "COMMAND"]);
        table.row(vec!["aaaaaaaaaaaa".into(), "web".into(), "sleep 1000000000 1000000000".into()]);
        table.row(vec!["bbbbbbbbbbbb".into(), "a\u{1b}[2J".into(), "true".into()]);
        table
    }

    #[test]
    fn nothing_is_shortened_without_a_width() {
        let text = sample().render(Medium { width: None, color: false });
        assert_eq!(
            text,
            "ID            NAME      COMMAND\n\
             aaaaaaaaaaaa  web       sleep 1000000000 1000000000\n\
             bbbbbbbbbbbb  a\\x1b[2J  true\n"
        );
    }

    #[test]
    fn every_line_fits_the_width() {
        for width in 30..70 {
            let text = sample().render(Medium { width: Some(width), color: false });
            for line in text.lines() {
                assert!(text::width(line) <= width, "{width}: {line}");
            }
        }
        let narrow = sample().render(Medium { width: Some(40), color: false });
        assert!(narrow.contains("  web       sleep 100000000…\n"), "{narrow}");
    }

    #[test]
    fn a_narrow_table_keeps_ids_and_drops_what_says_nothing() {
        let mut table = Table::new(&["ID", "LABELS", "STARTED", "COMMAND"]);
        table.row(vec![
            "aaaaaaaaaaaa".into(),
            "-".into(),
            "2026-11-20 10:00:00".into(),
            "x y".into(),
        ]);
        let text = table.render(Medium { width: Some(34), color: false });
        assert_eq!(
            text,
            "ID            STARTED      COMMAND\n\
             aaaaaaaaaaaa  2026-11-20…  x y\n"
        );
        let text = table.render(Medium { width: Some(60), color: false });
        assert!(text.contains("LABELS"), "{text}");
    }

    #[test]
    fn colours_take_no_columns() {
        let mut table = Table::new(&["A", "B"]);
        table.row(vec![Cell::styled("ok", Style::Good), "x".into()]);
        let text = table.render(Medium { width: Some(80), color: true });
        assert!(text.contains("\x1b[32mok\x1b[0m  x\n"), "{text:?}");
    }
}
