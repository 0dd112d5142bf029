//! Documents on their way to RethinkDB and back, which knows numbers as floats only.

use std::borrow::Cow;

use scheduler_core::Tags;
use serde_json::{Map, Number, Value, json};

use crate::kit::Document;

/// The primary key of a job's document.
pub(super) const UID: &str = "uid";
/// The field that counts the writes of a document or a node.
pub(super) const VERSION: &str = "version";
/// The field that tells one claim of an id from another; see [`ids`](super::ids).
pub(super) const TICKET: &str = "ticket";
/// The field under which a document waits until its id is its own.
pub(super) const PENDING: &str = "pending";
/// The field that says since when, in seconds.
pub(super) const PENDING_SINCE: &str = "pending_since";

/// The field with a copy of the tags of a job's definition, and its index.
pub(super) const TAGS: &str = "tags";

/// The version of a document that has none, or one that is not a whole number.
pub(super) const NO_VERSION: u64 = u64::MAX;
/// The whole numbers that a float is sure to keep.
const EXACT: u64 = 1 << 53;
/// The field of an object that stands for a number that a float would change.
const NUMBER: &str = "$number";

/// A document as RethinkDB gave it.
pub(super) fn document(row: Value) -> Option<Document> {
    let Value::Object(mut fields) = restored(row) else { return None };
    let key = fields.get(UID)?.as_str()?.to_owned();
    fields.remove(TICKET);
    let version = version(&fields);
    if version != NO_VERSION {
        fields.remove(VERSION);
    }
    Some(Document { key, version, fields })
}

/// Documents as RethinkDB gave them.
pub(super) fn documents(rows: Vec<Value>) -> Vec<Document> {
    rows.into_iter().filter_map(document).collect()
}

/// A document as it is added.
pub(super) fn added(document: &Document) -> Value {
    let mut fields = document.fields.clone();
    fields.insert(UID.to_owned(), document.key.as_str().into());
    fields.insert(VERSION.to_owned(), 1.into());
    fields.extend(tags_of(&fields).map(|tags| (TAGS.to_owned(), tags)));
    stored(Value::Object(fields))
}

/// The tags of a job's definition; none if it has none or cannot be read.
pub(super) fn tags_of(fields: &Map<String, Value>) -> Option<Value> {
    #[derive(serde::Deserialize)]
    struct Tagged {
        #[serde(default)]
        tags: Tags,
    }
    let body = fields.get("body")?.as_str().filter(|body| body.contains("\"tags\""))?;
    let tagged: Tagged = serde_json::from_str(body).ok()?;
    (!tagged.tags.is_empty()).then(|| json!(tagged.tags))
}

/// What turns a document into another one, if it has the expected version: `put` is null to delete it.
pub(super) fn step(old: &Document, new: Option<&Document>) -> Value {
    let expected = match old.version {
        NO_VERSION => old.fields.get(VERSION).cloned().unwrap_or_default(),
        version => version.into(),
    };
    let Some(new) = new else { return json!({ "version": expected, "drop": [], "put": null }) };
    let mut fields = Cow::Borrowed(&new.fields);
    // Other programs need not know of the copy.
    if old.fields.get("body") != new.fields.get("body") || !old.fields.contains_key(TAGS) {
        match tags_of(&new.fields) {
            Some(tags) => drop(fields.to_mut().insert(TAGS.to_owned(), tags)),
            None if new.fields.contains_key(TAGS) => drop(fields.to_mut().remove(TAGS)),
            None => {}
        }
    }
    let mut put: Map<String, Value> =
        fields.iter().filter(|(name, value)| old.fields.get(*name) != Some(*value)).map(owned).collect();
    put.insert(VERSION.to_owned(), next_version(old.version).into());
    // What is put is dropped before, since an object would be merged with the old one.
    let gone = old.fields.keys().filter(|name| !fields.contains_key(*name));
    let drop: Vec<String> = gone.chain(put.keys()).cloned().collect();
    json!({ "version": expected, "drop": drop, "put": stored(Value::Object(put)) })
}

/// The version of a stored object.
pub(super) fn version(fields: &Map<String, Value>) -> u64 {
    fields.get(VERSION).and_then(Value::as_u64).filter(|version| *version <= EXACT).unwrap_or(NO_VERSION)
}

/// The version after that one.
pub(super) fn next_version(version: u64) -> u64 {
    if version < EXACT { version + 1 } else { 1 }
}

/// A value as RethinkDB can keep it.
pub(super) fn stored(value: Value) -> Value {
    changed(value, &|value| match &value {
        Value::Number(number) if !is_exact(number) => json!({ NUMBER: number.to_string() }),
        _ => value,
    })
}

/// A value as it was before it was stored.
pub(super) fn restored(value: Value) -> Value {
    changed(value, &|value| match &value {
        Value::Number(number) if number.is_f64() => number.as_f64().and_then(whole).map_or(value, Value::from),
        Value::Object(fields) if fields.len() == 1 => {
            let number = fields.get(NUMBER).and_then(Value::as_str).and_then(|text| text.parse::<Number>().ok());
            number.map_or(value, Value::Number)
        }
        _ => value,
    })
}

/// Whether the number is the same as a float.
fn is_exact(number: &Number) -> bool {
    match (number.as_i64(), number.as_u64()) {
        (Some(integer), _) => integer.unsigned_abs() <= EXACT || whole(integer as f64) == Some(integer),
        (None, Some(_)) => false,
        (None, None) => true,
    }
}

/// The whole number that a float is.
fn whole(float: f64) -> Option<i64> {
    // 2⁶³ itself is none.
    let is_whole = float.fract() == 0.0 && float >= -(2.0_f64.powi(63)) && float < 2.0_f64.powi(63);
    is_whole.then_some(float as i64)
}

/// A value with everything in it changed, from the inside.
fn changed(value: Value, change: &impl Fn(Value) -> Value) -> Value {
    let value = match value {
        Value::Array(values) => values.into_iter().map(|value| changed(value, change)).collect(),
        Value::Object(fields) => fields.into_iter().map(|(name, value)| (name, changed(value, change))).collect(),
        value => value,
    };
    change(value)
}

fn owned((name, value): (&String, &Value)) -> (String, Value) {
    (name.clone(), value.clone())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{document, restored, step, stored};

    #[test]
    fn whole_numbers_come_back_to_the_last_digit() {
        let numbers = [0, -1, 1 << 53, (1 << 53) + 1, -(1 << 53) - 1, 253_402_300_799_000_000, i64::MAX, i64::MIN];
        let value = json!({ "numbers": numbers, "most": u64::MAX, "fraction": 0.5 });
        // What a database does that knows floats only.
        let kept = as_floats(stored(value.clone()));
        assert_eq!(restored(kept), value);
    }

    fn as_floats(value: Value) -> Value {
        super::changed(value, &|value| value.as_f64().map_or(value, Value::from))
    }

    #[test]
    fn a_step_names_only_what_changes() {
        let old =
            document(json!({ "uid": "7", "version": 3.0, "ticket": 9, "a": 1, "b": { "c": 2 }, "d": 4 })).unwrap();
        let mut new = old.clone();
        new.fields.remove("a");
        new.fields.insert("b".to_owned(), json!({ "e": 5 }));
        let put = json!({ "b": { "e": 5 }, "version": 4 });
        assert_eq!(step(&old, Some(&new)), json!({ "version": 3, "drop": ["a", "b", "version"], "put": put }));
        assert_eq!(step(&old, None), json!({ "version": 3, "drop": [], "put": null }));
    }

    #[test]
    fn a_document_without_a_version_gets_one() {
        for (row, expected) in
            [(json!({ "uid": "7" }), json!(null)), (json!({ "uid": "7", "version": "x" }), json!("x"))]
        {
            let old = document(row).unwrap();
            let mut new = old.clone();
            new.fields.insert("a".to_owned(), 1.into());
            let step = step(&old, Some(&new));
            assert_eq!((&step["version"], &step["put"]["version"]), (&expected, &json!(1)));
        }
    }
}
