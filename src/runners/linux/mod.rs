//! Everything that only Linux has: pidfds, cgroups, `/proc`, clone3. Nothing else names `libc`.

pub mod account;
pub mod arena;
pub mod carriers;
pub mod cgroup;
pub mod clock;
pub mod confine;
#[cfg(all(target_arch = "x86_64", any(test, all(target_env = "musl", not(debug_assertions)))))]
mod copy;
pub mod datagrams;
pub mod fds;
pub mod hierarchy;
pub mod listeners;
pub mod locks;
pub mod machine;
pub mod packets;
pub mod pidfd;
pub mod procfs;
pub mod pty;
pub mod signals;
mod socket_diag;
pub mod sockets;
pub mod spawn;
pub mod text;
pub mod tree;
pub mod wait;
