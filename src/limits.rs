//! Every bound and default, with its unit and its reason. Relations are proved at compile time.

/// A daemon with nothing to do exits after this.
pub const IDLE_EXIT_MS: u64 = 60_000;
/// The wall clock moved so far against `CLOCK_BOOTTIME` before that is recorded, in milliseconds. A
/// time service that makes the clock faster or slower moves both; what it sets in one step is
/// mostly less than this, and misleads nobody who reads times of seconds.
pub const CLOCK_JUMP_MS: i64 = 1_000;
/// A shim that holds nothing ends this long after it lost its daemon.
pub const SHIM_IDLE_EXIT_MS: u64 = 60_000;
/// A shim that answers nothing for so long is ended together with its tree.
pub const SHIM_MUTE_MS: u64 = 5_000;
/// A client waits so long for a daemon to appear.
pub const DAEMON_START_MS: u64 = 10_000;
/// A client waits so long for a daemon that is at work on its start: views of ten million events
/// that have to be made anew, after a power cut say, take some minutes.
pub const DAEMON_OPEN_MS: u64 = 900_000;
/// A client in the foreground looks so long for another daemon before it trusts the shim alone.
pub const DAEMON_GONE_MS: u64 = 2_000;
/// A foreground start waits so long for its client's standard input, then takes `/dev/null`.
pub const ATTACH_WAIT_MS: u64 = 10_000;
/// A shim tries so long to open a port that it is to pass on: the shim that had the run before may
/// not have heard yet that it is to let go of it.
pub const PORT_WAIT_MS: u64 = 1_000;

/// Bytes that a client types ahead of what its terminal has taken.
pub const TYPED_BYTES: usize = 64 << 10;
/// Bytes for the screen of a client that wait for it; what comes above it is skipped, so that
/// nobody who looks on holds up what is looked at.
pub const SCREEN_BYTES: usize = 256 << 10;
/// The size of a terminal that nobody looks at, as a VT100 had it.
pub const TERMINAL_ROWS: u16 = 24;
/// Its width.
pub const TERMINAL_COLUMNS: u16 = 80;

/// Between the first signal of a stop and SIGKILL.
pub const GRACE_MS: u64 = 10_000;
/// `jr pause` waits so long for the processes to stand still, and `jr resume` for their shims to
/// say that they go on.
pub const HOLD_WAIT_MS: u64 = 3_000;
/// Between SIGKILL and the report that something survived it (a process in state D).
pub const KILL_WAIT_MS: u64 = 5_000;
/// A tree that is to be paused has so long to come to a standstill before it is called paused all
/// the same: what then still hangs in the kernel (state D) stops on its way out of it.
pub const PAUSE_WAIT_MS: u64 = 2_000;

/// A service that has begun so often in a row without lasting is called `crash_looping`.
pub const CRASH_LOOP: u32 = 5;
/// Ports that services get which want any: below those that the kernel gives to clients
/// (`ip_local_port_range`, 32768 and above), so that no connection takes one by chance.
pub const PORTS: std::ops::RangeInclusive<u16> = 20_000..=31_999;
/// A service whose port is taken gets so many others in a row.
pub const PORT_TRIES: u32 = 5;
/// An attempt of a service that lasts so long ends a row of failures.
pub const STABLE_MS: u64 = 60_000;
/// A service has to be ready within this.
pub const STARTUP_MS: u64 = 60_000;

/// An interrupted run goes back to its queue so often at most: one that ends its own shim must not
/// come back for ever.
pub const REQUEUES: u32 = 16;

/// Runs that wait or live in one environment. A line of a batch costs about 500 bytes.
pub const LIVE_RUNS: usize = 200_000;
/// Lines of one batch.
pub const BATCH_LINES: usize = 100_000;
/// Events for which an ended run stays in the engine: facts older than this are looked up anew.
pub const ENDED_WINDOW: u64 = 4_096;
/// Intents that are durable ahead of a free slot, in each queue: a spawn then waits for no sync.
pub const INTENTS_AHEAD: usize = 32;
/// Starts of each queue that are given out ahead of its slots: when an attempt ends, the next one
/// begins before the engine has heard of it.
pub const STARTS_AHEAD: usize = 4;
/// Events that nobody waits for become durable so much later at most, in milliseconds.
pub const GATHER_MS: u64 = 5;
/// Events of one commit; more wait for the next. Bounds the memory of the storage thread.
pub const COMMIT_EVENTS: usize = 4_096;
/// Events of one segment; above it the segment is to be sealed.
pub const SEGMENT_EVENTS: u64 = 500_000;
/// The hot segment is sealed for a prune that takes so many records of it, or half of it; fewer
/// wait for a later prune, so that small prunes make no small segments.
pub const PRUNE_SEAL_EVENTS: u64 = 50_000;
/// Sealed segments that a process keeps open at one time; who reads all of them opens one by one.
pub const SEGMENTS_OPEN: usize = 4;
/// Cache of a sealed segment: it is read in order, seldom twice.
pub const SEALED_CACHE_BYTES: usize = 4 << 20;
/// Pinned runs. They are part of every saved state.
pub const PINS: usize = 10_000;
/// Cache of the segment that is written. It really fills (redb's own default is 1 GiB), and the
/// page cache behind it serves as well: a larger one buys nothing (docs/decisions/0006).
pub const CACHE_BYTES: usize = 4 << 20;

/// Commands of clients that are being decided or committed at one time; more wait in their sockets.
pub const ASKS: usize = 1_024;
/// Connections at one time; more wait in the backlog, then get EAGAIN and try again.
pub const CONNECTIONS: usize = 4_096;
/// A client has so long to send a whole request.
pub const REQUEST_MS: u64 = 30_000;
/// Runs changed since the views were last written; above it they are written.
pub const VIEWS_DIRTY: usize = 4_096;
/// Views are written after so long without a change.
pub const VIEWS_IDLE_MS: u64 = 1_000;

/// Runs of one answer whose progress is told, the newest first: each costs a look at its records,
/// its name's durations and its newest output, some 0.1 ms where there is all of that.
pub const PROGRESS_RUNS: usize = 64;
/// Newest bytes of each output stream that are searched for progress: what is told more seldom than
/// once in so many bytes is lost among the rest.
pub const PROGRESS_BYTES: u64 = 64 << 10;
/// Newest records of a run that are searched for pauses.
pub const PROGRESS_RECORDS: usize = 256;
/// Newest successes of a name whose median is how long its runs usually take.
pub const USUAL_RUNS: usize = 20;
/// Bytes kept of the command line of whoever asks for a stop, a signal or a pause.
pub const ASKER_BYTES: usize = 200;
/// What a shell is offered for a word; more would not be read.
pub const CANDIDATES: usize = 200;
/// Newest runs, and names or ids by an index, that are looked at for that: each costs about 10 µs.
pub const CANDIDATE_ROWS: usize = 16;
/// Names that are written down ahead for shells; with more, the index is asked. Each costs about 10
/// µs.
pub const SHORTLIST_NAMES: usize = 200;
/// Batches among the newest runs whose lines are passed over: each costs about 60 µs.
pub const CANDIDATE_LOOKS: usize = 4;
/// Records that the views may lack while somebody waits at a prompt: some 50 ms of folding.
pub const CANDIDATE_RECORDS: u64 = 50_000;
/// A daemon that says nothing for so long does not keep a prompt waiting.
pub const CANDIDATES_MS: u64 = 500;

/// Permission bits that new files of a run do not get where its client says nothing (umask(2)).
pub const UMASK: u32 = 0o022;
/// Newest bytes kept of each output stream of an attempt.
pub const OUTPUT_BYTES_MAX: u64 = 1 << 30;
/// Output up to this size gets a digest when the attempt ends; hashing more would hold up the slot.
pub const OUTPUT_DIGEST_BYTES: u64 = 4 << 20;
/// Arguments of one command together; the kernel's own limit is near 2 MiB.
pub const COMMAND_BYTES: usize = 2 << 20;
/// A request or reply of the daemon's socket: the largest batch fits.
pub const MESSAGE_BYTES: usize = 64 << 20;
/// A payload of the log.
pub const PAYLOAD_BYTES: usize = 4 << 20;

/// History beyond what the configuration keeps goes so long after a daemon's start, and then every
/// hour.
pub const RETENTION_FIRST_MS: u64 = 5_000;
/// See above.
pub const RETENTION_EVERY_MS: u64 = 3_600_000;
/// If it is so many records, or a tenth of all.
pub const RETENTION_EVENTS: u64 = 10_000;
/// A HEAD, a ref or another file of one line in a git repository: a path of the kernel's greatest
/// length, and some words.
pub const GIT_FILE_BYTES: u64 = 8 << 10;
/// A repository's `packed-refs`: some 60,000 refs. It is read where a branch was packed and has got
/// no commit since, and takes a millisecond or two then.
pub const GIT_PACKED_REFS_BYTES: u64 = 4 << 20;
/// A file that holds the value of a variable.
pub const SECRET_FILE_BYTES: u64 = 64 << 10;
/// One configuration file.
pub const CONFIG_BYTES: usize = 1 << 20;
/// Configuration files that change are read once nobody has written for so long.
pub const CONFIG_QUIET_MS: u64 = 100;
/// And if somebody goes on writing, after so long.
pub const CONFIG_SETTLE_MS: u64 = 2_000;
/// Tables within tables of it.
pub const CONFIG_DEPTH: usize = 32;
/// Mistakes of one file that are told.
pub const CONFIG_PROBLEMS: usize = 500;
/// Configuration files of one command.
pub const CONFIG_FILES: usize = 256;

/// `jr doctor` waits so long for one look at files, `/proc` or `/sys`; what hangs is told.
pub const DOCTOR_LOOK_MS: u64 = 4_000;
/// And so long for the newest segment of the log: its records are read in a second, ten of them
/// on a slow machine.
pub const DOCTOR_LOG_MS: u64 = 20_000;
/// A daemon or shim that says nothing for so long counts as mute there.
pub const DOCTOR_ANSWER_MS: u64 = 1_000;
/// A program has so long to tell its version.
pub const DOCTOR_TOOL_MS: u64 = 2_000;
/// Of many alike it names so many.
pub const DOCTOR_LISTED: usize = 20;
/// Below so much free space a commit may fail: a segment grows in steps of megabytes.
pub const DISK_FREE_NEEDED: u64 = 32 << 20;
/// Below so much free space somebody should look.
pub const DISK_FREE_WISHED: u64 = 1 << 30;
/// The same for files that can still be made: each run has three.
pub const INODES_FREE_NEEDED: u64 = 100;
/// And for looking.
pub const INODES_FREE_WISHED: u64 = 10_000;

/// What the answer of a probe comes to, for people: it is stored with each change of health.
pub const PROBE_TEXT_BYTES: usize = 200;
/// So much of a body is searched for what it has to contain.
pub const PROBE_BODY_BYTES: usize = 1 << 20;
/// A line of output that is longer is matched in pieces of this.
pub const PROBE_LINE_BYTES: usize = 64 << 10;
/// Such pieces overlap by this: a match that is shorter is not cut.
pub const PROBE_OVERLAP_BYTES: usize = 1 << 10;
/// Questions to one service are at least so far apart, whatever it asks for.
pub const PROBE_INTERVAL_MIN_MS: u64 = 20;
/// First questions are spread over this, so that services that start together are not all asked
/// in the same millisecond.
pub const PROBE_SPREAD_MS: u64 = 100;
/// Of a probe's command that is killed: until it counts as hanging in the kernel (state D).
pub const PROBE_KILL_MS: u64 = 1_000;
/// A datagram of `sd_notify(3)`; systemd's own bound.
pub const NOTICE_BYTES: usize = 4 << 10;

/// Files of one service that are followed, and directories; each is looked at after each burst.
pub const WATCHED_FILES: usize = 20_000;
/// Bytes of a watched file that are read; of a bigger one size and time count.
pub const WATCHED_BYTES: u64 = 16 << 20;
/// Paths of a burst that are kept apart; beyond it all of a service is looked at.
pub const WATCHED_PATHS: usize = 1_000;
/// A shim that could not be fenced, or left survivors, is looked at again after so long.
pub const FENCE_AGAIN_MS: u64 = 250;
/// Watched files are looked at once nobody has changed any for so long.
pub const WATCH_QUIET_MS: u64 = 100;
/// And if somebody goes on, after so long.
pub const WATCH_SETTLE_MS: u64 = 2_000;
/// What the files of a service held is kept so long between two of its attempts.
pub const WATCH_KEEP_MS: u64 = 60_000;
/// What is told of a changed path.
pub const WATCHED_PATH_BYTES: usize = 200;
/// A file of rules about what is not watched.
pub const IGNORE_BYTES: u64 = 1 << 20;

const _: () = assert!(WATCH_QUIET_MS < WATCH_SETTLE_MS);
const _: () = assert!(PROBE_OVERLAP_BYTES < PROBE_LINE_BYTES, "each piece has something new");
const _: () = assert!(BATCH_LINES <= LIVE_RUNS, "a batch must fit");
const _: () = assert!(COMMAND_BYTES * 2 <= PAYLOAD_BYTES, "a line and its argv must fit a record");
const _: () = assert!(DAEMON_GONE_MS < SHIM_MUTE_MS, "a client gives up on a daemon first");
const _: () = assert!(PAYLOAD_BYTES < MESSAGE_BYTES);
const _: () = assert!(PORT_WAIT_MS < SHIM_MUTE_MS, "a start is answered before it counts as mute");
const _: () = assert!(PAUSE_WAIT_MS < SHIM_MUTE_MS, "a pause is answered before it counts as mute");
