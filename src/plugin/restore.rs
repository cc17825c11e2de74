//! `restore`: shows the plan, asks for the cluster's name, and orders a run that sets the cluster back.
//!
//! The plan is made in the cluster by a run that changes nothing; what was shown is what is ordered.

mod elsewhere;

use std::io::BufRead;

use super::ask::{confirm_name, unasked};
use super::cli::RestoreFlags;
use super::connect::Session;
use super::follow::Followed;
use super::order::{ask, order, see_through};
use super::overrides::of_restore_flags;
use super::{CommandResult, backups, find, replicas, report};
use crate::adapters::kubernetes::cluster::KubernetesCluster;
use crate::adapters::kubernetes::orders::Orders;
use crate::exit_code::ExitCode;
use crate::model::cluster::ClusterView;
use crate::model::obligation::{Obligation, RestoreDebt};
use crate::model::order::{Order, RecoverRequest, RestoreRequest, StoreName, Task};
use crate::model::outcome::{End, Failure};
use crate::model::report::{RestorePreview, RunReport};
use crate::ports::conductor::Cluster;
use crate::render::screen::Screen;
use elsewhere::Target;

pub(crate) async fn run(
    flags: &RestoreFlags,
    session: &Session,
    screen: &mut Screen,
    asking: Option<Box<dyn BufRead + Send>>,
) -> CommandResult {
    if !flags.dry_run && !flags.yes && asking.is_none() {
        return Err(unasked("restore"));
    }
    check_places(flags)?;
    let source = find::cluster_or_remains(session, flags.statefulset.as_deref()).await?;
    let target = elsewhere::target(flags.to.as_deref(), session, &source).await?;
    let view = look(&target.session, &target.statefulset).await?;
    if let Some((owed, debt)) = unfinished(&view) {
        return go_on(owed, debt, flags, &target, screen, asking).await;
    }
    if let Some(leader) = flags.leader {
        replicas::check_leader(leader, &view, &session.command(&again(flags)))?;
    }
    let mut chosen = backups::choose(std::slice::from_ref(&flags.backup), &source, session, screen).await?;
    let Some(backup) = chosen.wanted.pop() else {
        return Err(Failure::new(ExitCode::NotFound, format!("there is no backup {}", flags.backup)));
    };
    let foreign = elsewhere::foreign(&target, &backup, &chosen.catalogue, session, &source).await?;
    let mut settings = foreign.as_ref().map(|foreign| foreign.settings.clone()).unwrap_or_default();
    settings.extend(of_restore_flags(&flags.settings)?);
    let request = RestoreRequest {
        backup,
        store: flags.store.map(Into::into),
        leader: flags.leader,
        refill: flags.refill.map(Into::into),
        replicas: flags.replicas,
        scratch_claim: flags.scratch_claim.clone(),
        keep_old_data: flags.keep_old_data,
        no_rollback: flags.no_rollback,
        gitops_paused: flags.gitops_paused,
        operator_suspended: flags.operator_suspended,
        ignore_logins: flags.ignore_logins,
        ignore_rows: flags.ignore_rows,
        sets_aside: None,
        dry_run: true,
        of_another: foreign.map(|foreign| Box::new(foreign.backup)),
    };
    let asked = order(&target.statefulset, Task::Restore(request.clone()), settings.clone());
    let preview = match preview(&asked, flags, &target.session, screen).await? {
        Seen::Preview(preview) => preview,
        Seen::Ended(code) => return Ok(code),
    };
    if !flags.yes {
        let name = &target.statefulset;
        let what = if request.of_another.is_some() { "All its data are" } else { "Everything after the backup is" };
        confirm_name(&format!("{what} lost."), (&target.session.namespace()?, name), "restore", screen, asking).await?;
    }
    // What was shown, not what the rules would choose a minute later.
    let leader = preview.leader.rsplit('-').next().and_then(|ordinal| ordinal.parse().ok());
    let sets_aside = Some(preview.sets_aside);
    let request = RestoreRequest { dry_run: false, leader: request.leader.or(leader), sets_aside, ..request };
    see_through(&order(&target.statefulset, Task::Restore(request), settings), &flags.run, &target.session, screen)
        .await
}

/// Refuses to read from one volume and unpack on another: a runner is placed beside one.
fn check_places(flags: &RestoreFlags) -> Result<(), Failure> {
    let is_local = flags.store.is_some_and(|store| StoreName::Local == store.into());
    match &flags.scratch_claim {
        Some(claim) if is_local => {
            let what = format!(
                "what is unpacked on claim {claim} is taken from S3, and --store asks for the volume of backups"
            );
            Err(Failure::new(ExitCode::Usage, what).with_hint("leave --store out, or --scratch-claim"))
        }
        _ => Ok(()),
    }
}

/// The same command, as far as it says which backup and which cluster.
fn again(flags: &RestoreFlags) -> String {
    let of = flags.statefulset.iter().map(|name| format!(" --statefulset {name}"));
    let to = flags.to.iter().map(|name| format!(" --to {name}"));
    of.chain(to).fold(format!("restore {}", flags.backup), |line, flag| line + &flag)
}

/// What came of asking for the plan.
enum Seen {
    Preview(Box<RestorePreview>),
    /// There is nothing to go on with.
    Ended(ExitCode),
}

async fn preview(look: &Order, flags: &RestoreFlags, session: &Session, screen: &mut Screen) -> Result<Seen, Failure> {
    let (job, followed) = ask(look, flags.run.wait.timeout, session, screen).await?;
    let ended = match followed {
        Followed::GoesOn(code) => {
            screen.note("The plan was not waited for, and nothing is restored.");
            return Ok(Seen::Ended(code));
        }
        Followed::Ended(ended) => ended,
    };
    match ended.outcome.end {
        End::Done(RunReport::Preview(preview)) if !flags.dry_run => {
            for line in report::plan_lines(&preview) {
                screen.note(&line);
            }
            Ok(Seen::Preview(preview))
        }
        _ => Ok(Seen::Ended(report::run(&job, &ended.outcome, flags.run.wish(), screen))),
    }
}

async fn look(session: &Session, statefulset: &str) -> Result<ClusterView, Failure> {
    let connection = session.connection()?;
    let cluster = KubernetesCluster::new(connection.client.clone(), &connection.target.namespace, statefulset);
    cluster.view().await.map_err(|error| session.failure(&error))
}

/// Finds a restore that its run did not bring to its end.
fn unfinished(view: &ClusterView) -> Option<(&Obligation, &RestoreDebt)> {
    let owed = view.obligation.as_ref()?;
    Some((owed, owed.debt.restore()?))
}

/// A restore that was left is all that can be done to this cluster.
async fn go_on(
    owed: &Obligation,
    debt: &RestoreDebt,
    flags: &RestoreFlags,
    target: &Target,
    screen: &mut Screen,
    asking: Option<Box<dyn BufRead + Send>>,
) -> CommandResult {
    let Target { session, statefulset } = target;
    if is_at_work(&owed.run, session).await? {
        return Err(under_way(owed, debt, session));
    }
    let what = format!(
        "Run {} began to restore {} at {} and has ended while {}.",
        owed.run,
        debt.backup.name(),
        owed.since,
        debt.stage.words()
    );
    screen.note(&what);
    let wanted = flags.backup.trim_start_matches("backup/");
    let backup = &debt.backup;
    let is_same = [backup.name().to_string(), backup.to_string(), backup.directory()].iter().any(|name| name == wanted);
    if !is_same && !flags.dry_run {
        let what = "another restore is not at its end, and it has to be before this one can begin";
        return Err(Failure::new(ExitCode::Refused, what).with_hint(session.command("recover")));
    }
    if flags.dry_run {
        if !is_same {
            screen
                .note(&format!("{wanted} is another backup; it cannot be restored before that restore is at its end."));
        }
        screen.note(&format!("To finish it, or to bring the old cluster back:\n  {}", session.command("recover")));
        return Ok(ExitCode::Refused);
    }
    if !flags.yes {
        confirm_name(
            "Nothing else can be restored before.",
            (&session.namespace()?, statefulset),
            "restore",
            screen,
            asking,
        )
        .await?;
    }
    let order = order(statefulset, Task::Recover(RecoverRequest::default()), of_restore_flags(&flags.settings)?);
    see_through(&order, &flags.run, session, screen).await
}

/// Whether a run has not ended yet.
async fn is_at_work(run: &str, session: &Session) -> Result<bool, Failure> {
    let connection = session.connection()?;
    let orders = Orders::new(connection.client.clone(), &connection.target.namespace);
    let run = orders.run(run).await.map_err(|error| session.failure(&error))?;
    Ok(run.is_some_and(|run| run.is_running))
}

/// Whoever is sent to settle what a living run owes is locked out.
fn under_way(owed: &Obligation, debt: &RestoreDebt, session: &Session) -> Failure {
    let (run, since, backup) = (&owed.run, owed.since, debt.backup.name());
    let what =
        format!("run {run} restores {backup} since {since}, and nothing else can be restored before it has ended");
    Failure::new(ExitCode::Locked, what)
        .with_cause(format!("it is {}", debt.stage.words()))
        .with_hint(session.logs_of(run))
}
