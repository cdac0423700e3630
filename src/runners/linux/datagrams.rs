//! Datagrams with the kernel's word on who sent them (unix(7), `SO_PASSCRED`).
#![expect(
    unsafe_code,
    reason = "rustix takes every sender's pid for positive; one outside of our namespace has 0"
)]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;

use rustix::fs::Mode;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::sockets::Reachable;

/// Room for the sender and four descriptors, in words; the kernel closes those beyond.
const CONTROL_WORDS: usize = 16;

/// What came.
#[derive(Debug)]
pub struct Datagram {
    /// Bytes of the buffer that it fills.
    pub bytes: usize,
    /// Whether the buffer has all of it.
    pub is_whole: bool,
    /// Who sent it; `None` for a process that this one cannot see.
    pub sender: Option<u32>,
    /// Descriptors that came with it: who sent them may wait until they are closed.
    pub passed: Vec<OwnedFd>,
}

/// A socket with a name in no directory (unix(7), "abstract"), which every process may send to.
///
/// # Errors
/// Somebody has the name.
pub fn bind_abstract(name: &[u8]) -> io::Result<OwnedFd> {
    let socket = datagram_socket()?;
    rustix::net::bind(&socket, &SocketAddrUnix::new_abstract_name(name)?)?;
    Ok(socket)
}

fn datagram_socket() -> io::Result<OwnedFd> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::DGRAM, flags, None)?;
    // Before anyone can send: what comes without credentials is of nobody.
    rustix::net::sockopt::set_socket_passcred(&socket, true)?;
    Ok(socket)
}

/// A socket at a path, for the owner alone. What was there before is replaced in one step.
///
/// # Errors
/// The file cannot be made.
pub fn bind(path: &Path) -> io::Result<OwnedFd> {
    let socket = datagram_socket()?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(".t");
    match std::fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let reachable = Reachable::new(Path::new(&beside))?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(reachable.path())?)?;
    rustix::fs::chmod(&beside, Mode::RUSR | Mode::WUSR)?;
    std::fs::rename(&beside, path)?;
    Ok(socket)
}

/// Takes the next datagram, without waiting.
///
/// # Errors
/// `WouldBlock` if there is none.
pub fn receive(socket: impl AsFd, buffer: &mut [u8]) -> io::Result<Datagram> {
    let mut part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    let mut control = [0_u64; CONTROL_WORDS];
    // SAFETY: all zeroes is an empty msghdr.
    let mut header: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    header.msg_control = control.as_mut_ptr().cast();
    header.msg_controllen = size_of_val(&control) as _;
    let flags = libc::MSG_DONTWAIT | libc::MSG_CMSG_CLOEXEC;
    // SAFETY: the header points to live locals and says how long they are.
    let bytes = unsafe { libc::recvmsg(socket.as_fd().as_raw_fd(), &raw mut header, flags) };
    let Ok(bytes) = usize::try_from(bytes) else { return Err(io::Error::last_os_error()) };
    let is_whole = header.msg_flags & libc::MSG_TRUNC == 0;
    let mut datagram = Datagram { bytes, is_whole, sender: None, passed: Vec::new() };
    // SAFETY: the kernel has filled the header and the control bytes behind it.
    let mut at = unsafe { libc::CMSG_FIRSTHDR(&raw const header) };
    while !at.is_null() {
        // SAFETY: `at` lies whole within the control bytes, as CMSG_FIRSTHDR and _NXTHDR promise;
        // descriptors in it are new and nobody else's.
        unsafe {
            read_control(at, &mut datagram);
            at = libc::CMSG_NXTHDR(&raw const header, at);
        }
    }
    Ok(datagram)
}

/// # Safety
/// `at` is a control message that was just received whole.
unsafe fn read_control(at: *const libc::cmsghdr, datagram: &mut Datagram) {
    // SAFETY: as the caller promises.
    unsafe {
        let data = libc::CMSG_DATA(at);
        // Another type with another C library.
        let whole: usize = (*at).cmsg_len as _;
        let length = whole.saturating_sub(data as usize - at as usize);
        match ((*at).cmsg_level, (*at).cmsg_type) {
            (libc::SOL_SOCKET, libc::SCM_CREDENTIALS) if length >= size_of::<libc::ucred>() => {
                let sender = data.cast::<libc::ucred>().read_unaligned();
                datagram.sender = u32::try_from(sender.pid).ok().filter(|pid| *pid > 0);
            }
            (libc::SOL_SOCKET, libc::SCM_RIGHTS) => {
                for number in 0..length / size_of::<RawFd>() {
                    let mut fd: RawFd = -1;
                    let bytes = data.add(number * size_of::<RawFd>());
                    bytes.copy_to_nonoverlapping((&raw mut fd).cast(), size_of::<RawFd>());
                    datagram.passed.push(OwnedFd::from_raw_fd(fd));
                }
            }
            _ => {}
        }
    }
}
