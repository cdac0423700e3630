//! `jr endpoints`.

use super::Runnable;
use super::read::ReadArgs;
use crate::cli::context::{Context, parse};
use crate::cli::error::CommandError;
use crate::cli::exit;
use crate::config::document::Document as Configured;
use crate::projections::query::Query;
use crate::projections::view::{InForceView, List, ServiceView};

/// Below the options.
const HELP: &str = "\
Examples:
  jr endpoints
  jr endpoints --json | jq -r '.items[0].url'

Exit codes:
  0; 2 a bad moment";

/// Show where services are to be found
#[derive(clap::Args, Debug)]
#[command(after_help = HELP)]
pub struct EndpointsArgs {
    #[command(flatten)]
    read: ReadArgs,
}

#[derive(serde::Serialize)]
struct Document {
    schema: &'static str,
    environment: String,
    /// Root of the project that declares the environment.
    project: Option<String>,
    items: Vec<Endpoint>,
}

#[derive(serde::Serialize)]
struct Endpoint {
    service: String,
    replica: u32,
    /// Name of the port.
    name: String,
    host: String,
    port: u16,
    url: String,
    hostname: Option<String>,
    /// Whether it answers there.
    ready: bool,
    run_id: Option<String>,
}

impl Runnable for EndpointsArgs {
    const NAME: &'static str = "endpoints";
    const LOOKS: bool = true;

    fn run(self, context: &mut Context) -> Result<u8, CommandError> {
        context.look(&self.read)?;
        let list: List<ServiceView> = parse(&context.read_bytes(&Query::Services)?)?;
        let items: Vec<Endpoint> = list.items.iter().flat_map(endpoints).collect();
        if context.ui.json {
            let (environment, project) = whose(context)?;
            let schema = "jr.endpoints/1";
            context.ui.json(&Document { schema, environment, project, items });
            return Ok(exit::OK);
        }
        if items.is_empty() {
            context.ui.status("no service with a port is up");
        }
        for item in &items {
            let ready = if item.ready { "" } else { "\t(not ready)" };
            context.ui.line(&format!("{}\t{}\t{}{ready}", item.service, item.name, item.url));
        }
        Ok(exit::OK)
    }
}

/// The environment that is looked at, and the root of its project; of a bundle as the records say.
fn whose(context: &Context) -> Result<(String, Option<String>), CommandError> {
    if let Some(place) = context.printing() {
        let project = place.project.as_ref().map(|path| path.to_string_lossy().into_owned());
        return Ok((place.id.to_string(), project));
    }
    let view: InForceView = context.read(&Query::InForce)?;
    let document = view.document.and_then(|text| Configured::parse(&text).ok());
    Ok((view.environment, document.and_then(|document| document.own_project().cloned())))
}

/// Those of a replica that has a process.
fn endpoints(view: &ServiceView) -> Vec<Endpoint> {
    let Some(base) = view.url.as_ref().filter(|_| view.pid.is_some()) else { return Vec::new() };
    let host = base.strip_prefix("http://").unwrap_or(base);
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host).to_owned();
    let endpoint = |(name, port): (&String, &u16)| Endpoint {
        service: view.service.clone(),
        replica: view.replica,
        name: name.clone(),
        url: format!("http://{host}:{port}"),
        host: host.clone(),
        port: *port,
        hostname: view.hostname.clone(),
        ready: view.state == "ready",
        run_id: view.run_id.clone(),
    };
    view.ports.iter().map(endpoint).collect()
}
