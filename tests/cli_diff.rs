//! `jr diff`: what two runs differ in, as its words and as its exit code.

#[path = "support/home.rs"]
mod home;

use home::{Home, code, text};

/// Two runs of one command; gives their ids.
fn twice(home: &Home, first: &[&str], second: &[&str]) -> [String; 2] {
    [first, second].map(|words| {
        home.jr(&[&["run"], words].concat());
        home.show("last")["run_id"].as_str().expect("an id").to_owned()
    })
}

fn fields(home: &Home, ids: &[String; 2]) -> Vec<String> {
    let document = home.json(&["diff", &ids[0], &ids[1]]);
    assert_eq!(document["schema"], "jr.diff/1");
    let items = document["items"].as_array().expect("items");
    items.iter().map(|item| item["field"].as_str().expect("text").to_owned()).collect()
}

#[test]
fn equal_runs_are_the_same_whenever_and_however_long_they_ran() {
    let home = Home::new();
    let words = ["sh", "-c", "echo one; sleep 0.0$(od -An -N1 -tu1 /dev/urandom | tr -d ' ')"];
    let ids = twice(&home, &words, &words);
    home.without_daemon();
    let output = home.jr(&["diff", &ids[0], &ids[1]]);
    assert_eq!((code(&output), text(&output.stderr)), (0, "they are the same".to_owned()));
    assert!(text(&output.stdout).starts_with(&format!("--- {}", ids[0])), "{output:?}");
    assert_eq!(home.json(&["diff", &ids[0], &ids[1]])["same"], true);
    assert_eq!(home.daemons(), Vec::<i32>::new(), "reading starts no daemon");
    assert_eq!(code(&home.jr(&["diff", &ids[0], "nope"])), 3);
}

#[test]
fn each_thing_that_differs_is_named() {
    let home = Home::new();
    let script = "echo $X";
    let first = ["--set", "X=1", "--label", "team=a", "--", "sh", "-c", script];
    let second =
        ["--set", "X=2", "--label", "team=b", "--cwd", "/tmp", "--", "sh", "-c", "echo $X; exit 3"];
    let ids = twice(&home, &first, &second);
    let expected =
        ["command", "cwd", "variables.X", "labels.team", "outcome", "exit_code", "reason"];
    let mut found = fields(&home, &ids);
    found.retain(|field| field != "reason");
    assert_eq!(found, expected[..6]);
    let output = home.jr(&["diff", &ids[0], &ids[1]]);
    assert_eq!(code(&output), 1);
    let text = text(&output.stdout);
    for part in [
        "command\n- sh -c 'echo $X'\n+ sh -c 'echo $X; exit 3'\n",
        "variables.X\n- 1\n+ 2\n",
        "outcome\n- succeeded\n+ failed\n",
        "stdout, line 1\n- 1\n+ 2",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(code(&home.jr(&["diff", "-q", &ids[0], &ids[1]])), 1);
    let hidden = twice(&home, &["--set", "A_TOKEN=x", "true"], &["--set", "A_TOKEN=y", "true"]);
    assert_eq!(fields(&home, &hidden), Vec::<String>::new(), "what is hidden is not told apart");
}

#[test]
fn two_batches_differ_in_what_became_of_their_lines() {
    let home = Home::new();
    let batch = |lines: &str| {
        let output = home.jr_with_input(&["--json", "batch"], lines.as_bytes());
        home::document(&output)["run_id"].as_str().expect("an id").to_owned()
    };
    let script = "test -e $JR_HOME/mark";
    let lines = format!("true\ntrue\n{script}\n");
    let first = batch(&format!("{lines}false\n"));
    std::fs::write(home.path().join("mark"), "").expect("a file");
    let ids = [first, batch(&lines)];
    let line = format!("lines.sh -c '{script}'");
    assert_eq!(fields(&home, &ids), ["outcome", "reason", "lines.false", &line]);
    let again = [ids[1].clone(), batch(&lines)];
    assert_eq!(fields(&home, &again), Vec::<String>::new());
}

#[test]
fn output_is_compared_line_by_line_to_the_byte() {
    let home = Home::new();
    let run = |script: &str| ["sh".to_owned(), "-c".to_owned(), script.to_owned()];
    let (one, other) =
        (run("seq 1 9; printf '\\377'"), run("seq 1 4; echo x; seq 6 9; printf '\\376'"));
    let words = |run: &[String; 3]| run.clone();
    let (one, other) = (words(&one), words(&other));
    let ids =
        twice(&home, &one.each_ref().map(String::as_str), &other.each_ref().map(String::as_str));
    let document = home.json(&["diff", &ids[0], &ids[1]]);
    assert_eq!((&document["stdout"]["line"], &document["stdout"]["a"]), (&5.into(), &"5".into()));
    assert!(document["stderr"].is_null() && document["unified"].is_null());
    let output = home.jr(&["diff", &ids[0], &ids[1], "--output"]);
    let expected = "@@ -2,9 +2,9 @@\n 2\n 3\n 4\n-5\n+x\n 6\n 7\n 8\n 9\n-\u{ff}\n";
    let found: String = output.stdout.iter().map(|byte| char::from(*byte)).collect();
    assert!(found.contains(expected), "{found}");
    let unified = home.json(&["diff", &ids[0], &ids[1], "--output"]);
    assert_eq!(unified["unified"]["stdout"][4], "-5");
}
