//! One call to the servers, and how it reads.

use chrono::{DateTime, Utc};
use futures_util::future::try_join_all;
use scheduler_core::{JobId, NodeId, store::StoreError};
use serde_json::{Map, Value};
use zookeeper_client::{Acls, Client, Error, Stat};

use super::{
    Shared,
    failure::Failures,
    names::{Entry, Names, unescape},
    write::{FULL_TEXT, version_from},
};
use crate::kit::{Document, HoldKind, Index};

/// A verb under way.
#[derive(Debug)]
pub(super) struct Call<'a> {
    pub(super) shared: &'a Shared,
    pub(super) client: Client,
}

/// By what a document was found, which it has to agree with: another node may have written it meanwhile.
#[derive(Debug, Clone, Copy)]
pub(super) enum Via<'a> {
    Key,
    Id(&'a JobId),
    Entry(&'a Entry),
    Hold(HoldKind, &'a NodeId),
}

impl<'a> Call<'a> {
    pub(super) fn names(&self) -> &'a Names {
        &self.shared.names
    }

    pub(super) fn failures(&self) -> &'a Failures {
        &self.shared.failures
    }

    pub(super) fn acls(&self) -> Acls<'static> {
        self.shared.acls()
    }

    /// Lets the server that we are connected to catch up with the others.
    pub(super) async fn sync(&self) -> Result<(), StoreError> {
        self.client.sync("/").await.map_err(|error| self.failures().of(error))
    }

    /// The names in a folder; none if it is not there.
    pub(super) async fn children(&self, folder: &str) -> Result<Vec<String>, StoreError> {
        match self.client.list_children(folder).await {
            Ok(children) => Ok(children),
            Err(Error::NoNode) => Ok(Vec::new()),
            Err(error) => Err(self.failures().of(error)),
        }
    }

    /// The data of a node, if it is there.
    pub(super) async fn data(&self, path: &str) -> Result<Option<(Vec<u8>, Stat)>, StoreError> {
        match self.client.get_data(path).await {
            Ok(found) => Ok(Some(found)),
            Err(Error::NoNode) => Ok(None),
            Err(error) => Err(self.failures().of(error)),
        }
    }

    /// Documents by where they were found; without those that are not there any more.
    pub(super) async fn documents<'d>(
        &self,
        found: impl IntoIterator<Item = (String, Via<'d>)>,
    ) -> Result<Vec<Document>, StoreError> {
        let read = found.into_iter().map(|(key, via)| self.document(key, via));
        Ok(try_join_all(read).await?.into_iter().flatten().collect())
    }

    pub(super) async fn document(&self, key: String, via: Via<'_>) -> Result<Option<Document>, StoreError> {
        let found = self.data(&self.names().job(&key)).await?;
        Ok(found.and_then(|(data, stat)| via.read(key, &data, &stat)))
    }

    /// The documents with these live ids, in their order.
    pub(super) async fn by_live_ids(&self, ids: &[JobId]) -> Result<Vec<Document>, StoreError> {
        let keys = ids.iter().map(|id| async move { self.data(&self.names().id(id.as_str())).await });
        let keys = try_join_all(keys).await?;
        let found = ids.iter().zip(keys).filter_map(|(id, key)| {
            let key = String::from_utf8_lossy(&key?.0).into_owned();
            Some((key, Via::Id(id)))
        });
        self.documents(found).await
    }
}

impl Via<'_> {
    /// The document, if it agrees. An unreadable one has what it is found by, so that it can be put away.
    fn read(self, key: String, data: &[u8], stat: &Stat) -> Option<Document> {
        let mut document = Document::parse(key, version_from(stat.version), data);
        match self {
            Self::Id(id) if !document.fields.get("id").is_some_and(Value::is_string) => {
                document.fields.insert("id".to_owned(), id.as_str().into());
            }
            Self::Entry(entry) if serde_json::from_slice::<Map<String, Value>>(data).is_err() => {
                document.fields.extend(fields_of(&entry.index));
            }
            _ => {}
        }
        if data.len() > FULL_TEXT {
            // Nothing could be written to it; its removal can. It is kept, and listed with the reason.
            let reason = format!("it has {} bytes, so that no more fit into its node", data.len());
            document.fields.insert("state".to_owned(), "quarantined".into());
            document.fields.insert("reason".to_owned(), reason.into());
        }
        let agrees = match self {
            // An entry decides nothing.
            Self::Key | Self::Entry(_) => true,
            Self::Id(id) => document.index().live_id.as_ref() == Some(id),
            Self::Hold(HoldKind::Claim, node) => document.index().claim.is_some_and(|(owner, _)| owner == *node),
            Self::Hold(HoldKind::Run, node) => document.index().running.contains(node),
            Self::Hold(HoldKind::Stop, node) => document.index().stopping.contains(node),
        };
        agrees.then_some(document)
    }
}

fn fields_of(index: &Index) -> impl Iterator<Item = (String, Value)> {
    let time = |time: DateTime<Utc>| Value::from(time.timestamp_micros());
    let claim = index.claim.as_ref();
    let fields = [
        ("due", index.due.map(time)),
        ("task", Some(index.task.as_str().into())),
        ("v", Some(index.v.into())),
        ("owner", claim.map(|(owner, _)| owner.as_str().into())),
        ("claim_until", claim.map(|(_, until)| time(*until))),
    ];
    fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)))
}

/// The key in a name of the folder of what a node holds.
pub(super) fn held_name(hold: HoldKind, node: &NodeId, name: &str) -> Option<String> {
    match hold {
        HoldKind::Claim => Entry::parse_claimed(node, name).map(|entry| entry.key),
        HoldKind::Run | HoldKind::Stop => unescape(name),
    }
}
