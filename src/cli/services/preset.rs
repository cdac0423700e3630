//! Services that need no command: jr knows how to start them.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::cli::declared::Declared;
use crate::cli::error::CommandError;
use crate::cli::exit;
use crate::config::schema::probe::{Probe, TcpProbe, TcpWish};
use crate::config::schema::service::{Preset, Service};
use crate::config::schema::values::Millis;
use crate::daemon::protocol::Common;
use crate::model::service::spec::{MAIN_PORT, PortWish};
use crate::model::{ByteString, Signal};

/// Between two questions whether it is ready.
const READY_INTERVAL_MS: u64 = 200;
/// Where the script below finds the password.
const PASSWORD: &str = "POSTGRES_PASSWORD";

/// Makes the cluster where there is none, then becomes the server. `$1` data directory, `$2`
/// authentication, `$3` addresses, `$4` clients, `$5` user, `$6` database.
const POSTGRES: &str = include_str!("postgres.sh");

/// How a preset is asked whether it is ready, where the configuration says nothing.
pub fn readiness() -> Probe {
    let interval = Some(Millis(READY_INTERVAL_MS));
    Probe { tcp: Some(TcpWish::Table(TcpProbe::default())), interval, ..Probe::default() }
}

/// The program that a preset becomes, and the package that has it where that is known for all;
/// `None` where this jr does not know how to start it.
pub fn program(preset: Preset) -> Option<(&'static str, &'static str)> {
    match preset {
        Preset::Redis => Some(("redis-server", "redis-server")),
        Preset::Postgres => Some(("initdb", "postgresql")),
        Preset::N8n => Some(("n8n", "n8n")),
        Preset::Supabase | Preset::Atlas => None,
    }
}

/// Where its programs may be besides `PATH`.
pub fn directories(preset: Preset) -> impl Iterator<Item = PathBuf> {
    let versions = (preset == Preset::Postgres).then(|| std::fs::read_dir("/usr/lib/postgresql"));
    versions.into_iter().flatten().flatten().flatten().map(|version| version.path().join("bin"))
}

/// The command of a preset; a port that it needs and that was not asked for is added.
///
/// # Errors
/// This jr does not know how to start it.
pub fn command(
    declared: &Declared<'_>,
    name: &str,
    preset: Option<Preset>,
    wish: &Service,
    ports: &mut Vec<PortWish>,
    common: &mut Common,
) -> Result<Vec<ByteString>, CommandError> {
    let data = || {
        let given = wish.data_dir.as_deref().unwrap_or(name);
        let path = match &wish.data_dir {
            Some(path) => declared.path_of(&["services", name, "data_dir"], path),
            None => PathBuf::from(common.cwd.to_text()).join(".jr").join(given),
        };
        path.to_string_lossy().into_owned()
    };
    let words = |words: &[&str]| words.iter().map(|word| ByteString::from(*word)).collect();
    let (port, command) = match preset {
        Some(Preset::Redis) => {
            let script = "mkdir -p \"$1\" && exec redis-server --port \"$PORT\" --bind 127.0.0.1 \
                          --dir \"$1\"";
            (6379, words(&["sh", "-c", script, "redis", &data()]))
        }
        Some(Preset::Postgres) => {
            let clients = wish.max_connections.unwrap_or(200).to_string();
            let command = words(&[
                "sh",
                "-c",
                POSTGRES,
                "postgres",
                &data(),
                wish.auth_method.as_deref().unwrap_or("trust"),
                wish.listen_addresses.as_deref().unwrap_or("127.0.0.1"),
                &clients,
                wish.user.as_deref().unwrap_or("postgres"),
                wish.database.as_deref().unwrap_or("postgres"),
            ]);
            // Fast: with TERM it waits until its clients have gone.
            common.stop_signal.get_or_insert(Signal::INT);
            (5432, command)
        }
        Some(Preset::N8n) => (5678, words(&["sh", "-c", "N8N_PORT=\"$PORT\" exec n8n start"])),
        Some(Preset::Supabase | Preset::Atlas) | None => {
            let message = format!("jr does not know how to start service {name}");
            let error = CommandError::new("no_command", exit::USAGE, message);
            return Err(error.hint(format!("give it a command: services.{name}.command")));
        }
    };
    if let Some(password) = &wish.password {
        let variables = BTreeMap::from([(PASSWORD.to_owned(), password.clone())]);
        declared.add_variables(["services", name], None, Some(&variables), &[], common)?;
        common.secret_names.push(PASSWORD.into());
    }
    if ports.is_empty() {
        let (name, number) = (MAIN_PORT.to_owned(), Some(port));
        ports.push(PortWish {
            name,
            number,
            host: wish.host.clone(),
            pass_socket: false,
            range: None,
        });
    }
    Ok(command)
}
