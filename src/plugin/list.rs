//! `list`: catalogues as a table, or as a document for other programs; with `--live`, the stores.

mod live;
mod shape;
mod watch;

use std::collections::BTreeMap;

use futures::{StreamExt, stream};

use super::cli::ListFlags;
use super::connect::Session;
use super::find::Clusters;
use super::follow::Followed;
use super::order::{ask, order};
use super::report::Wish;
use super::{CommandResult, find, overrides, report};
use crate::adapters::kubernetes::catalogue_configmap::ConfigMapCatalogue;
use crate::adapters::kubernetes::finder::Place;
use crate::adapters::kubernetes::preflight::Preflight;
use crate::adapters::system_clock::SystemClock;
use crate::exit_code::ExitCode;
use crate::model::catalogue::Catalogue;
use crate::model::order::{InventoryRequest, Task};
use crate::model::outcome::{End, Failure};
use crate::model::report::RunReport;
use crate::model::settings::Settings;
use crate::ports::Clock;
use crate::ports::conductor::CatalogueStore;
use crate::render::output::ListOutput;
use crate::render::screen::Screen;
pub(crate) use shape::{Backup, place_word};
use shape::{BackupList, Columns, names, table};

/// How many catalogues are read at the same time.
const READERS: usize = 8;

pub(crate) async fn run(flags: &ListFlags, session: &Session, screen: &mut Screen) -> CommandResult {
    if flags.live {
        return live(flags, session, screen).await;
    }
    let Clusters { places, gap } = find::clusters(session, &flags.cluster, &flags.scope).await?;
    let (list, mut code) = read_all(&places, flags, session, screen).await?;
    session.show_warnings(screen);
    if let Some(gap) = gap {
        screen.warn(&gap);
        code = ExitCode::DoneWithWarnings;
    }
    if flags.watch {
        return watch::run(places, list, flags, session, screen).await;
    }
    show(&list, flags, session, screen)?;
    Ok(code)
}

/// Reads what there is to list, and says what is odd about the settings of the one cluster that was named.
async fn read_all(
    places: &[Place],
    flags: &ListFlags,
    session: &Session,
    screen: &mut Screen,
) -> Result<(BackupList, ExitCode), Failure> {
    match places {
        [only] if !flags.scope.is_given() => {
            let catalogue = catalogue(session, screen, &only.statefulset).await?;
            Ok((BackupList::of(&catalogue, only), ExitCode::Done))
        }
        several => Ok(read_several(several, session, screen).await),
    }
}

/// Reads several catalogues at once; one that cannot be read is said and left out.
async fn read_several(places: &[Place], session: &Session, screen: &mut Screen) -> (BackupList, ExitCode) {
    let looks = places.iter().map(|place| catalogue_at(session, place));
    let read: Vec<_> = stream::iter(looks).buffered(READERS).collect().await;
    let mut list = BackupList::of_several();
    let mut code = ExitCode::Done;
    for (place, catalogue) in places.iter().zip(read) {
        match catalogue {
            Ok(catalogue) => list.add(&catalogue, place),
            Err(failure) => {
                screen.warn(&left_out(place, &failure));
                code = ExitCode::DoneWithWarnings;
            }
        }
    }
    (list, code)
}

fn left_out(place: &Place, failure: &Failure) -> String {
    let why = failure.causes.first().map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("{}/{} is left out: {failure}{why}", place.namespace, place.statefulset)
}

/// Has a run look at the stores, and shows what they hold.
async fn live(flags: &ListFlags, session: &Session, screen: &mut Screen) -> CommandResult {
    let statefulset = find::cluster(session, flags.cluster.wanted()).await?;
    let order = order(&statefulset, Task::Inventory(InventoryRequest::default()), BTreeMap::new());
    let (job, followed) = ask(&order, flags.timeout, session, screen).await?;
    let ended = match followed {
        Followed::GoesOn(code) => return Ok(code),
        Followed::Ended(ended) => ended,
    };
    let End::Done(RunReport::Inventory(told)) = &ended.outcome.end else {
        return Ok(report::run(&job, &ended.outcome, Wish::default(), screen));
    };
    // Read after the look: what was finished meanwhile is then in both.
    let catalogue = catalogue(session, screen, &statefulset).await?;
    let place = Place::new(&session.connection()?.target.namespace, statefulset);
    let live = live::list(&catalogue, told, &ended.found, &place);
    show(&live.list, flags, session, screen)?;
    for difference in &live.differences {
        screen.warn(difference);
    }
    if live.has_unlisted {
        let rebuild = session.command("verify --rebuild-catalogue");
        screen.note(&format!("To enter what the stores have and the catalogue has not:\n  {rebuild}"));
    }
    match ended.outcome.code() {
        ExitCode::Done if !live.differences.is_empty() => Ok(ExitCode::DoneWithWarnings),
        code => Ok(code),
    }
}

/// The columns that flags ask for.
fn columns(flags: &ListFlags) -> Columns {
    Columns {
        namespace: flags.scope.all_namespaces,
        cluster: flags.scope.is_given(),
        wide: flags.output == Some(ListOutput::Wide),
    }
}

fn show(list: &BackupList, flags: &ListFlags, session: &Session, screen: &mut Screen) -> Result<(), Failure> {
    match &flags.output {
        Some(ListOutput::Machine(machine)) => screen.data(&machine.write(list, !flags.no_headers)),
        Some(ListOutput::Name) => screen.data(&names(&list.items)),
        None | Some(ListOutput::Wide) if list.items.is_empty() => screen.note(&none(list, flags, session)?),
        None | Some(ListOutput::Wide) => {
            screen.data(&table(&list.items, SystemClock.now(), columns(flags)).text(!flags.no_headers));
        }
    }
    Ok(())
}

fn none(list: &BackupList, flags: &ListFlags, session: &Session) -> Result<String, Failure> {
    match &list.place {
        Some(Place { namespace, statefulset, .. }) => {
            let none = format!("No backups found of {statefulset} in {namespace} namespace.");
            // A lost catalogue looks just like this, on a day when nobody wants to read that there is none.
            let look = || format!(" To look into the stores themselves:\n  {}", session.command("list --live"));
            Ok(none + &if flags.live { String::new() } else { look() })
        }
        None if list.clusters == 0 => find::none_found(session, &flags.scope),
        None => Ok(format!("No backups found of {} clusters.", list.clusters)),
    }
}

/// Reads the catalogue of a cluster; empty when there is none yet.
pub(crate) async fn catalogue(session: &Session, screen: &mut Screen, statefulset: &str) -> Result<Catalogue, Failure> {
    let settings = overrides::settings(session, screen, statefulset, &BTreeMap::new()).await?;
    read(session, &session.connection()?.target.namespace, statefulset, &settings).await
}

/// The same of a cluster anywhere, whose unknown settings are nobody's concern here.
pub(crate) async fn catalogue_at(session: &Session, place: &Place) -> Result<Catalogue, Failure> {
    let Place { namespace, statefulset, .. } = place;
    let stored = Preflight::new(session.connection()?.client.clone(), namespace).settings(statefulset).await;
    catalogue_under(session, place, &stored.map_err(|error| session.failure(&error))?).await
}

/// The same under settings that were read before, and whose unknown keys are told elsewhere.
pub(crate) async fn catalogue_under(
    session: &Session,
    place: &Place,
    stored: &BTreeMap<String, String>,
) -> Result<Catalogue, Failure> {
    let map = Settings::config_map_name(&place.statefulset);
    let settings = Settings::read(&place.statefulset, stored, &BTreeMap::new())
        .map_err(|bad| overrides::not_understood(&bad, &map, &place.namespace, session))?;
    read(session, &place.namespace, &place.statefulset, &settings).await
}

/// Reads the catalogue of a cluster whose settings are known.
pub(crate) async fn read(
    session: &Session,
    namespace: &str,
    statefulset: &str,
    settings: &Settings,
) -> Result<Catalogue, Failure> {
    let client = session.connection()?.client.clone();
    let store = ConfigMapCatalogue::new(client, namespace, statefulset, &settings.hash_config_map);
    Ok(store.read().await.map_err(|error| session.failure(&error))?.0)
}
