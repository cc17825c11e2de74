//! How runs ended that look at the cluster or put it right; commands of their own show more of it.

use super::Shown;
use super::words::count;
use crate::model::order::StoreName;
use crate::model::report::{InventoryReport, RecoverReport, StatusReport};

pub(super) fn recovered(report: &RecoverReport) -> Shown {
    let Some(run) = &report.run else {
        return Shown { summary: vec!["Nothing is owed to the cluster.".to_owned()], ..Shown::default() };
    };
    let what = report.what.as_deref().unwrap_or("what it owed");
    Shown { lines: vec![format!("settled what run {run} owed: {what}")], ..Shown::default() }
}

pub(super) fn replicas(report: &StatusReport) -> Shown {
    let asked = u32::try_from(report.replicas.len()).unwrap_or(u32::MAX);
    Shown {
        lines: report.findings.clone(),
        summary: vec![format!("{} asked", count(asked, "replica"))],
        ..Shown::default()
    }
}

pub(super) fn stores(report: &InventoryReport) -> Shown {
    let held = |store: StoreName, number: Option<u32>| {
        number.map(|number| format!("{} in {}", count(number, "backup"), store.word()))
    };
    let held = [held(StoreName::Local, report.local_count), held(StoreName::S3, report.s3_count)];
    Shown { lines: held.into_iter().flatten().collect(), ..Shown::default() }
}
