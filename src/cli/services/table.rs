//! Services, ports and plans for people.

use crate::cli::table::{Cell, Medium, Style, Table};
use crate::projections::view::{PortView, ServiceView, StepView};

/// What people call a replica: by its number where there are several among `all`.
fn name<'a>(service: &str, replica: u32, all: impl Iterator<Item = (&'a str, u32)>) -> String {
    let mut others = all.filter(|(other, number)| *other == service && *number != replica);
    match others.next() {
        Some(_) => format!("{service}.{replica}"),
        None => service.to_owned(),
    }
}

/// Of a service.
pub fn name_of(view: &ServiceView, all: &[ServiceView]) -> String {
    let all = all.iter().map(|other| (other.service.as_str(), other.replica));
    name(&view.service, view.replica, all)
}

/// Of what is done with one.
pub fn name_of_step(view: &StepView, all: &[StepView]) -> String {
    let all = all.iter().map(|other| (other.service.as_str(), other.replica));
    name(&view.service, view.replica, all)
}

fn style(state: &str) -> Style {
    match state {
        "ready" => Style::Good,
        "completed" | "down" | "stopped" => Style::Dim,
        "failed" | "skipped" | "unhealthy" | "crash_looping" => Style::Bad,
        _ => Style::Plain,
    }
}

/// `jr status`.
pub fn services(views: &[ServiceView], medium: Medium) -> String {
    let rows: Vec<[String; 7]> = views
        .iter()
        .map(|view| {
            let ports = view.ports.values().map(ToString::to_string).collect::<Vec<_>>().join(",");
            [
                name_of(view, views),
                view.state.clone(),
                view.pid.map(|pid| pid.to_string()).unwrap_or_default(),
                ports,
                view.restarts.to_string(),
                view.url.clone().unwrap_or_default(),
                view.reason.clone().unwrap_or_default(),
            ]
        })
        .collect();
    let headers = ["SERVICE", "STATE", "PID", "PORTS", "RESTARTS", "URL", "WHY"];
    let mut table = Table::new(&headers).flexible(6).optional(&[4, 2, 5]);
    for row in &rows {
        let mut cells: Vec<Cell<'_>> = row.iter().map(|text| Cell::from(text.as_str())).collect();
        cells[1] = Cell::styled(&row[1], style(&row[1]));
        table.row(cells);
    }
    table.render(medium)
}

/// `jr ports`.
pub fn ports(views: &[PortView], medium: Medium) -> String {
    let rows: Vec<[String; 7]> = views
        .iter()
        .map(|view| {
            let all = views.iter().map(|other| (other.service.as_str(), other.replica));
            let holder = view.holder.as_ref().map(|holder| {
                let pid = holder.pid.map(|pid| format!("pid {pid} ")).unwrap_or_default();
                let run = holder.run.map(|run| format!(" (run {run})")).unwrap_or_default();
                format!("{pid}{}{run}", holder.command)
            });
            [
                name(&view.service, view.replica, all),
                view.name.clone(),
                view.requested.map_or_else(|| "any".to_owned(), |port| port.to_string()),
                view.assigned.to_string(),
                view.actual.map(|port| port.to_string()).unwrap_or_default(),
                view.source.clone(),
                holder.unwrap_or_default(),
            ]
        })
        .collect();
    let headers = ["SERVICE", "PORT", "REQUESTED", "ASSIGNED", "ACTUAL", "SOURCE", "HELD BY"];
    let mut table = Table::new(&headers).flexible(6).optional(&[5, 2]);
    for row in &rows {
        let mut cells: Vec<Cell<'_>> = row.iter().map(|text| Cell::from(text.as_str())).collect();
        cells[6] = Cell::styled(&row[6], Style::Bad);
        table.row(cells);
    }
    table.render(medium)
}

/// What is, or would be, done.
pub fn steps(views: &[StepView], medium: Medium) -> String {
    let rows: Vec<[String; 3]> = views
        .iter()
        .map(|view| [view.action.clone(), name_of_step(view, views), view.reason.clone()])
        .collect();
    let mut table = Table::new(&["ACTION", "SERVICE", "WHY"]).flexible(2);
    for row in &rows {
        let mut cells: Vec<Cell<'_>> = row.iter().map(|text| Cell::from(text.as_str())).collect();
        let action = match row[0].as_str() {
            "start" | "restart" => Style::Good,
            "stop" | "forget" => Style::Bad,
            _ => Style::Dim,
        };
        cells[0] = Cell::styled(&row[0], action);
        table.row(cells);
    }
    table.render(medium)
}
