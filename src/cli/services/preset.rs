//! Services that need no command: jr knows how to start them.

use std::collections::BTreeMap;

use crate::cli::declared::Declared;
use crate::cli::error::CommandError;
use crate::cli::exit;
use crate::config::schema::service::{Preset, Service};
use crate::daemon::protocol::Common;
use crate::model::ByteString;
use crate::model::service::spec::{MAIN_PORT, PortWish};

/// Where the script below finds the password.
const PASSWORD: &str = "POSTGRES_PASSWORD";

/// Makes the cluster where there is none, then becomes the server. `$1` data directory, `$2`
/// authentication, `$3` addresses, `$4` clients, `$5` user, `$6` database.
const POSTGRES: &str = r#"set -eu
PATH="$PATH:$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1)"
as() { if [ "$(id -u)" = 0 ]; then setpriv --reuid=postgres --regid=postgres --init-groups "$@"; else "$@"; fi; }
if [ ! -s "$1/PG_VERSION" ]; then
  mkdir -p "$1"
  if [ "$(id -u)" = 0 ]; then chown postgres:postgres "$1"; fi
  pw="$1.pw"; (umask 077; printf '%s\n' "${POSTGRES_PASSWORD:-}" >"$pw")
  if [ "$(id -u)" = 0 ]; then chown postgres:postgres "$pw"; fi
  if [ -n "${POSTGRES_PASSWORD:-}" ]; then set -- "$@" --pwfile="$pw"; fi
  d=$1; a=$2; l=$3; m=$4; u=$5; b=$6; shift 6
  as initdb -D "$d" -U "$u" -A "$a" "$@" >&2
  rm -f "$pw"
  if [ "$b" != postgres ]; then echo "CREATE DATABASE \"$b\";" | as postgres --single -D "$d" postgres >&2; fi
  set -- "$d" "$a" "$l" "$m" "$u" "$b"
fi
unset POSTGRES_PASSWORD
if [ "$(id -u)" = 0 ]; then exec setpriv --reuid=postgres --regid=postgres --init-groups postgres -D "$1" -p "$PORT" -k "$1" -c listen_addresses="$3" -c max_connections="$4"; fi
exec postgres -D "$1" -p "$PORT" -k "$1" -c listen_addresses="$3" -c max_connections="$4""#;

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
            None => std::path::PathBuf::from(common.cwd.to_text()).join(".jr").join(given),
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
        ports.push(PortWish { name, number, host: wish.host.clone(), pass_socket: false });
    }
    Ok(command)
}
