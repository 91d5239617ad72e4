//! Data sources that nothing comes to any more until the process ends: a deploy could neither be finished nor taken back, and what would come to half of it now would go with that
//! half when the next start deals with it.
//!
//! Events go on being written to disk, for the next process; whoever else wants to bring rows is told.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::PoisonError;

use pipewright_compiler::project::ResourceName;
use tokio::sync::{OwnedRwLockWriteGuard, watch};

use super::{Ingest, IngestError};

/// What is shut.
#[derive(Debug, Default)]
pub(super) struct Shut {
    names: watch::Sender<BTreeSet<String>>,
    /// Held for good.
    gates: Mutex<Vec<OwnedRwLockWriteGuard<()>>>,
}

impl Ingest {
    /// Lets nothing come to these data sources any more. For one who has them alone, and must not give them back.
    pub(crate) fn shut(&self, names: &BTreeSet<String>, gates: Vec<OwnedRwLockWriteGuard<()>>) {
        let mut held = self
            .shut
            .gates
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        held.extend(gates);
        self.shut
            .names
            .send_modify(|shut| shut.extend(names.iter().cloned()));
        tracing::error!(
            datasources = names
                .iter()
                .map(String::as_str)
                .collect::<Vec<_>>()
                .join(", "),
            "no rows come to these data sources until the server is started anew"
        );
    }

    /// Lets rows come again, when what was between two versions has been put in order.
    pub(crate) fn open_up(&self) {
        let mut held = self
            .shut
            .gates
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        self.shut.names.send_modify(BTreeSet::clear);
        held.clear();
    }

    /// Refuses rows for a data source that nothing comes to any more.
    pub(super) fn refuse_if_shut(&self, name: &ResourceName) -> Result<(), IngestError> {
        let shut = self.shut.names.borrow();
        if shut.contains(&name.to_string()) {
            return Err(IngestError::Shut(name.to_string()));
        }
        Ok(())
    }

    /// Waits for a gate of one of these data sources, unless nothing comes to it any more, be it from a moment in between on.
    pub(super) async fn unless_shut<T>(
        &self,
        names: &BTreeSet<String>,
        gate: impl Future<Output = T>,
    ) -> Result<T, IngestError> {
        let mut shut = self.shut.names.subscribe();
        let found =
            |shut: &BTreeSet<String>| names.iter().find(|name| shut.contains(*name)).cloned();
        tokio::select! {
            biased;
            shut = shut.wait_for(|shut| found(shut).is_some()) => {
                let name = shut.ok().and_then(|shut| found(&shut));
                Err(IngestError::Shut(name.unwrap_or_default()))
            }
            gate = gate => Ok(gate),
        }
    }
}
