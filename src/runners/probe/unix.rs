//! Connections over Unix sockets.

use std::io;
use std::path::Path;
use std::time::Duration;

use tokio::net::UnixStream;

use super::text;
use crate::model::ByteString;
use crate::runners::linux::sockets::Reachable;

/// Is right once a connection stands.
pub(super) async fn ask(path: &ByteString, timeout: Duration) -> Result<(), String> {
    let place = path.to_text();
    match tokio::time::timeout(timeout, connect(Path::new(path.as_os_str()))).await {
        Ok(Ok(_stream)) => Ok(()),
        Ok(Err(error)) => Err(format!("cannot connect to {place}: {}", text::reason(&error))),
        Err(_) => Err(text::late(&format!("connection to {place}"), timeout)),
    }
}

/// A listener whose queue is full says EAGAIN at once (unix(7)): it lives, but takes nobody.
async fn connect(path: &Path) -> io::Result<UnixStream> {
    let reachable = Reachable::new(path)?;
    UnixStream::connect(reachable.path()).await
}
