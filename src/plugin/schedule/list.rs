//! `schedule list`: schedules as a table, or as a document for other programs; with `--watch`, what becomes of them.

use super::found;
use super::shape::{self, Columns, Schedule, names, table};
use crate::adapters::kubernetes::changes::{Change, Changes};
use crate::adapters::kubernetes::finder::Place;
use crate::adapters::system_clock::SystemClock;
use crate::exit_code::ExitCode;
use crate::model::outcome::Failure;
use crate::plugin::away::wait_out;
use crate::plugin::cli::ScheduleListFlags;
use crate::plugin::connect::Session;
use crate::plugin::find::Clusters;
use crate::plugin::{CommandResult, find};
use crate::ports::Clock;
use crate::render::output::{ListOutput, Machine};
use crate::render::screen::Screen;
use crate::render::table::Continued;

pub(super) async fn run(flags: &ScheduleListFlags, session: &Session, screen: &mut Screen) -> CommandResult {
    let namespace = session.connection()?.target.namespace.clone();
    let within = Some(namespace.as_str()).filter(|_| !flags.scope.all_namespaces);
    let list = read(flags, within, session).await?;
    session.show_warnings(screen);
    if list.is_empty()
        && within.is_some()
        && let Some(failure) = find::named_in_vain(session, flags.cluster.wanted()).await
    {
        return Err(failure);
    }
    let mut view = View { flags, within, rows: Continued::new(!flags.no_headers), written: String::new() };
    if flags.watch {
        return watch(list, &mut view, session, screen).await;
    }
    match &flags.output {
        Some(ListOutput::Machine(machine)) => screen.data(&view.document(machine, &list)),
        _ => view.show(&list, screen),
    }
    Ok(ExitCode::Done)
}

/// Reads the schedules that are meant, by namespace and name.
async fn read(flags: &ScheduleListFlags, within: Option<&str>, session: &Session) -> Result<Vec<Schedule>, Failure> {
    let mut list = found(session, within, flags.cluster.wanted()).await?;
    if flags.scope.selector.is_some() {
        let Clusters { places, .. } = find::clusters(session, &flags.cluster, &flags.scope).await?;
        let is_meant = |schedule: &Schedule| {
            let of = schedule.statefulset.as_ref().map(|name| Place::new(&schedule.namespace, name));
            of.is_some_and(|place| places.contains(&place))
        };
        list.retain(is_meant);
    }
    Ok(list)
}

/// Shows the schedules, and what becomes of them until somebody presses Ctrl-C.
async fn watch(mut list: Vec<Schedule>, view: &mut View<'_>, session: &Session, screen: &mut Screen) -> CommandResult {
    let mut changes = Changes::new(session.connection()?.client.clone());
    changes.schedules(view.within);
    match &view.flags.output {
        Some(ListOutput::Machine(machine)) => view.documents(machine, &list, screen),
        _ => view.show(&list, screen),
    }
    loop {
        if changes.next().await.map_err(|error| session.failure(&error))? == Change::Broken {
            // It is taken up again by itself, and tells when it is.
            if !changes.are_in_reach().await {
                wait_out(&changes, screen).await;
            }
            continue;
        }
        let now = loop {
            match read(view.flags, view.within, session).await {
                Ok(now) => break now,
                Err(failure) if changes.are_in_reach().await => return Err(failure),
                Err(_) => wait_out(&changes, screen).await,
            }
        };
        view.differences(&list, &now, screen);
        list = now;
    }
}

/// What was written so far.
struct View<'a> {
    flags: &'a ScheduleListFlags,
    /// The only namespace that is looked in.
    within: Option<&'a str>,
    rows: Continued,
    /// The last document.
    written: String,
}

impl View<'_> {
    /// Writes the whole list, where that is no document.
    fn show(&mut self, list: &[Schedule], screen: &mut Screen) {
        match &self.flags.output {
            Some(ListOutput::Name) => screen.data(&names(list)),
            _ if list.is_empty() => screen.note(&self.none()),
            _ => self.rows(list, screen),
        }
    }

    fn none(&self) -> String {
        let scope = &self.flags.scope;
        let of_cluster = self.flags.cluster.wanted().map(|name| format!(" of {name}"));
        let of_labels = scope.selector.as_ref().map(|labels| format!(" of clusters with labels {labels}"));
        let of = of_cluster.or(of_labels).unwrap_or_default();
        let place = self.within.map(|namespace| format!(" in {namespace} namespace")).unwrap_or_default();
        format!("No schedules found{of}{place}.")
    }

    fn rows(&mut self, schedules: &[Schedule], screen: &mut Screen) {
        let wide = self.flags.output == Some(ListOutput::Wide);
        let more = table(schedules, SystemClock.now(), Columns { namespace: self.within.is_none(), wide });
        screen.data(&self.rows.text(&more));
    }

    fn document(&self, machine: &Machine, list: &[Schedule]) -> String {
        machine.write(&shape::list(list, self.within), !self.flags.no_headers)
    }

    /// Writes the whole document where it is not what was written last.
    fn documents(&mut self, machine: &Machine, list: &[Schedule], screen: &mut Screen) {
        let text = self.document(machine, list);
        if text != self.written {
            screen.data(&format!("{text}{}", machine.separator()));
            self.written = text;
        }
    }

    fn differences(&mut self, before: &[Schedule], now: &[Schedule], screen: &mut Screen) {
        let changed: Vec<Schedule> = now.iter().filter(|new| !before.contains(new)).cloned().collect();
        match &self.flags.output {
            // A document tells what is gone by not holding it.
            Some(ListOutput::Machine(machine)) => return self.documents(machine, now, screen),
            Some(ListOutput::Name) => screen.data(&names(&changed)),
            None | Some(ListOutput::Wide) if !changed.is_empty() => self.rows(&changed, screen),
            None | Some(ListOutput::Wide) => {}
        }
        let is_same = |a: &Schedule, b: &Schedule| (&a.namespace, &a.name) == (&b.namespace, &b.name);
        for gone in before.iter().filter(|old| !now.iter().any(|new| is_same(old, new))) {
            let of = if self.within.is_none() { format!("{}: ", gone.namespace) } else { String::new() };
            screen.note(&format!("{of}cronjob.batch/{} is no longer there", gone.name));
        }
    }
}
