//! Questions to services: real sockets, real commands, real output, and who is not believed.
#[path = "probes/exec.rs"]
mod exec;
#[path = "probes/fixture.rs"]
mod fixture;
#[path = "probes/http.rs"]
mod http;
#[path = "probes/notify.rs"]
mod notify;
#[path = "probes/output.rs"]
mod output;
#[path = "probes/sockets.rs"]
mod sockets;
#[path = "probes/watch.rs"]
mod watch;
