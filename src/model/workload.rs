//! The StatefulSet as a restore changes it, and everything about it that could get in the way.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::cluster::ClaimView;

/// How many replicas a StatefulSet asks for, and from which ordinal on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Scale {
    /// `spec.replicas`.
    pub replicas: i32,
    /// `spec.ordinals.start`.
    pub first: i32,
}

impl Scale {
    /// Nobody.
    #[must_use]
    pub fn none(self) -> Self {
        Self { replicas: 0, ..self }
    }

    /// That one alone.
    #[must_use]
    pub fn alone(replica: &Replica) -> Self {
        Self { replicas: 1, first: replica.ordinal }
    }

    /// As many as can run of these with that one, and without that other one.
    #[must_use]
    pub fn around(self, one: &Replica, without: &Replica) -> Self {
        if one.ordinal < without.ordinal {
            Self { replicas: without.ordinal - self.first, ..self }
        } else {
            let first = without.ordinal + 1;
            Self { replicas: self.first + self.replicas - first, first }
        }
    }
}

/// One replica by its ordinal, whether or not its pod exists.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Replica {
    /// Its ordinal.
    pub ordinal: i32,
    /// Its pod's name.
    pub pod: String,
    /// The claim of its data volume.
    pub claim: String,
}

/// In which way a cluster's servers find out who starts the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// As openstack-helm and MOSK do it: that ConfigMap's annotations say who.
    OpenstackHelm {
        /// The ConfigMap.
        state_config_map: String,
    },
    /// As the Bitnami charts do it: ordinal 0, where its `grastate.dat` lets it.
    Bitnami,
    /// By mariadb-operator, which would fight with anybody who scales its StatefulSet.
    MariadbOperator,
    /// In a way of its own.
    Plain,
}

impl Flavour {
    /// What people call it.
    #[must_use]
    pub fn words(&self) -> &'static str {
        match self {
            Self::OpenstackHelm { .. } => "openstack-helm",
            Self::Bitnami => "bitnami",
            Self::MariadbOperator => "mariadb-operator",
            Self::Plain => "plain",
        }
    }

    /// Reads what somebody says it is: `plain`, `bitnami`, or `openstack-helm/CONFIGMAP`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once('/') {
            None if text == "plain" => Some(Self::Plain),
            None if text == "bitnami" => Some(Self::Bitnami),
            Some(("openstack-helm", name)) if !name.is_empty() => {
                Some(Self::OpenstackHelm { state_config_map: name.to_owned() })
            }
            _ => None,
        }
    }

    /// Why it is not known how the servers are told to start the cluster, if it is not, for it was not said either:
    /// that is asked for, never guessed.
    #[must_use]
    pub fn unknown_start(&self, is_told: bool) -> Option<&'static str> {
        match self {
            Self::OpenstackHelm { .. } | Self::Bitnami => None,
            Self::MariadbOperator => Some(
                "the servers of mariadb-operator start a cluster by a file among their settings (1-bootstrap.cnf), which is not written here; restore into a StatefulSet of another kind with --to, or say how these start with --flavour plain --bootstrap grastate; for good: kubectl mariadb-backup setup --flavour plain --bootstrap grastate",
            ),
            Self::Plain if is_told => None,
            Self::Plain => Some(
                "it is not known how the servers of this StatefulSet are told to start the cluster; if their start script goes by safe_to_bootstrap in grastate.dat, say so with --bootstrap grastate; for good: kubectl mariadb-backup setup --bootstrap grastate",
            ),
        }
    }

    /// The ConfigMap by which servers in the way of openstack-helm find out who starts the cluster.
    #[must_use]
    pub fn state_config_map(&self) -> Option<&str> {
        match self {
            Self::OpenstackHelm { state_config_map } => Some(state_config_map),
            Self::Bitnami | Self::MariadbOperator | Self::Plain => None,
        }
    }

    /// Where the data lie below the mounted volume, when no server can be asked.
    #[must_use]
    pub fn usual_data_directory(&self) -> &'static str {
        match self {
            Self::Bitnami => "data",
            Self::OpenstackHelm { .. } | Self::MariadbOperator | Self::Plain => "",
        }
    }
}

/// Everything about a StatefulSet that decides whether and how it can be stopped and started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Workload {
    /// What it asks for.
    pub scale: Scale,
    /// Its replicas, lowest ordinal first, each with its claim as it is; `None` for one that is missing. Of
    /// one that stands at 0, those whose claims are there.
    pub replicas: Vec<(Replica, Option<ClaimView>)>,
    /// The way its servers start.
    pub flavour: Flavour,
    /// Whether Kubernetes deletes the claims of replicas that are scaled away.
    pub deletes_claims: bool,
    /// Whether this Kubernetes can start another ordinal than the lowest alone.
    pub starts_at_any_ordinal: bool,
    /// Autoscalers that would scale it back.
    pub autoscalers: Vec<String>,
    /// The object that owns it, whose operator would scale it back.
    pub controller: Option<Keeper>,
    /// What this product may not do and would have to, in words.
    pub trouble: Vec<String>,
    /// What sets it back to what stands in a repository.
    pub keepers: Vec<Keeper>,
    /// How long its servers take to stop and to start.
    pub pace: Pace,
    /// Whether nodes and attachments of volumes may be looked at, so that a volume is known to be free and a node to be there.
    pub sees_nodes: bool,
}

/// How long servers take to stop and to start, as far as Kubernetes knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// The longest that one may take to stop before it is killed (`terminationGracePeriodSeconds`).
    pub stop_at_most: Duration,
    /// From the start of its container until it was Ready, of the quickest that runs; `None` where none is Ready.
    pub start: Option<Duration>,
}

impl Workload {
    /// The claim of a replica, as it is.
    #[must_use]
    pub fn claim_of(&self, replica: &Replica) -> Option<&ClaimView> {
        self.replicas.iter().find(|(of, _)| of == replica)?.1.as_ref()
    }
}

/// An object by which somebody sets a StatefulSet back: a GitOps tool to what stands in a repository, an
/// operator to what its own object asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keeper {
    /// The object, in words.
    pub name: String,
    /// How it is paused: a command, where there is one.
    pub pause: String,
}

/// A pod that has a claim mounted, or may still have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimUser {
    /// The claim.
    pub claim: String,
    /// The pod, or the attachment of the volume to a node.
    pub by: String,
    /// Its node.
    pub node: Option<String>,
    /// Whether it is being deleted.
    pub terminating: bool,
}

/// How waiting for a pod to be Ready ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Started {
    /// It is Ready.
    Ready,
    /// It is not, and why, as far as its pod tells.
    Not(String),
}
