//! Output: complete, bounded, in order, and never in the way of what writes it.
#[path = "support/shim.rs"]
mod support;

use std::os::unix::fs::MetadataExt;

use jr::model::AttemptEnd;
use jr::model::event::OutputLossReason;
use jr::runners::capture::StreamName;
use jr::runners::capture::reader::Output;
use jr::runners::protocol::{AttemptId, FromShim};
use support::{Shim, exited, until};

fn missing(shim: &Shim, id: AttemptId) -> Vec<(OutputLossReason, Option<u64>)> {
    let of = |message: &FromShim| match message {
        FromShim::OutputMissing(of, bytes, reason) if *of == id => Some((*reason, *bytes)),
        _ => None,
    };
    shim.said.iter().filter_map(of).collect()
}

fn stdout_bytes(end: &AttemptEnd) -> u64 {
    end.output.expect("it ran").stdout_bytes
}

#[test]
fn a_flood_is_bounded_on_disk_and_its_newest_bytes_are_kept() {
    let mut shim = Shim::new();
    let mut start = shim.shell("head -c 300000000 /dev/zero | tr '\\0' x; echo; echo last");
    start.output_bytes_max = 1 << 20;
    let end = shim.run(&start);
    assert_eq!((end.status, stdout_bytes(&end)), (exited(0), 300_000_006));
    let path = format!("{}.out", shim.base(start.id).display());
    let disk = std::fs::metadata(&path).expect("there").blocks() * 512;
    assert!(disk <= (1 << 20) + (64 << 10), "{disk} bytes on disk");
    let losses = missing(&shim, start.id);
    let total = losses.last().expect("told");
    assert_eq!(total.0, OutputLossReason::OverLimit);
    assert!(losses.len() <= 2 && total.1.expect("counted") > 298_000_000, "{losses:?}");
    let mut output = Output::open(&shim.base(start.id), start.output_bytes_max).expect("opens");
    let kept = output.kept(StreamName::Stdout);
    assert_eq!((kept.start, kept.end), (total.1.expect("counted"), 300_000_006));
    let pieces = output.pieces().expect("reads");
    assert!(pieces[0].is_pruned && !pieces[pieces.len() - 1].is_pruned);
    let text: Vec<u8> =
        pieces.iter().flat_map(|piece| output.bytes(piece).expect("reads")).collect();
    assert_eq!(text.len() as u64, kept.end - kept.start);
    assert!(text.ends_with(b"x\nlast\n") && text.starts_with(b"xxxx"));
    let digest = end.output.expect("it ran").stdout_digest.expect("little is kept");
    assert_eq!(digest.0, *blake3::hash(&text).as_bytes());
}

#[test]
fn a_long_line_of_zero_bytes_is_complete() {
    let mut shim = Shim::new();
    let start = shim.shell("head -c 67108864 /dev/zero");
    let end = shim.run(&start);
    assert_eq!((end.status, stdout_bytes(&end)), (exited(0), 64 << 20));
    assert_eq!(missing(&shim, start.id), []);
    let output = Output::open(&shim.base(start.id), start.output_bytes_max).expect("opens");
    assert_eq!(output.kept(StreamName::Stdout), 0..64 << 20);
}

#[test]
fn both_streams_read_back_in_the_order_in_which_they_were_written() {
    let mut shim = Shim::new();
    let script = "for i in 1 2 3 4 5; do echo out$i; sleep 0.05; echo err$i >&2; sleep 0.05; done";
    let (id, end) = shim.run_shell(script);
    assert_eq!(end.status, exited(0));
    let base = shim.base(id);
    let read = |until| {
        let output = match until {
            Some(until) => Output::open_until(&base, u64::MAX, until),
            None => Output::open(&base, u64::MAX),
        };
        let mut output = output.expect("opens");
        let pieces = output.pieces().expect("reads");
        let parts = pieces.iter().map(|piece| output.bytes(piece).expect("reads"));
        let bytes: Vec<u8> = parts.flatten().collect();
        (String::from_utf8(bytes).expect("text"), pieces)
    };
    let (text, pieces) = read(None);
    let expected: Vec<String> =
        (1..=5).flat_map(|i| [format!("out{i}\n"), format!("err{i}\n")]).collect();
    assert_eq!(text, expected.concat());
    let third = pieces[2].at.expect("indexed").wall;
    let (early, _) = read(Some(third));
    assert!(expected.concat().starts_with(&early) && early.starts_with("out1\nerr1\nout2\n"));
    std::fs::remove_file(format!("{}.idx", base.display())).expect("removes");
    let (text, pieces) = read(None);
    assert_eq!((text.len(), pieces.len()), (50, 2), "without an index: stream after stream");
}

#[test]
fn files_lost_or_cut_underneath_are_told_once_and_break_nothing() {
    for (change, reason) in [
        ("rm $OUT", OutputLossReason::FileGone),
        ("mv $OUT $OUT.old", OutputLossReason::FileGone),
        ("mv $OUT $OUT.old; echo x > $OUT", OutputLossReason::FileGone),
        (": > $OUT", OutputLossReason::Truncated),
    ] {
        let mut shim = Shim::new();
        let mut start = shim.shell("");
        let path = format!("{}.out", shim.base(start.id).display());
        let index = format!("{}.idx", shim.base(start.id).display());
        let change = change.replace("$OUT", &path);
        let script = format!(
            "echo before; while ! [ -s {index} ]; do sleep 0.01; done; {change}; echo a; exit 3"
        );
        start.command[2] = support::bytes(&script);
        let end = shim.run(&start);
        assert_eq!(end.status, exited(3), "{change}");
        let losses = missing(&shim, start.id);
        assert_eq!(losses.len(), 1, "{change}: {losses:?}");
        assert_eq!(losses[0].0, reason, "{change}");
    }
}

#[test]
fn nothing_printed_leaves_no_index() {
    let mut shim = Shim::new();
    let (id, end) = shim.run_shell("exit 0");
    assert_eq!(stdout_bytes(&end), 0);
    let index = format!("{}.idx", shim.base(id).display());
    assert!(!std::path::Path::new(&index).exists());
    until("files", || {
        std::path::Path::new(&format!("{}.err", shim.base(id).display())).exists().then_some(())
    });
}
