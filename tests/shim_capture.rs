//! Output through pipes: in the order of the writes, complete, bounded, and never in the way of
//! what writes it.
#[path = "support/shim.rs"]
mod support;

use std::os::unix::fs::MetadataExt;

use jr::model::event::OutputLossReason;
use jr::model::{AttemptEnd, Capture, ExitStatus, Signal};
use jr::runners::capture::StreamName;
use jr::runners::capture::reader::Output;
use jr::runners::protocol::{AttemptId, FromShim, Start};
use rustix::process::{Pid, Resource, Rlimit};
use support::{Shim, bytes, exited, is_alive, pid_in, with_both};

fn piped(shim: &mut Shim, script: &str) -> Start {
    let mut start = shim.shell(script);
    start.capture = Capture::Pipe;
    start
}

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

/// Both streams, in the order of the index.
fn in_order(shim: &Shim, id: AttemptId) -> String {
    let mut output = Output::open(&shim.base(id), u64::MAX).expect("opens");
    let pieces = output.pieces().expect("reads");
    let parts = pieces.iter().map(|piece| output.bytes(piece).expect("reads"));
    String::from_utf8(parts.flatten().collect()).expect("text")
}

#[test]
fn both_streams_keep_the_order_in_which_they_were_written() {
    with_both(|shim| {
        // No more than there is room for, so that the order is known however late the shim looks.
        let script = "i=0; while [ $i -lt 80 ]; do echo o$i; echo e$i >&2; echo p$i; echo q$i; \
                      i=$((i+1)); done";
        let line = |i: u32| format!("o{i}\ne{i}\np{i}\nq{i}\n");
        let expected: String = (0..80).map(line).collect();
        for _ in 0..20 {
            let start = piped(shim, script);
            let end = shim.run(&start);
            assert_eq!(end.status, exited(0));
            assert_eq!(in_order(shim, start.id), expected);
            let output = end.output.expect("it ran");
            assert_eq!(output.stdout_bytes + output.stderr_bytes, expected.len() as u64);
        }
    });
}

#[test]
fn a_process_far_ahead_of_the_shim_loses_no_byte_and_no_stream_loses_its_order() {
    with_both(|shim| {
        let script = "i=0; while [ $i -lt 3000 ]; do echo o$i; echo e$i >&2; i=$((i+1)); done";
        let start = piped(shim, script);
        assert_eq!(shim.run(&start).status, exited(0));
        let text = in_order(shim, start.id);
        for stream in ["o", "e"] {
            let found: Vec<&str> = text.lines().filter(|line| line.starts_with(stream)).collect();
            let expected: Vec<String> = (0..3000).map(|i| format!("{stream}{i}")).collect();
            assert_eq!(found, expected);
        }
    });
}

#[test]
fn writes_longer_than_a_page_are_not_cut_by_the_other_stream() {
    let mut shim = Shim::new();
    let script = "i=0; while [ $i -lt 50 ]; do head -c 10000 /dev/zero | tr '\\0' x > $TMP; \
                  cat $TMP; echo; echo e$i >&2; i=$((i+1)); done";
    let temporary = shim.home.path().join("x");
    let start = piped(&mut shim, &script.replace("$TMP", temporary.to_str().expect("text")));
    let end = shim.run(&start);
    assert_eq!(end.status, exited(0));
    let line = |i: u32| format!("{}\ne{i}\n", "x".repeat(10_000));
    assert!(in_order(&shim, start.id) == (0..50).map(line).collect::<String>());
}

#[test]
fn streams_that_are_opened_again_lose_nothing() {
    let mut shim = Shim::new();
    let start = piped(
        &mut shim,
        "for i in 1 2 3 4 5; do echo o$i > /dev/stdout; echo t$i | tee /dev/stderr; done; echo end",
    );
    let end = shim.run(&start);
    assert_eq!(end.status, exited(0));
    let mut lines: Vec<String> = in_order(&shim, start.id).lines().map(str::to_owned).collect();
    lines.sort();
    let mut expected: Vec<String> =
        (1..=5).flat_map(|i| [format!("o{i}"), format!("t{i}"), format!("t{i}")]).collect();
    expected.push("end".to_owned());
    expected.sort();
    assert_eq!(lines, expected);
}

#[test]
fn a_long_line_of_zero_bytes_is_complete() {
    let mut shim = Shim::new();
    for script in ["head -c 67108864 /dev/zero", "dd if=/dev/zero bs=64M count=1 status=none"] {
        let start = piped(&mut shim, script);
        let end = shim.run(&start);
        assert_eq!((end.status, stdout_bytes(&end)), (exited(0), 64 << 20));
        assert_eq!(missing(&shim, start.id), []);
        let output = Output::open(&shim.base(start.id), start.output_bytes_max).expect("opens");
        assert_eq!(output.kept(StreamName::Stdout), 0..64 << 20);
    }
}

#[test]
fn a_flood_is_bounded_on_disk_and_can_be_stopped() {
    let mut shim = Shim::new();
    let mut start = piped(&mut shim, "head -c 300000000 /dev/zero | tr '\\0' x; echo; echo last");
    start.output_bytes_max = 1 << 20;
    let end = shim.run(&start);
    assert_eq!((end.status, stdout_bytes(&end)), (exited(0), 300_000_006));
    let path = format!("{}.out", shim.base(start.id).display());
    let disk = std::fs::metadata(&path).expect("there").blocks() * 512;
    assert!(disk <= (1 << 20) + (64 << 10), "{disk} bytes on disk");
    let losses = missing(&shim, start.id);
    assert_eq!(losses.last().expect("told").0, OutputLossReason::OverLimit);
    assert!(std::fs::read(&path).expect("there").ends_with(b"x\nlast\n"));
    let mut endless = piped(&mut shim, "yes & yes >&2");
    endless.output_bytes_max = 1 << 20;
    let id = shim.start(&endless);
    shim.wait_started(id);
    shim.stop(id, 10_000);
    assert_eq!(shim.wait_ended(id).status, ExitStatus::Signalled(Signal::TERM));
}

#[test]
fn who_keeps_the_pipe_open_does_not_keep_the_attempt() {
    with_both(|shim| {
        let path = shim.home.path().join(format!("stray{}", shim.said.len()));
        let script = format!(
            "(setsid sh -c 'echo $$ > {0}; exec sleep 600' &) ; while ! [ -s {0} ]; do sleep 0.01; \
             done; echo done",
            path.display()
        );
        let start = piped(shim, &script);
        let end = shim.run(&start);
        assert_eq!((end.status, stdout_bytes(&end)), (exited(0), 5));
        assert!(end.strays >= 1 && !is_alive(pid_in(&path)));
        assert_eq!(shim.stdout(start.id), "done\n");
        // The numbers of its pipes serve again.
        let next = piped(shim, "echo a; echo b >&2; echo c");
        assert_eq!(shim.run(&next).status, exited(0));
        assert_eq!(in_order(shim, next.id), "a\nb\nc\n");
    });
}

#[test]
fn a_full_disk_costs_output_and_nothing_else() {
    let mut shim = Shim::new();
    let go = shim.home.path().join("go");
    let script = format!(
        "while ! [ -e {} ]; do sleep 0.01; done; head -c 1000000 /dev/zero; echo x >&2; exit 3",
        go.display()
    );
    let start = piped(&mut shim, &script);
    let id = shim.start(&start);
    shim.wait_started(id);
    // No file of the shim grows any more beyond that, which is how a full disk looks to it.
    let room = 256 << 10;
    let pid = i32::try_from(shim.pid()).ok().and_then(Pid::from_raw);
    let limit = Rlimit { current: Some(room), maximum: None };
    rustix::process::prlimit(pid, Resource::Fsize, limit).expect("our own child");
    std::fs::write(&go, "").expect("writes");
    let end = shim.wait_ended(id);
    assert_eq!((end.status, stdout_bytes(&end)), (exited(3), 1_000_000));
    let losses = missing(&shim, id);
    assert_eq!(losses.last(), Some(&(OutputLossReason::NoSpace, Some(1_000_000 - room))));
    assert!(losses.len() <= 2, "{losses:?}");
    let kept = std::fs::metadata(format!("{}.out", shim.base(id).display())).expect("there").len();
    assert_eq!(kept, room);
    assert_eq!(std::fs::read(format!("{}.err", shim.base(id).display())).expect("there"), b"x\n");
}

#[test]
fn nothing_printed_leaves_no_index_and_a_missing_program_no_pipe() {
    let mut shim = Shim::new();
    let start = piped(&mut shim, "exit 0");
    assert_eq!(stdout_bytes(&shim.run(&start)), 0);
    assert!(!std::path::Path::new(&format!("{}.idx", shim.base(start.id).display())).exists());
    let fds = |shim: &mut Shim| {
        std::fs::read_dir(format!("/proc/{}/fd", shim.pid())).map(Iterator::count).ok()
    };
    shim.query();
    let before = fds(&mut shim);
    for _ in 0..10 {
        let mut start = piped(&mut shim, "");
        start.command = vec![bytes("/no/such/program")];
        assert!(matches!(shim.run(&start).status, ExitStatus::NotStarted(_)));
    }
    shim.query();
    assert_eq!(fds(&mut shim), before);
}

#[test]
fn a_flood_on_one_stream_does_not_hold_up_the_other() {
    let mut shim = Shim::new();
    let script = "yes & i=0; while [ $i -lt 2000 ]; do echo e$i >&2; i=$((i+1)); done; kill $!";
    let mut start = piped(&mut shim, script);
    start.output_bytes_max = 1 << 20;
    let end = shim.run(&start);
    assert_eq!(end.status, exited(0));
    let text = std::fs::read_to_string(format!("{}.err", shim.base(start.id).display()));
    let lines: Vec<String> = (0..2000).map(|i| format!("e{i}")).collect();
    assert_eq!(text.expect("there").lines().collect::<Vec<_>>(), lines);
}
