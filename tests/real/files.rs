//! Files of other systems, as they stand.

use std::io::Read as _;
use std::net::{TcpListener, TcpStream};

use crate::home::{code, skipped, text, until};
use crate::project::{Project, is_asked_for};

/// What `python3 -m http.server` takes where nobody tells it, and the files ask for.
const PORT: u16 = 8000;

fn page() -> Result<String, String> {
    use std::io::Write as _;
    let tell = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect(("127.0.0.1", PORT)).map_err(tell)?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").map_err(tell)?;
    let mut told = String::new();
    stream.read_to_string(&mut told).map_err(tell)?;
    if told.contains(" 200 OK") { Ok(told) } else { Err(told) }
}

#[test]
fn the_files_of_canopus_bring_its_services_up_and_take_them_away() {
    if !is_asked_for() {
        return;
    }
    if TcpListener::bind(("0.0.0.0", PORT)).is_err() {
        skipped("somebody has port 8000");
        return;
    }
    let project = Project::new();
    project.write("services.toml", include_str!("../config/canopus-services.toml"));
    project.write("runtime.toml", include_str!("../config/canopus-runtime.toml"));
    let both = ["--config", "services.toml", "--runtime-config", "runtime.toml"];
    project.ok(&[&["up", "--wait"], &both[..]].concat());
    let web = project.service("web");
    assert_eq!((&web["state"], &web["hostname"]), (&"ready".into(), &"web.local".into()));
    assert_eq!(web["ports"]["main"], PORT);
    until("its page", page);

    // One that nobody declares is told, and the others get what is listed.
    let listed = "[web]\nhostname = \"other.local\"\nport = 8000\n\n[ghost]\nport = 8123\n";
    project.write("runtime.toml", listed);
    let started = project.jr(&["start", "--config", "runtime.toml"]);
    assert_eq!(code(&started), 0, "{started:?}");
    let told = text(&started.stderr);
    assert!(told.contains("ghost") && told.contains("not declared"), "{told}");
    assert_eq!(project.service("web")["pid"], web["pid"], "what runs stays as it is");

    // One that is not listed any more goes, but not unasked.
    project.write("runtime.toml", "[ghost]\nport = 8123\n");
    let refused = project.jr(&["start", "--config", "runtime.toml"]);
    assert_eq!(code(&refused), 2, "{refused:?}");
    let told = text(&refused.stderr);
    assert!(told.contains("web") && told.contains("--yes"), "{told}");
    assert_eq!(project.service("web")["pid"], web["pid"], "nothing was done");
    let agreed = project.jr(&["start", "--config", "runtime.toml", "--yes"]);
    assert_eq!(code(&agreed), 0, "{agreed:?}");
    until("it to be gone", || {
        let left = project.carriers();
        if left.is_empty() && !project.services().contains_key("web") {
            Ok(())
        } else {
            Err(format!("{left:?} {:?}", project.services()))
        }
    });
    project.check_log();
}
