//! A client in the foreground: hands its standard input to the shim that will start its run,
//! sends signals on, and hears the end from the shim itself.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use crate::model::spec::WindowSize;
use crate::model::{ByteString, Signal};
use crate::runners::linux::{fds, sockets};
use crate::runners::process::LinkError;
use crate::runners::protocol::{AttemptId, FromShim, ToShim, ViewerRequest};
use crate::runners::wire::FrameBuffer;

const READ_BYTES: usize = 16 << 10;

/// A client's connection to a shim. Dropping it detaches; the run goes on.
#[derive(Debug)]
pub struct Attachment {
    stream: UnixStream,
    id: AttemptId,
    input: FrameBuffer,
}

impl Attachment {
    /// Connects and hands `stdin` over, at best before the start has come: without a client the
    /// shim waits `limits::ATTACH_WAIT_MS`, then takes `/dev/null`. `None` says so at once.
    pub fn connect(
        socket: &Path,
        id: AttemptId,
        stdin: Option<BorrowedFd<'_>>,
    ) -> Result<Self, LinkError> {
        let attachment = Self::open(socket, id)?;
        attachment.send(&ToShim::Attach(id), stdin)?;
        Ok(attachment)
    }

    /// Connects and looks at the terminal of the attempt; `FromShim::Terminal` answers once it
    /// has begun.
    pub fn view(socket: &Path, id: AttemptId, request: ViewerRequest) -> Result<Self, LinkError> {
        let attachment = Self::open(socket, id)?;
        attachment.send(&ToShim::View(id, request), None)?;
        Ok(attachment)
    }

    /// Has all of it shown anew.
    pub fn view_again(&self, request: ViewerRequest) -> Result<(), LinkError> {
        self.send(&ToShim::View(self.id, request), None)
    }

    fn open(socket: &Path, id: AttemptId) -> Result<Self, LinkError> {
        let stream = sockets::connect(socket)?;
        fds::check_peer(&stream)?;
        Ok(Self { stream, id, input: FrameBuffer::default() })
    }

    /// Types; `FromShim::InputTaken` tells how much of it is read, and no more than
    /// `limits::TYPED_BYTES` may be on the way.
    pub fn input(&self, typed: &[u8]) -> Result<(), LinkError> {
        self.send(&ToShim::Input(self.id, ByteString::from(typed.to_vec())), None)
    }

    /// Nothing more will be typed.
    pub fn input_end(&self) -> Result<(), LinkError> {
        self.send(&ToShim::InputEnd(self.id), None)
    }

    /// The window of the client has another size.
    pub fn resize(&self, size: WindowSize) -> Result<(), LinkError> {
        self.send(&ToShim::Resize(self.id, size), None)
    }

    /// Sends a signal to the process group of the run.
    pub fn signal(&self, signal: Signal) -> Result<(), LinkError> {
        self.send(&ToShim::Signal(self.id, signal), None)
    }

    /// Asks for the journal to be synced; `Synced` answers. For a client without a daemon.
    pub fn sync(&self) -> Result<(), LinkError> {
        self.send(&ToShim::Sync, None)
    }

    /// Waits for what the shim says next; a read timeout of the caller's gives `None`.
    pub fn receive(&mut self) -> Result<Option<FromShim>, LinkError> {
        let mut buffer = [0_u8; READ_BYTES];
        loop {
            if let Some(frame) = self.input.next_frame()? {
                return Ok(Some(FromShim::from_frame(&frame)?));
            }
            match rustix::io::read(&self.stream, &mut buffer) {
                Ok(0) | Err(rustix::io::Errno::CONNRESET) => return Err(LinkError::Closed),
                Ok(length) => self.input.push(&buffer[..length]),
                // A signal: the caller has something to send on.
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => return Ok(None),
                Err(errno) => return Err(LinkError::Socket(errno.into())),
            }
        }
    }

    /// Bounds each wait of [`Self::receive`].
    pub fn set_timeout_ms(&self, timeout_ms: u64) -> io::Result<()> {
        let timeout = std::time::Duration::from_millis(timeout_ms.max(1));
        self.stream.set_read_timeout(Some(timeout))
    }

    fn send(&self, message: &ToShim, passed: Option<BorrowedFd<'_>>) -> Result<(), LinkError> {
        let bytes = message.to_frame().to_bytes();
        let mut sent = 0;
        let mut passed = passed;
        while sent < bytes.len() {
            match fds::send(&self.stream, &bytes[sent..], passed) {
                Ok(length) => {
                    sent += length;
                    passed = None;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                    return Err(LinkError::Closed);
                }
                // These messages are small: a shim that does not read them is mute.
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

impl AsFd for Attachment {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}
