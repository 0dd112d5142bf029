//! The nodes that are always there.

use scheduler_core::store::{StoreError, StoreErrorKind};
use zookeeper_client::{Client, CreateMode, Error};

use super::{Shared, names::Names};
use crate::kit::HoldKind;

/// The version of the layout.
pub(super) const VERSION: u32 = 1;

/// Creates what is missing. Several nodes may do so at once.
pub(super) async fn prepare(shared: &Shared, client: &Client) -> Result<(), StoreError> {
    let names = &shared.names;
    if is_current(shared, client).await? {
        return Ok(());
    }
    for end in names.root().match_indices('/').map(|(at, _)| at).skip(1).chain([names.root().len()]) {
        create(shared, client, &names.root()[..end], "").await?;
    }
    for folder in folders(names) {
        create(shared, client, &folder, "").await?;
    }
    // The last one, so that a client that sees it sees them all.
    create(shared, client, &names.schema(), &VERSION.to_string()).await?;
    is_current(shared, client).await.map(drop)
}

fn folders(names: &Names) -> [String; 9] {
    [
        names.jobs(),
        names.ids(),
        names.due(),
        names.holders(HoldKind::Claim),
        names.holders(HoldKind::Run),
        names.holders(HoldKind::Stop),
        names.nodes(),
        names.all_runs(),
        names.changes(),
    ]
}

/// Whether the nodes are there.
async fn is_current(shared: &Shared, client: &Client) -> Result<bool, StoreError> {
    let data = match client.get_data(&shared.names.schema()).await {
        Ok((data, _)) => data,
        Err(Error::NoNode) => return Ok(false),
        Err(error) => return Err(shared.failures.of(error)),
    };
    let text = String::from_utf8_lossy(&data);
    match text.parse::<u32>() {
        Ok(version) if version <= VERSION => Ok(true),
        _ => {
            let what = format!(
                "its nodes have schema {text}, this version reads up to {VERSION}; update this node, or take another root"
            );
            Err(shared.failures.new_error(StoreErrorKind::Incompatible, what))
        }
    }
}

async fn create(shared: &Shared, client: &Client, path: &str, data: &str) -> Result<(), StoreError> {
    let fail = |error| shared.failures.of(error);
    // A client that may not create it may still use the one that is there.
    if client.check_stat(path).await.map_err(fail)?.is_some() {
        return Ok(());
    }
    let options = CreateMode::Persistent.with_acls(shared.acls());
    match client.create(path, data.as_bytes(), &options).await {
        Ok(_) | Err(Error::NodeExists) => Ok(()),
        Err(Error::NoNode) => {
            let what = format!("{path} cannot be created: the folder above it, or the client's own root, is not there");
            Err(shared.failures.new_error(StoreErrorKind::Incompatible, what))
        }
        Err(error) => Err(shared.failures.of(error)),
    }
}
