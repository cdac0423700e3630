//! Descriptors: hygiene, and passing one to another process.
#![expect(unsafe_code, reason = "close_range is not in rustix")]

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg, sockopt,
};

/// `CLOSE_RANGE_CLOEXEC` of `close_range(2)`.
const CLOSE_RANGE_CLOEXEC: libc::c_uint = 4;
/// Descriptors that one message may carry; a shim has use for one.
const PASSED_MAX: usize = 4;

/// Closes every descriptor from `first` on. For the very beginning of a process.
pub fn close_from(first: u32) {
    // SAFETY: called before anything in this process owns a descriptor from `first` on.
    unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
}

/// Lets exec close every descriptor from `first` on. One system call, for a child before exec.
pub(super) fn close_from_on_exec(first: u32) {
    // SAFETY: it changes a flag and closes nothing now.
    unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, CLOSE_RANGE_CLOEXEC) };
}

/// Reads from a socket together with descriptors passed along; more than the first are closed.
pub fn receive(
    socket: impl AsFd,
    buffer: &mut [u8],
    passed: &mut Option<OwnedFd>,
) -> io::Result<usize> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(PASSED_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let message = recvmsg(socket, &mut [IoSliceMut::new(buffer)], &mut control, flags)?;
    for item in control.drain() {
        if let RecvAncillaryMessage::ScmRights(fds) = item {
            for fd in fds {
                passed.get_or_insert(fd);
            }
        }
    }
    Ok(message.bytes)
}

/// Writes to a socket without SIGPIPE and without waiting, with a descriptor if one is given.
pub fn send(socket: impl AsFd, bytes: &[u8], passed: Option<BorrowedFd<'_>>) -> io::Result<usize> {
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    let Some(fd) = passed else {
        return Ok(rustix::net::send(socket, bytes, flags)?);
    };
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = [fd];
    if !control.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(io::Error::other("no room for a descriptor"));
    }
    Ok(sendmsg(socket, &[IoSlice::new(bytes)], &mut control, flags)?)
}

/// Refuses a peer of another user.
pub fn check_peer(socket: impl AsFd) -> io::Result<()> {
    let peer = sockopt::socket_peercred(socket)?;
    if peer.uid == rustix::process::geteuid() {
        Ok(())
    } else {
        Err(io::Error::new(io::ErrorKind::PermissionDenied, "the peer is another user"))
    }
}
