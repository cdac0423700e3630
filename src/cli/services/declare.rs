//! A service of the configuration as the daemon is told of it: everything looked up that only the
//! client knows.

use std::collections::BTreeMap;

use super::{preset, probes};
use crate::cli::declared::{Declared, backoff_over, merged, words};
use crate::cli::error::CommandError;
use crate::cli::exit;
use crate::config::schema::job::Backoff as BackoffWish;
use crate::config::schema::service::{
    Dependencies, DependencyCondition, Hooks, Ports, Preset, Restart, Service,
};
use crate::config::schema::values::{Port, Umask, Words};
use crate::config::source::Layer;
use crate::daemon::protocol::{Common, ServiceRequest};
use crate::limits;
use crate::model::service::spec::{
    HookMoment, MAIN_PORT, PortWish, RestartPolicy, ServiceCondition, ServiceDependency,
    Supervision,
};
use crate::model::{Backoff, ByteString, ServiceName};

/// Waits before a service is started again, where the configuration says nothing (seed 4).
const BACKOFF: Backoff =
    Backoff { first_ms: 500, max_ms: 10_000, factor_percent: 200, jitter_percent: 10 };
/// Variables that a service gets of the command that asks; those of the locale and of the
/// directories of a person beside them.
const KEPT: [&str; 8] = ["HOME", "USER", "LOGNAME", "SHELL", "PATH", "LANG", "TMPDIR", "TZ"];

/// All services that are declared and not switched off.
///
/// # Errors
/// A file or variable that one names is not there.
pub fn services(declared: &Declared<'_>) -> Result<Vec<ServiceRequest>, CommandError> {
    each(declared).map(|(_, asked)| asked).collect()
}

/// The same one by one: its name, and what its daemon is told or why that cannot be known.
pub fn each<'a>(
    declared: &'a Declared<'_>,
) -> impl Iterator<Item = (&'a String, Result<ServiceRequest, CommandError>)> {
    let enabled = declared.services().filter(|(_, service)| service.enabled != Some(false));
    enabled.map(|(name, service)| (name, request(declared, name, service)))
}

/// The variables of this process that services get below their own.
pub fn surroundings() -> Vec<(ByteString, ByteString)> {
    let is_kept =
        |name: &str| KEPT.contains(&name) || name.starts_with("LC_") || name.starts_with("XDG_");
    let all = std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_kept));
    all.map(|(name, value)| (name.into(), value.into())).collect()
}

fn request(
    declared: &Declared<'_>,
    name: &str,
    wish: &Service,
) -> Result<ServiceRequest, CommandError> {
    let service: ServiceName = name.parse().map_err(|error: crate::model::BadName| {
        CommandError::new("bad_name", exit::USAGE, format!("service {name:?}: {error}"))
    })?;
    let mut common = declared.common();
    common.labels.extend(wish.labels.clone().unwrap_or_default());
    common.limits = merged(common.limits, wish.limits.as_ref());
    common.cwd = directory(declared, name, wish).into();
    common.commit = declared.commit_at(&common.cwd);
    common.stop_signal = wish.stop_signal.map(|signal| signal.0);
    common.grace_ms = wish.graceful_timeout.map(|millis| millis.0);
    common.ok_codes = wish.success_exit_codes.clone().map(|codes| codes.0).unwrap_or_default();
    common.umask = wish.umask.as_ref().map(Umask::bits);
    let place = ["services", name];
    let environment = wish.environment.as_ref();
    declared.add_variables(place, wish.env_file.as_ref(), environment, &[], &mut common)?;
    let mut ports = ports(wish, declared.port_range());
    let mut command = words(wish.command.as_ref(), wish.args.as_deref());
    let mut readiness = wish.readiness.clone();
    if command.is_empty() {
        readiness.get_or_insert_with(preset::readiness);
        let preset = wish.preset.or_else(|| Preset::of_name(name));
        command = preset::command(declared, name, preset, wish, &mut ports, &mut common)?;
    }
    let mut hooks = wish.hooks.as_ref().map(hooks).unwrap_or_default();
    if let Some(stop) = &wish.stop_command {
        hooks.insert(HookMoment::Stop, words(Some(stop), None));
    }
    let oneshot = wish.oneshot == Some(true);
    let other = if oneshot { RestartPolicy::Never } else { RestartPolicy::default() };
    let probe = |key, probe| probes::probe(declared, name, key, probe, &ports, &common);
    let supervision = Supervision {
        readiness: readiness.as_ref().map(|ask| probe("readiness", ask)).transpose()?,
        health: wish.health.as_ref().map(|ask| probe("health", ask)).transpose()?,
        depends_on: wish.depends_on.as_ref().map(dependencies).transpose()?.unwrap_or_default(),
        oneshot,
        restart: wish.restart.map_or(other, restart),
        max_restarts: wish.max_restarts,
        backoff: wish.backoff.as_ref().map_or(BACKOFF, |wish| backoff_over(wish, BACKOFF)),
        stable_ms: stable_ms(wish),
        startup_timeout_ms: wish.startup_timeout.map_or(limits::STARTUP_MS, |millis| millis.0),
        hooks,
        watch: watched(declared, name, wish, &common),
        ports,
    };
    Ok(ServiceRequest {
        service,
        title: wish.title.clone(),
        hostname: wish.hostname.clone(),
        command,
        common,
        user: wish.user.clone().filter(|_| wish.command.is_some()),
        replicas: wish.replicas.unwrap_or(1),
        supervision,
    })
}

/// Its directory; else that of the file of a project, else home, else `/`.
fn directory(declared: &Declared<'_>, name: &str, wish: &Service) -> std::ffi::OsString {
    if let Some(directory) = &wish.directory {
        return declared.path_of(&["services", name, "directory"], directory).into_os_string();
    }
    let place = declared.base_of(&["services", name]);
    match place {
        (base, Layer::Project | Layer::ProjectLocal | Layer::Directory | Layer::Extra) => {
            base.as_os_str().to_owned()
        }
        _ => std::env::var_os("HOME").filter(|home| !home.is_empty()).unwrap_or("/".into()),
    }
}

/// The main port first, then those by name, or in their order.
fn ports(wish: &Service, range: Option<(u16, u16)>) -> Vec<PortWish> {
    let port = |name: String, port: &Port| {
        let (host, number) = match port {
            Port::Fixed(number) => (None, Some(*number)),
            Port::Text(text) => match text.rsplit_once(':') {
                Some((host, number)) => (Some(host.to_owned()), number.parse().ok()),
                None => (None, text.parse().ok()),
            },
        };
        let host = host.or_else(|| wish.host.clone());
        let host = host.map(|host| host.trim_matches(['[', ']']).to_owned());
        let number = number.filter(|number| *number != 0);
        let range = range.filter(|_| number.is_none());
        PortWish { name, number, host, pass_socket: wish.pass_sockets == Some(true), range }
    };
    let main = wish.port.as_ref().map(|wish| port(MAIN_PORT.to_owned(), wish));
    let others: Vec<PortWish> = match &wish.ports {
        Some(Ports::Named(named)) => {
            named.iter().map(|(name, wish)| port(name.clone(), wish)).collect()
        }
        Some(Ports::List(list)) => {
            let name = |place: usize| match (place, &main) {
                (0, None) => MAIN_PORT.to_owned(),
                (place, _) => place.to_string(),
            };
            list.iter().enumerate().map(|(place, wish)| port(name(place), wish)).collect()
        }
        None => Vec::new(),
    };
    main.into_iter().chain(others).collect()
}

fn dependencies(wish: &Dependencies) -> Result<Vec<ServiceDependency>, CommandError> {
    let all: Vec<(&str, ServiceCondition)> = match wish {
        Dependencies::Names(names) => {
            names.iter().map(|name| (name.as_str(), ServiceCondition::Ready)).collect()
        }
        Dependencies::Conditions(conditions) => {
            conditions.iter().map(|(name, wish)| (name.as_str(), condition(*wish))).collect()
        }
    };
    let dependency = |(name, condition): (&str, ServiceCondition)| {
        let service = name.parse()?;
        Ok(ServiceDependency { service, condition })
    };
    all.into_iter().map(dependency).collect()
}

fn condition(wish: DependencyCondition) -> ServiceCondition {
    match wish {
        DependencyCondition::Started => ServiceCondition::Started,
        DependencyCondition::Ready => ServiceCondition::Ready,
        DependencyCondition::Completed => ServiceCondition::Completed,
        DependencyCondition::Failed => ServiceCondition::Failed,
        DependencyCondition::Ended => ServiceCondition::Ended,
    }
}

fn restart(wish: Restart) -> RestartPolicy {
    match wish {
        Restart::Always => RestartPolicy::Always,
        Restart::OnFailure => RestartPolicy::OnFailure,
        Restart::Never => RestartPolicy::Never,
        Restart::UnlessStopped => RestartPolicy::UnlessStopped,
    }
}

fn stable_ms(wish: &Service) -> u64 {
    let window = match &wish.backoff {
        Some(BackoffWish::Table(table)) => table.window,
        Some(BackoffWish::Text(_)) | None => None,
    };
    window.map_or(limits::STABLE_MS, |millis| millis.0)
}

fn hooks(wish: &Hooks) -> BTreeMap<HookMoment, Vec<ByteString>> {
    let all = [
        (HookMoment::BeforeStart, &wish.before_start),
        (HookMoment::AfterReady, &wish.after_ready),
        (HookMoment::BeforeStop, &wish.before_stop),
        (HookMoment::AfterStop, &wish.after_stop),
    ];
    let given = all.into_iter().filter_map(|(moment, command)| Some((moment, command.as_ref()?)));
    given.map(|(moment, command)| (moment, words(Some(command), None))).collect()
}

/// Relative to the directory that it works in.
fn watched(
    declared: &Declared<'_>,
    name: &str,
    wish: &Service,
    common: &Common,
) -> Vec<ByteString> {
    let directory = std::path::PathBuf::from(common.cwd.to_text());
    let all = wish.watch.iter().flat_map(Words::as_slice);
    let path = |path: &String| match path.strip_prefix('~') {
        Some(_) => declared.path_of(&["services", name, "watch"], path),
        None => directory.join(path),
    };
    all.map(|wish| path(wish).into_os_string().into()).collect()
}
