//! What must hold when no restore is under way any more.

use mariadb_backup::model::workload::Scale;

use super::State;

impl State {
    /// Everything that must hold when nothing is under way, and does not.
    pub(crate) fn unfinished(&self) -> Vec<String> {
        let mut found = self.broken.clone();
        if let Some(owed) = &self.obligation {
            found.push(format!("an obligation stands: {owed:?}"));
        }
        if !self.runners.is_empty() {
            found.push(format!("runners are left: {:?}", self.runners.keys()));
        }
        if self.scale != (Scale { replicas: self.replicas, first: 0 }) {
            found.push(format!("it asks for {:?}", self.scale));
        }
        let histories: std::collections::BTreeSet<_> = self.pods.values().map(|server| &server.serves).collect();
        let serves = self.pods.len() == usize::try_from(self.replicas).unwrap() && histories.len() == 1;
        if !serves || histories.contains(&None) {
            found.push(format!("not all serve one history: {:?}", self.pods));
        }
        let are_kept = self.last.as_ref().is_some_and(|last| last.report.kept_in.is_some());
        for (n, volume) in &self.volumes {
            if volume.old.is_some() && !are_kept {
                found.push(format!("old data are left on volume {n}"));
            }
        }
        if self.lent {
            found.push("what was lent is left".to_owned());
        }
        if self.proven.is_some() {
            found.push("what was unpacked is left".to_owned());
        }
        found
    }
}
