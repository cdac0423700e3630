//! L3. The imperative shell: the engine's loop, its effects, recovery, timers and the socket.

pub mod client;
pub mod http;
pub mod place;
pub mod protocol;
