//! A target, a runtime of one thread, and servers that do what a test wants.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use jr::model::ByteString;
use jr::model::service::probe::{HttpProbe, ProbePort, ProbeWay};
use jr::runners::linux::{clock, procfs};
use jr::runners::probe::{self, Target};

/// No wait of a test lasts longer; reaching it is a failure.
pub(crate) const DEADLINE: Duration = Duration::from_mins(1);
/// For questions that nobody answers.
pub(crate) const SHORT: Duration = Duration::from_millis(200);

/// A service of nothing, in a directory of its own.
pub(crate) struct World {
    pub(crate) dir: tempfile::TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().expect("a directory") }
    }

    pub(crate) fn target(&self) -> Target {
        let path = ("PATH", "/usr/local/bin:/usr/bin:/bin");
        Target {
            ports: BTreeMap::new(),
            directory: self.dir.path().as_os_str().to_owned().into(),
            variables: vec![(path.0.into(), path.1.into())],
            output: self.dir.path().join("output"),
            notify: None,
            owns: Arc::new(|_| true),
        }
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.dir.path().join(name);
        let mut file =
            std::fs::File::options().append(true).create(true).open(path).expect("opens");
        file.write_all(bytes).expect("written");
    }

    /// The number that a process has written into a file.
    pub(crate) fn pid(&self, name: &str) -> u32 {
        until(name, || {
            std::fs::read_to_string(self.dir.path().join(name))
                .ok()?
                .strip_suffix('\n')?
                .parse()
                .ok()
        })
    }
}

/// Runs on one thread, as in the daemon.
pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let limited = async { tokio::time::timeout(DEADLINE, future).await.expect("in time") };
    runtime.expect("a runtime").block_on(limited)
}

/// Asks a target of nothing but a directory.
pub(crate) fn ask(way: &ProbeWay, timeout: Duration) -> Result<(), String> {
    run(probe::ask(way, &World::new().target(), timeout))
}

/// Polls until there is something.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = clock::boottime_ms() + 60_000;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(clock::boottime_ms() < end, "{what} never came");
        std::thread::yield_now();
    }
}

/// Waits until a process is gone, reaped too.
pub(crate) fn until_gone(pid: u32) {
    until(&format!("the end of {pid}"), || {
        let stat = procfs::stat(pid).expect("readable");
        // A stray that init has yet to reap is as dead as can be.
        stat.is_none_or(|stat| stat.is_zombie() && stat.parent != std::process::id()).then_some(())
    });
}

/// A server for each connection; gives its port, and what clients have sent.
pub(crate) struct Server {
    pub(crate) port: u16,
    pub(crate) heard: Arc<Mutex<Vec<String>>>,
    _stop: mpsc::Sender<()>,
}

impl Server {
    /// What the client says first is read, then this is answered, then the connection ends.
    pub(crate) fn answering(answer: &'static [u8]) -> Self {
        Self::on("127.0.0.1:0", move |stream, _stop| {
            let heard = read_request(stream);
            // A client that has seen enough goes.
            stream.write_all(answer).ok();
            heard
        })
        .expect("binds")
    }

    /// Takes connections and says nothing.
    pub(crate) fn silent() -> Self {
        Self::on("127.0.0.1:0", |stream, stop| {
            let heard = read_request(stream);
            // Until the test is over.
            stop.recv().ok();
            heard
        })
        .expect("binds")
    }

    /// `None` where the machine has no such address.
    pub(crate) fn on(
        address: &str,
        serve: impl Fn(&mut TcpStream, &mpsc::Receiver<()>) -> String + Send + 'static,
    ) -> Option<Self> {
        let address: SocketAddr = address.parse().expect("an address");
        let listener = TcpListener::bind(address).ok()?;
        let port = listener.local_addr().expect("bound").port();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (stop, stopped) = mpsc::channel();
        let all = Arc::clone(&heard);
        std::thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let said = serve(&mut stream, &stopped);
                all.lock().expect("not poisoned").push(said);
            }
        });
        Some(Self { port, heard, _stop: stop })
    }
}

/// The head of a request, or what there is of it.
pub(crate) fn read_request(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let mut byte = [0; 1];
    while !text.ends_with(b"\r\n\r\n") && matches!(stream.read(&mut byte), Ok(1)) {
        text.push(byte[0]);
    }
    String::from_utf8_lossy(&text).into_owned()
}

pub(crate) fn get(port: u16) -> HttpProbe {
    HttpProbe {
        host: "127.0.0.1".to_owned(),
        port: ProbePort::Number(port),
        path: "/health?deep=1".to_owned(),
        statuses: Vec::new(),
        body: None,
        headers: Vec::new(),
    }
}

pub(crate) fn words(command: &[&str]) -> Vec<ByteString> {
    command.iter().map(|word| ByteString::from(*word)).collect()
}

pub(crate) fn shell(script: &str) -> ProbeWay {
    ProbeWay::Exec { command: words(&["sh", "-c", script]) }
}
