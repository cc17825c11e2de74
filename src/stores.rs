//! From a cluster's settings to where runners find the stores, and what is mounted for that.
//!
//! Pure, and shared by every workflow that starts a runner on the stores.

use crate::model::catalogue::Catalogue;
use crate::model::cluster::ClusterView;
use crate::model::names::{S3_CA_PATH, S3_CREDENTIALS_PATH, STORE_PATH};
use crate::model::order::{S3Store, Stores};
use crate::model::settings::Settings;
use crate::ports::conductor::S3Mounts;

/// What plans of work on stored backups are made from.
#[derive(Clone, Copy)]
pub struct Inputs<'a> {
    /// What backups there should be.
    pub catalogue: &'a Catalogue,
    /// The cluster's settings.
    pub settings: &'a Settings,
    /// The cluster.
    pub cluster: &'a ClusterView,
    /// The Job's name.
    pub job: &'a str,
}

/// Returns where a runner that only reads finds the stores that are used.
#[must_use]
pub fn of(settings: &Settings, cluster: &ClusterView) -> Stores {
    used(settings, cluster, None)
}

/// The same for one that also writes: in S3 only to a place of this catalogue's cluster, or of nobody's.
#[must_use]
pub fn to_write(settings: &Settings, cluster: &ClusterView, catalogue: &Catalogue) -> Stores {
    used(settings, cluster, Some(catalogue.owner.as_deref().unwrap_or(&cluster.uid)))
}

fn used(settings: &Settings, cluster: &ClusterView, owner: Option<&str>) -> Stores {
    Stores {
        local: settings.stores.local().then(|| STORE_PATH.to_owned()),
        s3: settings.stores.s3().then(|| s3(settings, cluster, owner)),
    }
}

fn s3(settings: &Settings, cluster: &ClusterView, owner: Option<&str>) -> S3Store {
    let s3 = &settings.s3;
    // A foreign server seldom has a certificate for every bucket's host name, nor all of AWS' newest sums.
    let is_foreign = s3.endpoint.is_some();
    let own_prefix = || format!("{}/{}", cluster.namespace, cluster.statefulset);
    S3Store {
        endpoint: s3.endpoint.clone(),
        bucket: s3.bucket.clone(),
        prefix: if s3.prefix.is_empty() { own_prefix() } else { s3.prefix.clone() },
        region: s3.region.clone(),
        path_style: s3.path_style.unwrap_or(is_foreign),
        checksums_when_required: s3.checksums_when_required.unwrap_or(is_foreign),
        owner: owner.map(str::to_owned),
        max_parts: s3.max_parts,
        bytes_per_sec: s3.bytes_per_sec,
        credentials: s3.secret.is_some().then(|| S3_CREDENTIALS_PATH.to_owned()),
        ca_file: s3.ca_config_map.is_some().then(|| format!("{S3_CA_PATH}/ca.crt")),
    }
}

/// Returns what has to be mounted for a runner that uses S3; `None` when none does.
#[must_use]
pub fn mounts(settings: &Settings) -> Option<S3Mounts> {
    let s3 = &settings.s3;
    settings.stores.s3().then(|| S3Mounts { secret: s3.secret.clone(), ca_config_map: s3.ca_config_map.clone() })
}
