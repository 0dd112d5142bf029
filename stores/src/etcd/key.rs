//! The names of the keys, and what the entries say by which jobs are found.
//!
//! The kind of an entry ends with a colon, which no prefix has, so that prefixes cannot meet. What comes between is escaped
//! or has a fixed width, so that the entries of one node or job are one range. What comes last is text as it is.

use std::{collections::BTreeMap, fmt::Write, ops::Range};

use chrono::{DateTime, Utc};
use prost::bytes::Bytes;
use scheduler_core::{JobId, NodeId, Uid};
use serde_json::{Map, Value, json};

use crate::kit::{Document, HoldKind, Index, text};

/// The names of the keys of one store.
#[derive(Debug, Clone)]
pub(super) struct Keys {
    prefix: String,
}

/// A range of keys.
pub(super) type KeyRange = Range<Vec<u8>>;

impl Keys {
    pub(super) fn new(prefix: &str) -> Self {
        Self { prefix: prefix.to_owned() }
    }

    pub(super) fn schema(&self) -> Vec<u8> {
        self.key("meta:schema")
    }

    pub(super) fn changes(&self) -> Vec<u8> {
        self.key("meta:changes")
    }

    pub(super) fn job(&self, key: &str) -> Vec<u8> {
        self.key(&format!("job:{key}"))
    }

    /// The key of a document by the name of its entry.
    pub(super) fn job_name<'a>(&self, entry: &'a [u8]) -> Option<&'a str> {
        self.rest("job:", entry)
    }

    pub(super) fn id(&self, id: &JobId) -> Vec<u8> {
        self.key(&format!("id:{id}"))
    }

    /// The id by the name of its entry.
    pub(super) fn id_name<'a>(&self, entry: &'a [u8]) -> Option<&'a str> {
        self.rest("id:", entry)
    }

    /// The ids after one.
    pub(super) fn ids(&self, after: Option<&JobId>) -> KeyRange {
        let all = self.all("id:");
        after.map_or(all.start, |id| next(self.id(id)))..all.end
    }

    pub(super) fn due(&self, time: DateTime<Utc>, key: &str) -> Vec<u8> {
        self.key(&format!("due:{}:{key}", sortable(time)))
    }

    /// The time and the document by the name of an entry.
    pub(super) fn due_name<'a>(&self, entry: &'a [u8]) -> Option<(DateTime<Utc>, &'a str)> {
        let (time, key) = self.rest("due:", entry)?.split_once(':')?;
        Some((parse_sortable(time)?, key))
    }

    /// What is due at a time or before it.
    pub(super) fn due_until(&self, now: DateTime<Utc>) -> KeyRange {
        self.all("due:").start..self.all(&format!("due:{}:", sortable(now))).end
    }

    /// What is due by `now`, and since a time if one is given.
    pub(super) fn due_between(&self, since: Option<DateTime<Utc>>, now: DateTime<Utc>) -> KeyRange {
        let KeyRange { start, end } = self.due_until(now);
        since.map_or(start, |since| self.key(&format!("due:{}:", sortable(since))))..end
    }

    /// What is due after a time.
    pub(super) fn due_after(&self, now: DateTime<Utc>) -> KeyRange {
        self.due_until(now).end..self.all("due:").end
    }

    pub(super) fn retained(&self, until: DateTime<Utc>, key: &str) -> Vec<u8> {
        self.key(&format!("retained:{}:{key}", sortable(until)))
    }

    /// The time and the document by the name of an entry.
    pub(super) fn retained_name<'a>(&self, entry: &'a [u8]) -> Option<(DateTime<Utc>, &'a str)> {
        let (time, key) = self.rest("retained:", entry)?.split_once(':')?;
        Some((parse_sortable(time)?, key))
    }

    /// What stays known until a time or one before it.
    pub(super) fn retained_until(&self, now: DateTime<Utc>) -> KeyRange {
        self.all("retained:").start..self.all(&format!("retained:{}:", sortable(now))).end
    }

    /// What nodes hold in this way.
    pub(super) fn holds(&self, hold: HoldKind) -> KeyRange {
        self.all(kind(hold))
    }

    /// What one node holds in this way.
    pub(super) fn held_by(&self, hold: HoldKind, node: &NodeId) -> KeyRange {
        self.all(&format!("{}{}:", kind(hold), escaped(node.as_str())))
    }

    pub(super) fn held(&self, hold: HoldKind, node: &NodeId, key: &str) -> Vec<u8> {
        self.key(&format!("{}{}:{key}", kind(hold), escaped(node.as_str())))
    }

    /// The node and the document by the name of an entry.
    pub(super) fn held_name<'a>(&self, hold: HoldKind, entry: &'a [u8]) -> Option<(NodeId, &'a str)> {
        let (node, key) = self.rest(kind(hold), entry)?.split_once(':')?;
        Some((unescaped(node)?.into(), key))
    }

    pub(super) fn node(&self, id: &NodeId) -> Vec<u8> {
        self.key(&format!("node:{id}"))
    }

    /// The node by the name of its entry.
    pub(super) fn node_name<'a>(&self, entry: &'a [u8]) -> Option<&'a str> {
        self.rest("node:", entry)
    }

    pub(super) fn nodes(&self) -> KeyRange {
        self.all("node:")
    }

    pub(super) fn run(&self, uid: Uid, seq: u64) -> Vec<u8> {
        self.key(&format!("run:{uid}:{}", newest_first(seq)))
    }

    /// The runs of a job with lower numbers, newest first.
    pub(super) fn runs_below(&self, uid: Uid, seq: u64) -> KeyRange {
        next(self.run(uid, seq))..self.all(&format!("run:{uid}:")).end
    }

    /// All that a document is found by, and what is said there.
    pub(super) fn entries(&self, key: &str, index: &Index) -> BTreeMap<Vec<u8>, Bytes> {
        let mut entries = BTreeMap::new();
        if let Some(id) = &index.live_id {
            entries.insert(self.id(id), Bytes::copy_from_slice(key.as_bytes()));
        }
        let said = Bytes::from(text(&said(index)));
        if let Some(due) = index.due {
            entries.insert(self.due(due, key), said.clone());
        }
        if let Some(until) = index.retained_until {
            entries.insert(self.retained(until, key), Bytes::new());
        }
        if let Some((node, _)) = &index.claim {
            entries.insert(self.held(HoldKind::Claim, node, key), said);
        }
        entries.extend(index.running.iter().map(|node| (self.held(HoldKind::Run, node, key), Bytes::new())));
        entries.extend(index.stopping.iter().map(|node| (self.held(HoldKind::Stop, node, key), Bytes::new())));
        entries
    }

    fn key(&self, rest: &str) -> Vec<u8> {
        format!("{}{rest}", self.prefix).into_bytes()
    }

    /// The keys that begin like this, where the beginning ends with a colon.
    fn all(&self, beginning: &str) -> KeyRange {
        let start = self.key(beginning);
        let mut end = start.clone();
        *end.last_mut().expect("a beginning is not empty") = b':' + 1;
        start..end
    }

    fn rest<'a>(&self, kind: &str, entry: &'a [u8]) -> Option<&'a str> {
        std::str::from_utf8(entry).ok()?.strip_prefix(&self.prefix)?.strip_prefix(kind)
    }
}

/// The first key after this one.
pub(super) fn next(mut key: Vec<u8>) -> Vec<u8> {
    key.push(0);
    key
}

/// What an entry says of its document, so that a claim need not read it. None if it says nothing, as another program's may.
pub(super) fn read_said(value: &[u8]) -> Option<Index> {
    let fields: Map<String, Value> = serde_json::from_slice(value).ok()?;
    // The rules by which a document is read hold here, too.
    let read = Document { key: String::new(), version: 0, fields };
    (read.fields.contains_key("task") && read.fields.contains_key("v")).then(|| read.index())
}

fn said(index: &Index) -> Map<String, Value> {
    let mut fields = Map::new();
    fields.insert("task".to_owned(), index.task.as_str().into());
    fields.insert("v".to_owned(), index.v.into());
    if let Some((owner, until)) = &index.claim {
        fields.insert("owner".to_owned(), owner.as_str().into());
        fields.insert("claim_until".to_owned(), json!(until.timestamp_micros()));
    }
    fields
}

fn kind(hold: HoldKind) -> &'static str {
    match hold {
        HoldKind::Claim => "claim:",
        HoldKind::Run => "running:",
        HoldKind::Stop => "asked:",
    }
}

/// Twenty characters whose order is that of the times: microseconds since 1970, or a minus and what is left of the
/// time before.
fn sortable(time: DateTime<Utc>) -> String {
    let micros = time.timestamp_micros();
    match micros < 0 {
        true => format!("-{:019}", micros.wrapping_sub(i64::MIN)),
        false => format!("{micros:020}"),
    }
}

fn parse_sortable(text: &str) -> Option<DateTime<Utc>> {
    let micros = match text.strip_prefix('-') {
        Some(rest) => rest.parse::<i64>().ok()?.wrapping_add(i64::MIN),
        None => text.parse().ok()?,
    };
    DateTime::from_timestamp_micros(micros)
}

/// etcd reads a limited page only in the order of the keys, and the newest runs are wanted first.
fn newest_first(seq: u64) -> String {
    format!("{:016x}", u64::MAX - seq)
}

/// Text without a colon: it and other uncommon characters are written in percent signs.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => escaped.push(char::from(byte)),
            _ => write!(escaped, "%{byte:02X}").expect("a string takes all that is written"),
        }
    }
    escaped
}

/// Reads what [`escaped`] writes, and what a URL has; none if it is no text.
pub(super) fn unescaped(text: &str) -> Option<String> {
    let (first, rest) = text.split_once('%').map_or((text, None), |(first, rest)| (first, Some(rest)));
    let mut bytes = first.as_bytes().to_vec();
    for part in rest.into_iter().flat_map(|rest| rest.split('%')) {
        let code = part.get(..2).filter(|code| code.bytes().all(|digit| digit.is_ascii_hexdigit()))?;
        bytes.push(u8::from_str_radix(code, 16).ok()?);
        bytes.extend_from_slice(&part.as_bytes()[2..]);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, Utc};
    use scheduler_core::{NodeId, Uid};

    use super::{Keys, escaped, parse_sortable, sortable, unescaped};
    use crate::kit::HoldKind;

    fn time(micros: i64) -> DateTime<Utc> {
        DateTime::from_timestamp_micros(micros).unwrap()
    }

    #[test]
    fn times_sort_as_text() {
        let times =
            [DateTime::<Utc>::MIN_UTC, time(-2_000_000), time(-1), time(0), time(9), time(1_795_251_600_123_456)];
        let texts = times.map(sortable);
        assert!(texts.is_sorted() && texts.iter().all(|text| text.len() == 20), "{texts:?}");
        assert_eq!(texts[5], "00001795251600123456");
        for (text, time) in texts.iter().zip(times) {
            assert_eq!(parse_sortable(text).map(|it| it.timestamp_micros()), Some(time.timestamp_micros()));
        }
    }

    #[test]
    fn no_node_is_in_the_range_of_another() {
        let keys = Keys::new("p_");
        let nodes = ["a", "a:", "a:b", "a/b", "", "%3A", "ä\0\"'", "a%"].map(NodeId::from);
        for hold in [HoldKind::Claim, HoldKind::Run, HoldKind::Stop] {
            for node in &nodes {
                let key = keys.held(hold, node, "1:2");
                assert_eq!(keys.held_name(hold, &key), Some((node.clone(), "1:2")));
                let is_in = nodes.iter().filter(|other| keys.held_by(hold, other).contains(&key));
                assert_eq!(is_in.collect::<Vec<_>>(), [node]);
            }
        }
    }

    #[test]
    fn what_is_due_now_is_due() {
        let keys = Keys::new("p_");
        for (micros, is_due) in [(-1, true), (6, true), (7, true), (8, false)] {
            let key = keys.due(time(micros), "\u{10FFFF}:");
            assert_eq!(keys.due_until(time(7)).contains(&key), is_due);
            assert_eq!(keys.due_after(time(7)).contains(&key), !is_due);
            assert_eq!(keys.due_name(&key), Some((time(micros), "\u{10FFFF}:")));
        }
    }

    #[test]
    fn runs_below_a_number_are_those() {
        let keys = Keys::new("p_");
        for (seq, below, is_in) in [(3, 3, false), (2, 3, true), (0, 1, true), (0, 0, false), (7, u64::MAX, true)] {
            assert_eq!(keys.runs_below(Uid(1), below).contains(&keys.run(Uid(1), seq)), is_in, "{seq} below {below}");
        }
    }

    #[test]
    fn text_is_escaped_and_back() {
        assert_eq!(escaped("node-1.a:/%"), "node-1.a%3A%2F%25");
        for text in ["", "a", "%", "%41", "ä:\0"] {
            assert_eq!(unescaped(&escaped(text)).as_deref(), Some(text));
        }
        for broken in ["%", "%4", "%zz", "%FF", "%+1"] {
            assert_eq!(unescaped(broken), None, "{broken}");
        }
    }
}
