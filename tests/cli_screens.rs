//! `docs/screens.md`: what each command prints on a terminal, taken from a real environment.
//!
//! `JR_SCREENS=write cargo test --test cli_screens` writes the page anew.

#[path = "support/home.rs"]
mod home;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use home::{Home, JR, skipped, until_so};

const PAGE: &str = "docs/screens.md";
/// Lines of one screen; what is longer is cut.
const LINES: usize = 32;
/// Columns of the terminal.
const COLUMNS: u32 = 100;

const HEAD: &str = "\
# Screens

What each command prints on a terminal of 100 columns, without colours. `tests/cli_screens.rs` makes
this page from a real environment and fails when it differs; `JR_SCREENS=write` writes it anew. Ids,
times, durations, process numbers and sizes are replaced; `…` alone in a line is what was cut.
";

/// The screens of each command, in the order in which they are taken: later ones see what earlier
/// ones did. A command without one shows its help.
const SCREENS: &[(&str, &[&str])] = &[
    ("queue", &["jr queue set gpu -j 1"]),
    (
        "run",
        &[
            "jr run -- echo hello",
            "jr run -d --name web --label team=site -- sleep 600",
            "# runs: web",
            "jr run -d --queue gpu --name train -- sleep 600",
            "# runs: train",
            "jr run -d --queue gpu --name train -- sleep 601",
            "jr run --name test -- sh -c 'echo one failed; exit 1'",
            "jr run -- no-such-program",
        ],
    ),
    ("batch", &["jr batch -j1 lines.txt"]),
    ("ps", &["jr ps -a -n 3", "jr run -d --name load -- sh load.sh", "# tells: load", "jr ps"]),
    ("queue", &["jr queue list"]),
    ("show", &["jr show test"]),
    ("why", &["jr why test"]),
    ("rerun", &["jr rerun test --wait", "jr rerun test --wait --set WORD=new"]),
    ("diff", &["jr diff @-1 last"]),
    ("repro", &["jr repro test"]),
    ("stats", &["jr stats"]),
    ("logs", &["jr logs test", "jr logs -n 1 echo test", "jr logs nothing"]),
    ("history", &["jr history --failed", "jr history --label team=site"]),
    ("events", &["jr events --run web"]),
    ("pause", &["jr pause web"]),
    ("ps", &["jr ps"]),
    ("resume", &["jr resume web", "jr resume web"]),
    ("signal", &["jr signal HUP web"]),
    ("wait", &["jr wait web", "jr wait --timeout 10ms 'tr*'"]),
    ("stop", &["jr stop all", "jr stop all"]),
    ("log", &["jr log verify", "jr log stat"]),
    ("daemon", &["jr daemon status", "jr daemon stop", "jr daemon status"]),
    ("completions", &["jr completions bash"]),
    ("man", &["jr man wait"]),
    ("help", &["jr help signal"]),
];

/// A home and a directory to work in.
struct Desk {
    home: Home,
    place: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let place = tempfile::tempdir().expect("a directory");
        std::fs::write(place.path().join("lines.txt"), "true\nfalse\necho a b\n").expect("written");
        let load = "echo 'completed=[3] total=[10] operation=[load]'\nexec sleep 600\n";
        std::fs::write(place.path().join("load.sh"), load).expect("written");
        Self { home: Home::new(), place }
    }

    /// What one line prints on a terminal, and how it ends where that is not 0.
    fn take(&self, line: &str) -> String {
        let rest = line.strip_prefix("jr ").expect("a line of jr");
        let script = format!("stty cols {COLUMNS} rows 50; exec '{JR}' --color never {rest}");
        let mut command = Command::new("script");
        command.args(["-qec", &script, "/dev/null"]).stdin(Stdio::null()).env_clear();
        command.env("PATH", "/usr/bin:/bin").env("HOME", self.place.path()).env("TZ", "UTC");
        command.env("JR_HOME", self.home.path()).env("SHELL", "/bin/sh").env("TERM", "xterm");
        let output = command.current_dir(self.place.path()).output().expect("script(1) starts");
        let mut screen = String::new();
        // What script(1) types at the end of its own input, and the terminal echoes, is not jr's.
        for line in String::from_utf8_lossy(&output.stdout).replace("^@", "").lines() {
            // What a bar that replaces itself has left in the end.
            screen.push_str(line.rsplit("\u{1b}[K").next().unwrap_or(line).trim_end_matches('\r'));
            screen.push('\n');
        }
        let code = output.status.code().expect("an exit code");
        if code != 0 {
            write!(screen, "[exit {code}]").expect("text");
        }
        screen
    }
}

/// Ids of all runs, oldest first, so that each gets the same other one every time.
fn ids(home: &Home) -> Vec<String> {
    let mut runs = home.items(&["history"]);
    runs.sort_by_key(|run| run["first_seq"].as_u64());
    runs.iter().map(|run| run["run_id"].as_str().expect("an id").to_owned()).collect()
}

/// An id that looks like one.
fn made_up_id(number: usize) -> String {
    let mut chance = u64::try_from(number).expect("small").wrapping_add(7);
    let letters = b"abcdefghijklmnopqrstuvwxyz234567";
    let mut letter = || {
        chance =
            chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(letters[usize::try_from(chance >> 59).expect("5 bits")])
    };
    (0..12).map(|_| letter()).collect()
}

/// Puts fixed values in the places of those that differ each time.
fn settle(screen: &str) -> String {
    let mut out = Vec::new();
    let mut columns: Vec<&str> = Vec::new();
    let mut table: Vec<Vec<String>> = Vec::new();
    let mut seq = 10;
    for line in screen.lines().chain([""]) {
        let cells: Vec<&str> = line.split("  ").map(str::trim).filter(|c| !c.is_empty()).collect();
        if is_header(&cells) {
            columns.clone_from(&cells);
            table = vec![cells.iter().map(ToString::to_string).collect()];
        } else if !columns.is_empty() && cells.len() == columns.len() {
            let settled = columns.iter().zip(&cells).map(|(column, cell)| settled(column, cell));
            table.push(settled.collect());
        } else {
            out.extend(laid_out(&std::mem::take(&mut table)));
            columns.clear();
            out.push(settle_line(line, &mut seq));
        }
    }
    let mut text = out.join("\n");
    text.truncate(text.trim_end().len());
    text
}

fn is_header(cells: &[&str]) -> bool {
    cells.len() > 1
        && cells
            .iter()
            .all(|cell| cell.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit()))
}

fn settled(column: &str, cell: &str) -> String {
    let fixed = match column {
        _ if cell == "-" => cell,
        "AGE" | "DURATION" | "P50" | "P95" | "MAX" => "12ms",
        "STARTED" | "ENDED" => "10:00:00",
        "PROGRESS" => return with_word(cell, "~", "9s"),
        "DURATIONS" => return "#".repeat(cell.chars().count()),
        "PID" => "4711",
        "RECORDS" => "10",
        "BYTES" => "1000",
        _ => cell,
    };
    fixed.to_owned()
}

fn laid_out(table: &[Vec<String>]) -> Vec<String> {
    let width = |column: usize| {
        table.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()
    };
    let line = |row: &Vec<String>| {
        let cells = row.iter().enumerate().map(|(n, cell)| format!("{cell:<0$}", width(n)));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    table.iter().map(line).collect()
}

/// A line that is no row of a table.
fn settle_line(line: &str, seq: &mut u32) -> String {
    let mut line = fixed_times(&fixed_hashes(line));
    let trimmed = line.trim_start();
    let words: Vec<&str> = trimmed.split_whitespace().collect();
    let is_event = words.first().is_some_and(|word| word.parse::<u64>().is_ok())
        && words.get(1).is_some_and(|word| word.matches('-').count() == 2);
    if is_event {
        *seq += 1;
        let rest: Vec<&str> = trimmed.split("  ").skip(1).collect();
        line = format!("{seq:>6}  {}", rest.join("  "));
        // How much fits depends on how long the numbers are.
        if line.ends_with('…') {
            let shown = line.split("  ").take_while(|part| !part.contains('=')).collect::<Vec<_>>();
            line = format!("{}  …", shown.join("  ").trim_end_matches('…').trim_end());
        }
    }
    for (before, value) in [
        (" pid=", "4711"),
        (" shim=", "4710"),
        (" start_ticks=", "1234567"),
        (" duration_ms=", "12"),
        (" max_rss_bytes=", "4000000"),
        (" user_ms=", "1"),
        (" system_ms=", "1"),
        ("  pid       ", "4711"),
        ("  memory    ", "4000"),
        // With or without what script(1) types and the terminal echoes.
        ("  output    ", "12"),
        (" stdout_bytes=", "12"),
        ("  cpu       ", "1"),
        (" ms user, ", "1"),
        (", pid ", "4711"),
        ("  uid ", "1000"),
        (" [event ", "20"),
        (", log at ", "60"),
        ("records 1 to ", "60"),
        ("ok: ", "60"),
        (" of them pruned, up to ", "60"),
        (" segments of ", "600000"),
    ] {
        line = with_number(&line, before, value);
    }
    for (before, value) in [
        ("duration    ", "12ms"),
        ("  duration  ", "12ms"),
        (" failed in ", "12ms"),
        (", up ", "12s"),
    ] {
        line = with_word(&line, before, value);
    }
    if line.ends_with("bytes") && line.contains(" bytes of records ") {
        line = format!("8000{}", line.trim_start_matches(|c: char| c.is_ascii_digit()));
    }
    if let Some((head, rest)) = line.split_once("[events ")
        && let Some((_, tail)) = rest.split_once(']')
    {
        line = format!("{head}[events 20, 21]{tail}");
    }
    if line.starts_with("duration  ") && line.contains(" -> ") {
        "duration  12ms -> 12ms (+0.0%)".clone_into(&mut line);
    }
    line.replace("subreaper", "cgroup").trim_end().to_owned()
}

/// The number behind `before` becomes `value`.
fn with_number(line: &str, before: &str, value: &str) -> String {
    let Some((head, tail)) = line.split_once(before) else { return line.to_owned() };
    let rest = tail.trim_start_matches(|c: char| c.is_ascii_digit());
    if rest.len() == tail.len() { line.to_owned() } else { format!("{head}{before}{value}{rest}") }
}

/// The word behind `before` becomes `value`.
fn with_word(line: &str, before: &str, value: &str) -> String {
    let Some((head, tail)) = line.split_once(before) else { return line.to_owned() };
    if !tail.starts_with(|c: char| c.is_ascii_digit()) {
        return line.to_owned();
    }
    let end = tail.find([' ', ',']).unwrap_or(tail.len());
    format!("{head}{before}{value}{}", &tail[end..])
}

/// What looks like a time is always the same one.
fn fixed_times(line: &str) -> String {
    let shapes = [
        ("dddd-dd-ddTdd:dd:dd.dddZ", "2026-01-15T10:00:00.000Z"),
        ("dddd-dd-dd dd:dd:dd.ddd", "2026-01-15 10:00:00.000"),
        ("dd:dd:dd", "10:00:00"),
    ];
    let chars: Vec<char> = line.chars().collect();
    let (mut out, mut at) = (String::new(), 0);
    while at < chars.len() {
        let fits = |shape: &str| {
            let there = chars.get(at..at + shape.len()).unwrap_or_default();
            !there.is_empty()
                && shape
                    .chars()
                    .zip(there)
                    .all(|(s, c)| if s == 'd' { c.is_ascii_digit() } else { s == *c })
        };
        if let Some((shape, fixed)) = shapes.iter().find(|(shape, _)| fits(shape)) {
            out.push_str(fixed);
            at += shape.len();
        } else {
            out.push(chars[at]);
            at += 1;
        }
    }
    out
}

/// 64 hexadecimal digits are always the same ones.
fn fixed_hashes(line: &str) -> String {
    let is_hash = |word: &str| word.len() == 64 && word.chars().all(|c| c.is_ascii_hexdigit());
    let fixed = "0123456789abcdef".repeat(4);
    let words = line.split(' ').map(|word| {
        let value = word.rsplit('=').next().unwrap_or(word);
        if is_hash(value) { word.replace(value, &fixed) } else { word.to_owned() }
    });
    words.collect::<Vec<_>>().join(" ")
}

fn cut(screen: &str) -> String {
    let mut lines: Vec<&str> = screen.lines().collect();
    if lines.len() > LINES {
        lines.truncate(LINES);
        lines.push("…");
    }
    lines.join("\n")
}

/// The page as jr prints it now.
fn page() -> String {
    let desk = Desk::new();
    // Its default is the number of cores, which machines differ in.
    desk.home.ok(&["queue", "set", "default", "-j", "3"]);
    let mut taken: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (command, lines) in SCREENS {
        for line in *lines {
            if let Some(name) = line.strip_prefix("# runs: ") {
                desk.home.until_state(name, "running");
                continue;
            }
            if let Some(name) = line.strip_prefix("# tells: ") {
                until_so("its progress", || desk.home.show(name)["progress"].is_object());
                continue;
            }
            let printed = settle(&desk.take(line));
            taken.entry(command).or_default().push(format!("$ {line}\n{}", cut(&printed)));
        }
    }
    let commands = desk.home.ok(&["__complete", "zsh", ""]);
    let mut out = HEAD.to_owned();
    for row in commands.lines().skip(1) {
        let (command, about) = row.split_once('\t').expect("a command and what it is");
        let blocks = taken.remove(command).unwrap_or_else(|| {
            let line = format!("jr {command} -h");
            vec![format!("$ {line}\n{}", cut(&settle(&desk.take(&line))))]
        });
        let blocks = blocks.join("\n\n");
        write!(out, "\n## {command}\n\n{about}.\n\n```text\n{blocks}\n```\n").expect("text");
    }
    assert!(taken.is_empty(), "no such commands: {:?}", taken.keys());
    for (number, id) in ids(&desk.home).iter().enumerate() {
        out = out.replace(id.as_str(), &made_up_id(number));
    }
    let place = desk.place.path().display().to_string();
    let out = out.replace(&place, "/home/ada/site").replace(env!("CARGO_PKG_VERSION"), "0.1.0");
    let lines: Vec<&str> = out.lines().map(str::trim_end).collect();
    lines.join("\n") + "\n"
}

#[test]
fn the_page_of_screens_shows_what_jr_prints() {
    if !Path::new("/usr/bin/script").exists() {
        skipped("script(1) is not installed");
        return;
    }
    let (path, found) = (Path::new(env!("CARGO_MANIFEST_DIR")).join(PAGE), page());
    if std::env::var_os("JR_SCREENS").is_some_and(|word| word == "write") {
        std::fs::write(path, found).expect("written");
        return;
    }
    let kept = std::fs::read_to_string(path).unwrap_or_default();
    let differing = kept.lines().zip(found.lines()).find(|(kept, found)| kept != found);
    assert!(
        kept == found,
        "{PAGE} differs from what jr prints, first here: {differing:?}\n\
         look at it, then: JR_SCREENS=write cargo test --test cli_screens"
    );
}
