//! What a run printed of its progress, from any bytes: pure.
//!
//! Two forms are understood. `ESC ] 9 ; 4 ; state ; percent BEL` (or ST) is what `ConEmu`, Windows
//! Terminal and systemd agree on for the bar of a terminal's tab. A line with `key=[value]`, or a
//! JSON object with a count, is read as runtools reads it (see `fields`). Lines end with a
//! line feed or a carriage return, so a line that replaces itself is many.

use memchr::{memchr2, memchr3_iter, memrchr2};

use super::fields::{Count, Fields};

const ESC: u8 = 0x1b;
/// Begins a sequence that tells a terminal of progress.
const OSC: &[u8] = b"\x1b]9;4";
/// Digits of one parameter; more are none.
const PARAMETER_DIGITS: usize = 6;
/// Operations that are told apart; of more the oldest are forgotten.
const OPERATIONS: usize = 32;
/// What can be all of it.
const WHOLE: f64 = 100.0;

/// What the bar of a terminal's tab shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bar {
    /// 1: it goes on.
    Normal,
    /// 2: something failed.
    Error,
    /// 3: it goes on, nobody knows how far.
    Indeterminate,
    /// 4: it waits, or there is something to know.
    Paused,
}

impl Bar {
    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Error => "error",
            Self::Indeterminate => "indeterminate",
            Self::Paused => "paused",
        }
    }
}

/// How far a run says that it is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Printed {
    /// What is being done, or was done last.
    pub operation: Option<String>,
    /// So much of it; may exceed the total.
    pub completed: Option<f64>,
    /// Of so much; never 0.
    pub total: Option<f64>,
    /// Of what.
    pub unit: Option<String>,
    /// Of the bar, or of the operation: 0 to 100.
    pub percent: Option<f64>,
    /// Of the bar.
    pub bar: Option<Bar>,
    /// What it said last.
    pub event: Option<String>,
    /// What came of the whole, else of the operation.
    pub result: Option<String>,
    /// Whether that is bad.
    pub failed: bool,
    /// How much of the whole run is done, where what it printed is about the whole: from 0 to 1.
    pub fraction: Option<f64>,
}

/// One thing that is counted.
#[derive(Clone, Debug, Default, PartialEq)]
struct Operation {
    name: Option<String>,
    scope: Option<String>,
    /// All of its lines were seen: what was not counted yet is 0.
    is_whole: bool,
    completed: Option<f64>,
    total: Option<f64>,
    unit: Option<String>,
    result: Option<String>,
    failed: bool,
}

/// Reads output, and knows how far the run is.
#[derive(Clone, Debug, Default)]
pub struct Tracker {
    bar: Option<(Bar, Option<f64>)>,
    /// The bar was told of after any operation.
    bar_is_newest: bool,
    /// What was told of last stands last.
    operations: Vec<Operation>,
    has_forgotten: bool,
    event: Option<String>,
    result: Option<(String, bool)>,
}

impl Tracker {
    /// Takes a piece of output. If what was before it is not known (`is_cut`), its first line is
    /// only the end of one, and something may have been counted before.
    pub fn read(&mut self, bytes: &[u8], is_cut: bool) {
        // What is before this is of a line that is done with.
        let mut done = 0;
        for place in memchr3_iter(ESC, b'=', b'{', bytes) {
            match bytes[place] {
                ESC => self.sequence(&bytes[place..]),
                b'=' if place >= done => {
                    if !bytes.get(place + 1).is_some_and(|next| b"[(<".contains(next)) {
                        continue;
                    }
                    let (start, end) = (line_start(bytes, place), line_end(bytes, place));
                    done = end;
                    if start > 0 || !is_cut {
                        self.line(&Fields::of_pairs(&bytes[start..end]), is_cut);
                    }
                }
                b'{' if place >= done && begins_line(bytes, place, is_cut) => {
                    let end = line_end(bytes, place);
                    if let Some(fields) = Fields::of_json(&bytes[place..end]) {
                        self.line(&fields, is_cut);
                        done = end;
                    }
                }
                _ => {}
            }
        }
    }

    /// Takes a control sequence, if it is whole and one of progress.
    fn sequence(&mut self, bytes: &[u8]) {
        let Some(rest) = bytes.strip_prefix(OSC) else { return };
        let Some((state, rest)) = parameter(rest) else { return };
        let Some((percent, rest)) = parameter(rest) else { return };
        if !matches!(rest, [0x07 | 0x9c, ..] | [ESC, b'\\', ..] | [0xc2, 0x9c, ..]) {
            return;
        }
        let before = self.bar.and_then(|(_, percent)| percent);
        let percent = percent.map(|percent| f64::from(percent).min(WHOLE));
        let bar = match state {
            Some(1) => Some((Bar::Normal, percent.or(Some(0.0)))),
            // As far as it was, where nothing is said.
            Some(2) => Some((Bar::Error, percent.or(before))),
            Some(3) => Some((Bar::Indeterminate, None)),
            Some(4) => Some((Bar::Paused, percent.or(before))),
            None | Some(0) => None,
            Some(_) => return,
        };
        self.bar = bar;
        self.bar_is_newest = bar.is_some();
    }

    /// Takes what a line says.
    fn line(&mut self, fields: &Fields, is_cut: bool) {
        let has_count = fields.completed.is_some() || fields.total.is_some();
        if fields.operation.is_some() || has_count {
            self.operation(fields, is_cut);
            return;
        }
        if let Some(event) = &fields.event {
            self.event = Some(event.clone());
        }
        let failed = fields.failed.as_ref().map(|text| (text, true));
        if let Some((text, failed)) = failed.or(fields.result.as_ref().map(|text| (text, false))) {
            self.result = Some((text.clone(), failed));
        }
    }

    fn operation(&mut self, fields: &Fields, is_cut: bool) {
        let is_it =
            |known: &Operation| known.name == fields.operation && known.scope == fields.scope;
        let mut operation = match self.operations.iter().position(is_it) {
            Some(place) => self.operations.remove(place),
            None => Operation {
                name: fields.operation.clone(),
                scope: fields.scope.clone(),
                is_whole: !is_cut,
                ..Operation::default()
            },
        };
        match fields.completed {
            Some(Count::At(count)) => operation.completed = Some(count),
            Some(Count::More(more)) => {
                let before = operation.completed.or(Some(0.0).filter(|_| operation.is_whole));
                operation.completed = before.map(|count| count + more);
            }
            None => {}
        }
        operation.total = fields.total.or(operation.total);
        operation.unit = fields.unit.clone().or(operation.unit);
        if let Some(text) = fields.failed.as_ref().or(fields.result.as_ref()) {
            operation.result = Some(text.clone());
            operation.failed = fields.failed.is_some();
        }
        self.operations.push(operation);
        if self.operations.len() > OPERATIONS {
            self.operations.remove(0);
            self.has_forgotten = true;
        }
        self.bar_is_newest = false;
    }

    /// How far it is; `None` if it said nothing of that.
    pub fn printed(&self) -> Option<Printed> {
        let open = self.operations.iter().rev().find(|one| !one.is_over());
        let operation = open.or(self.operations.last());
        let share = operation.and_then(Operation::fraction);
        let of_bar = self.bar.and_then(|(_, percent)| percent);
        let of_bar = of_bar.filter(|_| self.bar_is_newest || share.is_none());
        // One of several operations says nothing of the whole.
        let is_whole = self.operations.len() == 1 && !self.has_forgotten;
        let of_operation = share.filter(|_| is_whole);
        let result = operation.and_then(|one| one.result.clone().map(|text| (text, one.failed)));
        let (result, failed) = self.result.clone().or(result).unzip();
        let printed = Printed {
            operation: operation.and_then(|one| one.name.clone()),
            completed: operation.and_then(|one| one.completed),
            total: operation.and_then(|one| one.total).filter(|total| *total > 0.0),
            unit: operation.and_then(|one| one.unit.clone()),
            percent: of_bar.or(share.map(|share| share * WHOLE)),
            bar: self.bar.map(|(bar, _)| bar),
            event: self.event.clone(),
            result,
            failed: failed.unwrap_or(false),
            fraction: of_bar.map(|percent| percent / WHOLE).or(of_operation),
        };
        (printed != Printed::default()).then_some(printed)
    }
}

impl Operation {
    fn is_over(&self) -> bool {
        self.result.is_some() || self.fraction().is_some_and(|share| share >= 1.0)
    }

    fn fraction(&self) -> Option<f64> {
        let total = self.total.filter(|total| *total > 0.0)?;
        Some((self.completed? / total).min(1.0))
    }
}

/// `;` and digits, which may be missing; with what follows. `None` where it is something else.
fn parameter(bytes: &[u8]) -> Option<(Option<u32>, &[u8])> {
    let Some(rest) = bytes.strip_prefix(b";") else { return Some((None, bytes)) };
    let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = rest.split_at(length);
    if length > PARAMETER_DIGITS {
        return None;
    }
    let number = digits.iter().fold(0, |number, digit| number * 10 + u32::from(digit - b'0'));
    Some((Some(number).filter(|_| length > 0), rest))
}

fn line_start(bytes: &[u8], place: usize) -> usize {
    memrchr2(b'\n', b'\r', &bytes[..place]).map_or(0, |end| end + 1)
}

fn line_end(bytes: &[u8], place: usize) -> usize {
    memchr2(b'\n', b'\r', &bytes[place..]).map_or(bytes.len(), |length| place + length)
}

fn begins_line(bytes: &[u8], place: usize, is_cut: bool) -> bool {
    match place.checked_sub(1) {
        Some(before) => b"\n\r".contains(&bytes[before]),
        None => !is_cut,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(bytes: impl AsRef<[u8]>) -> Option<Printed> {
        let mut tracker = Tracker::default();
        tracker.read(bytes.as_ref(), false);
        tracker.printed()
    }

    fn percent(bytes: impl AsRef<[u8]>) -> Option<f64> {
        printed(bytes).and_then(|printed| printed.percent)
    }

    /// Operation, count and total.
    fn counts(bytes: impl AsRef<[u8]>) -> (Option<String>, Option<f64>, Option<f64>) {
        let printed = printed(bytes).unwrap_or_default();
        (printed.operation, printed.completed, printed.total)
    }

    fn load(completed: f64, total: f64) -> (Option<String>, Option<f64>, Option<f64>) {
        (Some("load".to_owned()), Some(completed), Some(total))
    }

    #[test]
    fn a_bar_is_read_with_either_end() {
        for end in ["\x07", "\x1b\\", "\u{9c}"] {
            assert_eq!(percent(format!("\x1b]9;4;1;42{end}")), Some(42.0), "{end:?}");
        }
        assert_eq!(percent(b"\x1b]9;4;1;42\x9c"), Some(42.0));
        let found = printed("\x1b]9;4;1;42\x07").expect("a bar");
        assert_eq!((found.bar, found.fraction), (Some(Bar::Normal), Some(0.42)));
    }

    #[test]
    fn each_state_of_a_bar_means_something() {
        let of = |text: &str| printed(text).map(|found| (found.bar, found.percent));
        assert_eq!(of("\x1b]9;4;1;10\x07\x1b]9;4;2\x07"), Some((Some(Bar::Error), Some(10.0))));
        assert_eq!(of("\x1b]9;4;1;10\x07\x1b]9;4;2;30\x07"), Some((Some(Bar::Error), Some(30.0))));
        assert_eq!(of("\x1b]9;4;1;10\x07\x1b]9;4;4;\x07"), Some((Some(Bar::Paused), Some(10.0))));
        assert_eq!(
            of("\x1b]9;4;1;10\x07\x1b]9;4;3;50\x07"),
            Some((Some(Bar::Indeterminate), None))
        );
        assert_eq!(of("\x1b]9;4;1;10\x07\x1b]9;4;0;0\x07"), None, "removed");
        assert_eq!(of("\x1b]9;4;1;10\x07\x1b]9;4;0\x07"), None, "removed");
        assert_eq!(of("\x1b]9;4;1;10\x07\x1b]9;4\x07"), None, "removed");
        assert_eq!(of("\x1b]9;4;1\x07"), Some((Some(Bar::Normal), Some(0.0))));
        assert_eq!(of("\x1b]9;4;1;10\x07\x1b]9;4;7;50\x07"), Some((Some(Bar::Normal), Some(10.0))));
        assert_eq!(of("\x1b]9;4;1;250\x07"), Some((Some(Bar::Normal), Some(100.0))));
    }

    #[test]
    fn a_sequence_that_is_cut_or_another_one_is_none() {
        for bytes in [
            "\x1b]9;4;1;42",
            "\x1b]9;4;1;42\x1b",
            "\x1b]9;4;1;4",
            "\x1b]9;4",
            "\x1b]9",
            "\x1b",
            "]9;4;1;42\x07",
            "\x1b]9;4;1;42 \x07",
            "\x1b]9;4;x;42\x07",
            "\x1b]9;4;1;-5\x07",
            "\x1b]9;4;1;4.2\x07",
            "\x1b]9;4;1;42;1\x07",
            "\x1b]9;4;1;99999999999999999999\x07",
            "\x1b]9;41;42\x07",
            "\x1b]9;5;1;42\x07",
            "\x1b]99;4;1;42\x07",
            "\x1b]0;title\x07",
            "\x1b[32mok\x1b[0m",
        ] {
            assert_eq!(printed(bytes), None, "{bytes:?}");
        }
        let cut = "\x1b]9;4;1;10\x07\x1b]9;4;1;2";
        assert_eq!(percent(cut), Some(10.0), "what was whole stays");
    }

    #[test]
    fn counts_make_a_percentage() {
        let found = printed("completed=[3] total=[10] operation=[load]").expect("progress");
        assert_eq!(found.operation.as_deref(), Some("load"));
        assert_eq!((found.completed, found.total), (Some(3.0), Some(10.0)));
        assert_eq!((found.percent, found.fraction), (Some(30.0), Some(0.3)));
        let more = "operation=[load] total=[10]\noperation=[load] completed=[+2]\n\
                    noise\noperation=[load] completed=[+2]\n";
        assert_eq!(counts(more), load(4.0, 10.0));
        assert_eq!(counts("completed=[1] total=[4]"), (None, Some(1.0), Some(4.0)));
    }

    #[test]
    fn what_was_told_last_counts() {
        let lines = "operation=[load] completed=[3] total=[10]\n\
                     operation=[load] completed=[7]\n";
        assert_eq!(counts(lines), load(7.0, 10.0));
        let bar = format!("{lines}\x1b]9;4;1;12\x07");
        assert_eq!(percent(&bar), Some(12.0));
        assert_eq!(percent(format!("{bar}operation=[load] completed=[8]\n")), Some(80.0));
        let both = format!("{lines}operation=[store] completed=[1] total=[4]\n");
        assert_eq!(printed(&both).expect("progress").operation.as_deref(), Some("store"));
    }

    #[test]
    fn a_line_that_replaces_itself_is_many() {
        let line = "operation=[load] completed=[1] total=[9]\roperation=[load] completed=[2]\r\n";
        assert_eq!(counts(line), load(2.0, 9.0));
        assert_eq!(percent("\r 1%\x1b]9;4;1;1\x07\r 2%\x1b]9;4;1;2\x07"), Some(2.0));
    }

    #[test]
    fn what_is_not_over_is_told_before_what_is() {
        let lines = "operation=[load] completed=[1] total=[2]\n\
                     operation=[check] completed=[5] total=[5]\n";
        let found = printed(lines).expect("progress");
        assert_eq!(found.operation.as_deref(), Some("load"));
        assert_eq!(found.fraction, None, "one of two operations is not the whole");
        let ended = format!("{lines}operation=[load] result=[fine]\n");
        let found = printed(ended).expect("progress");
        assert_eq!(
            (found.operation.as_deref(), found.result.as_deref()),
            (Some("load"), Some("fine"))
        );
        let failed = printed("operation=[load] failed=[no disk]").expect("progress");
        assert_eq!((failed.result.as_deref(), failed.failed), (Some("no disk"), true));
    }

    #[test]
    fn results_and_events_need_no_operation() {
        let found = printed("event=[connected]\nresult=[12 files]\n").expect("progress");
        assert_eq!(found.event.as_deref(), Some("connected"));
        assert_eq!((found.result.as_deref(), found.failed), (Some("12 files"), false));
        let found = printed("failed=[no route]\n").expect("progress");
        assert_eq!((found.result.as_deref(), found.failed), (Some("no route"), true));
    }

    #[test]
    fn json_lines_have_the_same_keys() {
        let lines = "{\"operation\":\"load\",\"completed\":3,\"total\":10}\n\
                     {\"operation\":\"load\",\"completed\":\"+1\"}\n{\"level\":\"info\"}\n";
        assert_eq!(counts(lines), load(4.0, 10.0));
        assert_eq!(printed("x {\"completed\":3}\n"), None, "in the middle of a line");
    }

    #[test]
    fn totals_that_mean_nothing_give_no_percentage() {
        for (line, percent) in [
            ("completed=[3] total=[0]", None),
            ("completed=[12] total=[10]", Some(100.0)),
            ("completed=[-1] total=[10]", None),
            ("completed=[NaN] total=[10]", None),
            ("completed=[3] total=[inf]", None),
            ("completed=[9e15] total=[1e-300]", Some(100.0)),
        ] {
            let found = printed(line).expect("progress");
            assert_eq!(found.percent, percent, "{line}");
            assert_ne!(found.total, Some(0.0), "{line}");
        }
    }

    #[test]
    fn of_a_cut_piece_the_first_line_and_increments_say_nothing() {
        let cut = |text: &str| {
            let mut tracker = Tracker::default();
            tracker.read(text.as_bytes(), true);
            tracker.printed()
        };
        assert_eq!(cut("tal=[10] completed=[3] operation=[load]\n"), None);
        assert_eq!(cut("{\"completed\":3}\n"), None);
        let found = cut("x\noperation=[load] completed=[+1] total=[10]\n").expect("progress");
        assert_eq!((found.completed, found.percent), (None, None));
        let found = cut("x\noperation=[load] completed=[5]\noperation=[load] completed=[+1]");
        assert_eq!(found.and_then(|found| found.completed), Some(6.0));
        assert_eq!(cut("\x1b]9;4;1;7\x07").and_then(|found| found.percent), Some(7.0));
    }

    #[test]
    fn several_pieces_are_one_story() {
        let mut tracker = Tracker::default();
        tracker.read(b"operation=[load] total=[10] completed=[1]\n", false);
        tracker.read(b"operation=[load] completed=[+1]\n", false);
        assert_eq!(tracker.printed().and_then(|found| found.completed), Some(2.0));
    }

    #[test]
    fn a_long_line_and_many_operations_stay_bounded() {
        let mut line = vec![b'x'; 1 << 20];
        line.extend_from_slice(b" operation=[load] completed=[1] total=[2]");
        assert_eq!(counts(&line), load(1.0, 2.0));
        let signs = "a=[".repeat(1 << 16);
        assert_eq!(printed(signs), None);
        let many: Vec<String> =
            (0..500).map(|n| format!("operation=[{n}] completed=[1]")).collect();
        let many = many.join("\n");
        let mut tracker = Tracker::default();
        tracker.read(many.as_bytes(), false);
        assert_eq!(tracker.operations.len(), OPERATIONS);
        assert_eq!(tracker.printed().and_then(|found| found.fraction), None);
        let increments = "operation=[x] completed=[+9e15]\n".repeat(1_000);
        assert!(printed(increments).expect("progress").completed.expect("counted").is_finite());
    }

    #[test]
    fn any_bytes_are_read_without_a_word() {
        let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
        let parts: [&[u8]; 14] = [
            b"\x1b]9;4;",
            b"1;5",
            b"\x07",
            b"\x1b",
            b"\\",
            b"=[",
            b"]",
            b"completed",
            b"{\"total\":",
            b"}",
            b"\n",
            b"\r",
            b"\xff\x00",
            b" operation=<x> ",
        ];
        for _ in 0..2_000 {
            let mut bytes = Vec::new();
            for _ in 0..40 {
                seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                bytes.extend_from_slice(parts[usize::try_from(seed >> 33).expect("fits") % 14]);
            }
            let mut tracker = Tracker::default();
            tracker.read(&bytes, seed.is_multiple_of(2));
            let found = tracker.printed().unwrap_or_default();
            assert!(found.percent.is_none_or(|percent| (0.0..=100.0).contains(&percent)));
            assert!(found.fraction.is_none_or(|share| (0.0..=1.0).contains(&share)));
        }
    }
}
