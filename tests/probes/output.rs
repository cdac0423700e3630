//! Lines of output: whole, only new ones, whatever becomes of the file.

use std::os::unix::fs::FileExt as _;

use jr::model::service::probe::ProbeWay;
use jr::runners::probe::Question;

use crate::fixture::{DEADLINE, World, run};

fn question(pattern: &str) -> Question {
    Question::new(&ProbeWay::Output { pattern: pattern.to_owned() })
}

fn asked(world: &World, question: &mut Question) -> bool {
    let answer = run(question.ask(&world.target(), DEADLINE));
    if let Err(text) = &answer {
        assert!(text.starts_with("no line of its output matches /"), "{text}");
    }
    answer.is_ok()
}

#[test]
fn a_line_counts_when_it_is_whole_and_ever_after() {
    let world = World::new();
    let (mut out, mut err) = (question("^listening on [0-9]+$"), question("ready"));
    assert!(!asked(&world, &mut out));
    world.write("output.out", b"starting\nlistening on 80");
    assert!(!asked(&world, &mut out));
    world.write("output.out", b"80\r\n");
    assert!(asked(&world, &mut out));
    assert!(!asked(&world, &mut err));
    world.write("output.err", b"\x00\xffready\xfe\n");
    assert!(asked(&world, &mut err));
    std::fs::remove_file(world.dir.path().join("output.out")).expect("removed");
    assert!(asked(&world, &mut out));
}

#[test]
fn a_match_on_the_edge_of_what_is_read_at_once_is_found() {
    const EDGE: usize = 64 << 10;
    for start in [EDGE - 600, EDGE - 3, EDGE, 2 * EDGE - 1, 3 * EDGE - 500] {
        for filler in [b'x', b'\n'] {
            let world = World::new();
            let mut text = vec![filler; start];
            text.extend_from_slice(b"needle in it");
            text.extend(vec![filler; 5]);
            text.push(b'\n');
            world.write("output.out", &text);
            assert!(asked(&world, &mut question("needle in it")), "{start} {filler}");
            assert!(!asked(&world, &mut question("needle  in it")), "{start} {filler}");
        }
    }
}

#[test]
fn a_line_without_an_end_is_matched_in_pieces() {
    let world = World::new();
    let mut question = question("at last");
    for _ in 0..40 {
        world.write("output.out", &vec![b'x'; 20_000]);
        assert!(!asked(&world, &mut question));
    }
    world.write("output.out", b"at last");
    // Of what is less than a piece the end is awaited.
    assert!(!asked(&world, &mut question));
    world.write("output.out", &vec![b'x'; 64 << 10]);
    assert!(asked(&world, &mut question));
}

#[test]
fn a_file_that_was_cut_or_replaced_is_read_anew() {
    let world = World::new();
    let path = world.dir.path().join("output.out");
    let mut cut = question("again");
    world.write("output.out", &b"first\n".repeat(100));
    assert!(!asked(&world, &mut cut));
    std::fs::File::options().write(true).open(&path).expect("opens").set_len(0).expect("cut");
    world.write("output.out", b"again\n");
    assert!(asked(&world, &mut cut));
    let mut replaced = question("other");
    assert!(!asked(&world, &mut replaced));
    let beside = world.dir.path().join("beside");
    std::fs::write(&beside, b"other\nand much more than there was\n").expect("written");
    std::fs::rename(beside, path).expect("renamed");
    assert!(asked(&world, &mut replaced));
}

#[test]
fn a_hole_of_what_was_pruned_is_leapt_over() {
    let world = World::new();
    let path = world.dir.path().join("output.out");
    let file = std::fs::File::create(path).expect("made");
    file.set_len(1 << 40).expect("a hole");
    let mut question = question("ready");
    assert!(!asked(&world, &mut question));
    file.write_all_at(b"late\nready\n", 1 << 40).expect("written");
    assert!(asked(&world, &mut question));
}

#[test]
fn what_is_no_pattern_or_no_file_is_told() {
    let world = World::new();
    let answer = |question: &mut Question| run(question.ask(&world.target(), DEADLINE));
    let text = answer(&mut question("(unclosed")).expect_err("no pattern");
    assert!(text.starts_with("/(unclosed/ is no regular expression: "), "{text}");
    std::fs::create_dir(world.dir.path().join("output.out")).expect("made");
    let text = answer(&mut question("x")).expect_err("a directory");
    assert!(text.starts_with("its output cannot be read: "), "{text}");
}
