//! `jr ports`.

use super::Runnable;
use super::read::ReadArgs;
use crate::cli::context::{Context, parse};
use crate::cli::error::CommandError;
use crate::cli::exit;
use crate::cli::services::table;
use crate::projections::query::Query;
use crate::projections::view::{List, PortView};
use crate::runners::ports;

/// Below the options.
const HELP: &str = "\
Examples:
  jr ports
  jr ports --json

Exit codes:
  0; 2 a bad moment";

/// Show ports: asked for, assigned, in use, and who holds one that is not ours
#[derive(clap::Args, Debug)]
#[command(after_help = HELP)]
pub struct PortsArgs {
    #[command(flatten)]
    read: ReadArgs,
}

impl Runnable for PortsArgs {
    const NAME: &'static str = "ports";
    const LOOKS: bool = true;

    fn run(self, context: &mut Context) -> Result<u8, CommandError> {
        // What listens is known of now and here only.
        let is_live = self.read.at.is_none() && self.read.bundle.is_none();
        context.look(&self.read)?;
        let mut list: List<PortView> = parse(&context.read_bytes(&Query::Ports)?)?;
        for view in &mut list.items {
            let shim = view.shim.take();
            if is_live {
                look(view, shim);
            }
        }
        if context.ui.json {
            context.ui.json(&list);
        } else if list.items.is_empty() {
            context.ui.status("no service has a port here");
        } else {
            let text = table::ports(&list.items, context.ui.medium());
            context.ui.data(&text);
        }
        Ok(exit::OK)
    }
}

/// What really listens there.
fn look(view: &mut PortView, shim: Option<u32>) {
    let port = view.assigned;
    match shim.map(|shim| ports::owner(port, shim)) {
        Some(ports::Owner::Tree) => view.actual = Some(port),
        Some(ports::Owner::Nobody) => {}
        Some(ports::Owner::Foreign | ports::Owner::Unproven) | None => {
            view.holder = ports::holder(port);
        }
    }
}
