//! Documents of jobs, runs and nodes as BSON.
//!
//! Beside its fields a document has `_id`, the key; `version`, drawn anew with each write; and what indexes need: `live_id`,
//! the id of a live job; `running` and `asked`, the nodes that run a run of it, and are asked to stop one; `tags`; and what names its
//! [runs](super::runs).

use std::collections::BTreeSet;

use ::mongodb::bson::{Bson, Document as Bsons, doc, oid::ObjectId};
use scheduler_core::{NodeId, Run, RunId, Tags, Uid};
use serde_json::{Map, Value};

use super::runs::{FIRED, MARKED, names_of_runs};
use crate::kit::{Document, Index, Node, Replace, node_fields, node_of, run_fields, run_of};

/// The fields that are computed from the others.
const COMPUTED: [&str; 6] = ["live_id", "running", "asked", TAGS, FIRED, MARKED];

/// The tags of a job, and their index.
pub(super) const TAGS: &str = "tags";

/// A job's document as it is added.
pub(super) fn added(document: &Document, version: i64) -> Bsons {
    let mut bsons = doc! { "_id": &document.key, "version": version };
    bsons.extend(
        document.fields.iter().filter(|(name, _)| *name != "uid").map(|(name, value)| (name.clone(), bson_of(value))),
    );
    let Index { live_id, running, stopping, .. } = document.index();
    bsons.extend(live_id.map(|id| ("live_id".to_owned(), id.as_str().into())));
    bsons.extend(names(&running).map(|nodes| ("running".to_owned(), nodes)));
    bsons.extend(names(&stopping).map(|nodes| ("asked".to_owned(), nodes)));
    for (name, value) in found_by(document) {
        bsons.extend(value.map(|value| (name.to_owned(), value)));
    }
    bsons
}

/// What searches find the document by: tags and runs.
pub(super) fn found_by(document: &Document) -> [(&'static str, Option<Bson>); 3] {
    let [fired, marked] = runs_of(document);
    [(TAGS, tags_of(document)), (FIRED, fired), (MARKED, marked)]
}

/// The tags of a job's document; none if it has none or cannot be read.
fn tags_of(document: &Document) -> Option<Bson> {
    #[derive(serde::Deserialize)]
    struct Tagged {
        #[serde(default)]
        tags: Tags,
    }
    let body = document.fields.get("body").and_then(Value::as_str)?;
    let tagged: Tagged = serde_json::from_str(body).ok()?;
    listed(tagged.tags.iter().map(Bson::from).collect())
}

/// What names the runs of a job's document.
fn runs_of(document: &Document) -> [Option<Bson>; 2] {
    let lists = ["runs", "ended"].into_iter().filter_map(|name| document.fields.get(name).and_then(Value::as_array));
    let run = |run: &Value| {
        let word = |name| run.get(name).and_then(Value::as_str);
        let word = word("verdict").or_else(|| word("state"))?.to_owned();
        Some((run.get("fire_time")?.as_i64()?, run.get("seq")?.as_i64()?, word))
    };
    let (fired, marked) = names_of_runs(&document.key, lists.flatten().filter_map(run));
    [listed(fired), listed(marked)]
}

fn listed(values: Vec<Bson>) -> Option<Bson> {
    (!values.is_empty()).then_some(Bson::Array(values))
}

/// Which document a write is for, if no other call has written it since it was read.
pub(super) fn as_read(document: &Document) -> Bsons {
    let mut query = doc! { "_id": id_of(&document.key) };
    match document.version {
        // Another program may have written anything.
        0 => query.insert(
            "$expr",
            doc! { "$or": [{ "$ne": [{ "$type": "$version" }, "long"] }, { "$eq": ["$version", 0_i64] }] },
        ),
        version => query.insert("version", version.cast_signed()),
    };
    query
}

/// What a write changes. Fields that stay as they are, among them those that another program has added, are left alone.
pub(super) fn changes(replace: &Replace, new: &Document, version: i64) -> Bsons {
    let old = &replace.old.fields;
    let is_other = |(name, value): &(&String, &Value)| *name != "uid" && old.get(*name) != Some(*value);
    let mut set: Bsons =
        new.fields.iter().filter(is_other).map(|(name, value)| (name.clone(), bson_of(value))).collect();
    let mut unset: Bsons =
        old.keys().filter(|name| !new.fields.contains_key(*name)).map(|name| (name.clone(), Bson::from(""))).collect();
    set.insert("version", version);
    let Index { live_id, running, stopping, .. } = new.index();
    if live_id.is_none() {
        unset.insert("live_id", "");
    }
    for (name, nodes) in [("running", running), ("asked", stopping)] {
        match names(&nodes) {
            Some(nodes) => set.insert(name, nodes),
            None => unset.insert(name, ""),
        };
    }
    let mut computed = Vec::new();
    if old.get("body") != new.fields.get("body") {
        computed.push((TAGS, tags_of(new)));
    }
    for ((name, before), after) in [FIRED, MARKED].into_iter().zip(runs_of(&replace.old)).zip(runs_of(new)) {
        if before != after {
            computed.push((name, after));
        }
    }
    for (name, value) in computed {
        match value {
            Some(value) => set.insert(name, value),
            None => unset.insert(name, ""),
        };
    }
    match unset.is_empty() {
        true => doc! { "$set": set },
        false => doc! { "$set": set, "$unset": unset },
    }
}

/// A job's document as it is read; none if its `_id` is nothing that a key is made of.
pub(super) fn document_of(mut bsons: Bsons) -> Option<Document> {
    let key = key_of(&bsons.remove("_id")?)?;
    let version = match bsons.remove("version") {
        Some(Bson::Int64(version)) => version.cast_unsigned(),
        _ => 0,
    };
    for name in COMPUTED {
        bsons.remove(name);
    }
    Some(Document { key, version, fields: fields_of(bsons) })
}

/// The `_id` of a document with this key, which another program may have left to the server to draw.
fn id_of(key: &str) -> Bson {
    object_id(key).map_or_else(|| key.into(), |id| doc! { "$in": [key, id] }.into())
}

/// The key as an `_id` that the server has drawn, if it can be one.
pub(super) fn object_id(key: &str) -> Option<Bson> {
    ObjectId::parse_str(key).ok().map(Bson::ObjectId)
}

/// The key of a document with this `_id`.
pub(super) fn key_of(id: &Bson) -> Option<String> {
    match id {
        Bson::String(key) => Some(key.clone()),
        Bson::ObjectId(id) => Some(id.to_hex()),
        _ => None,
    }
}

/// An archived run.
pub(super) fn archived(run: &Run) -> Bsons {
    let mut bsons = doc! { "_id": archived_id(run.id) };
    bsons.extend(run_fields(run).iter().map(|(name, value)| (name.clone(), bson_of(value))));
    bsons
}

/// The `_id` of an archived run, in the order of the numbers.
pub(super) fn archived_id(run: RunId) -> String {
    format!("{}-{:020}", run.uid, run.seq)
}

/// The `_id`s of the archived runs of a job with numbers below the given one.
pub(super) fn archived_below(uid: Uid, below: u64) -> Bsons {
    doc! { "$gte": archived_id(RunId { uid, seq: 0 }), "$lt": archived_id(RunId { uid, seq: below }) }
}

/// An archived run as it is read; none if it cannot be read.
pub(super) fn run_of_archived(bsons: Bsons) -> Option<Run> {
    run_of(&fields_of(bsons)).ok()
}

/// A whole number of whichever type.
pub(super) fn whole(bson: &Bson) -> Option<i64> {
    match bson {
        Bson::Int64(number) => Some(*number),
        Bson::Int32(number) => Some(i64::from(*number)),
        Bson::Double(number) => Some(*number as i64),
        _ => None,
    }
}

/// A node.
pub(super) fn node(node: &Node, version: i64) -> Bsons {
    let mut bsons = doc! { "_id": node.id.as_str(), "version": version };
    let fields = node_fields(node);
    bsons.extend(fields.iter().filter(|(name, _)| *name != "id").map(|(name, value)| (name.clone(), bson_of(value))));
    bsons
}

/// A node as it is read.
pub(super) fn node_of_bsons(mut bsons: Bsons) -> Option<Node> {
    let Bson::String(id) = bsons.remove("_id")? else { return None };
    let version = bsons.get_i64("version").unwrap_or_default().cast_unsigned();
    Some(node_of(id, version, &fields_of(bsons)))
}

fn names(nodes: &BTreeSet<NodeId>) -> Option<Bson> {
    (!nodes.is_empty()).then(|| nodes.iter().map(|node| Bson::from(node.as_str())).collect::<Vec<_>>().into())
}

fn fields_of(bsons: Bsons) -> Map<String, Value> {
    bsons.into_iter().map(|(name, bson)| (name, value_of(bson))).collect()
}

fn value_of(bson: Bson) -> Value {
    match bson {
        Bson::String(text) => text.into(),
        Bson::Int64(number) => number.into(),
        Bson::Int32(number) => number.into(),
        // Shells and languages without whole numbers write them so.
        Bson::Double(number) if number.fract() == 0.0 && number.abs() < 9e15 => (number as i64).into(),
        Bson::Double(number) => number.into(),
        Bson::Boolean(is_true) => is_true.into(),
        Bson::Null | Bson::Undefined => Value::Null,
        Bson::Array(values) => values.into_iter().map(value_of).collect(),
        Bson::Document(bsons) => fields_of(bsons).into(),
        // No field of a job has such a type; it is shown when it is said what is wrong.
        other => other.to_string().into(),
    }
}

fn bson_of(value: &Value) -> Bson {
    match value {
        Value::Null => Bson::Null,
        Value::Bool(is_true) => (*is_true).into(),
        Value::Number(number) => match number.as_i64() {
            Some(number) => number.into(),
            None => number.as_f64().map_or(Bson::Null, Bson::Double),
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(values) => values.iter().map(bson_of).collect::<Vec<_>>().into(),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| (name.clone(), bson_of(value))).collect::<Bsons>().into()
        }
    }
}
