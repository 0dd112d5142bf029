//! Where the nodes are, and how ids, tasks and times are written in their names.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
};

use chrono::{DateTime, Utc};
use scheduler_core::{JobId, NodeId, Uid};

use crate::kit::{Document, HoldKind, Index};

/// The paths below a root.
#[derive(Debug, Clone)]
pub(super) struct Names {
    root: String,
}

impl Names {
    /// `root` is an absolute path without a slash at its end.
    pub(super) fn new(root: String) -> Self {
        Self { root }
    }

    pub(super) fn root(&self) -> &str {
        &self.root
    }

    /// How many folders the root is deep.
    pub(super) fn depth(&self) -> usize {
        self.root.matches('/').count()
    }

    /// The version of the layout.
    pub(super) fn schema(&self) -> String {
        format!("{}/schema", self.root)
    }

    /// What is written to when the nodes shall look.
    pub(super) fn changes(&self) -> String {
        format!("{}/changes", self.root)
    }

    pub(super) fn jobs(&self) -> String {
        format!("{}/jobs", self.root)
    }

    pub(super) fn job(&self, key: &str) -> String {
        format!("{}/jobs/{}", self.root, escape(key))
    }

    pub(super) fn ids(&self) -> String {
        format!("{}/ids", self.root)
    }

    pub(super) fn id(&self, id: &str) -> String {
        format!("{}/ids/{}", self.root, escape(id))
    }

    pub(super) fn due(&self) -> String {
        format!("{}/due", self.root)
    }

    pub(super) fn hour(&self, hour: i64) -> String {
        format!("{}/due/{hour}", self.root)
    }

    pub(super) fn slot(&self, slot: Slot) -> String {
        format!("{}/due/{}/{}", self.root, slot.hour(), slot.0)
    }

    /// The hours until which jobs that are over stay known. In the folder of the dues, where it is no number.
    pub(super) fn retained(&self) -> String {
        format!("{}/due/retained", self.root)
    }

    /// The jobs that stay known until a time in an hour.
    pub(super) fn retained_in(&self, hour: i64) -> String {
        format!("{}/due/retained/{hour}", self.root)
    }

    /// The nodes that hold documents in this way.
    pub(super) fn holders(&self, hold: HoldKind) -> String {
        format!("{}/{}", self.root, word(hold))
    }

    /// What a node holds in this way.
    pub(super) fn held(&self, hold: HoldKind, node: &NodeId) -> String {
        format!("{}/{}/{}", self.root, word(hold), escape(node.as_str()))
    }

    pub(super) fn nodes(&self) -> String {
        format!("{}/nodes", self.root)
    }

    pub(super) fn node(&self, node: &NodeId) -> String {
        format!("{}/nodes/{}", self.root, escape(node.as_str()))
    }

    pub(super) fn all_runs(&self) -> String {
        format!("{}/runs", self.root)
    }

    pub(super) fn runs(&self, uid: Uid) -> String {
        format!("{}/runs/{uid}", self.root)
    }

    pub(super) fn run(&self, uid: Uid, seq: u64) -> String {
        format!("{}/runs/{uid}/{seq}", self.root)
    }

    /// The nodes that a document is found by, with their data.
    pub(super) fn index(&self, document: &Document) -> BTreeMap<String, String> {
        let Index { live_id, running, stopping, retained_until, .. } = document.index();
        let mut paths = BTreeMap::new();
        paths.extend(live_id.map(|id| (self.id(id.as_str()), document.key.clone())));
        paths.extend(Entry::of(document).map(|entry| (self.entry(&entry), String::new())));
        paths.extend(retained_until.map(|until| {
            let folder = self.retained_in(Slot::of(until).hour());
            (format!("{folder}/{}:{}", until.timestamp_micros(), escape(&document.key)), String::new())
        }));
        for (hold, nodes) in [(HoldKind::Run, running), (HoldKind::Stop, stopping)] {
            let path = |node: NodeId| format!("{}/{}", self.held(hold, &node), escape(&document.key));
            paths.extend(nodes.into_iter().map(|node| (path(node), String::new())));
        }
        paths
    }

    pub(super) fn entry(&self, entry: &Entry) -> String {
        match &entry.index.claim {
            Some((owner, _)) => format!("{}/{}", self.held(HoldKind::Claim, owner), entry.name()),
            None => format!("{}/{}", self.slot(Slot::of(entry.index.due.unwrap_or_default())), entry.name()),
        }
    }
}

/// The time and the key in a name of the folder of an hour. None if it is not one.
pub(super) fn parse_retained(name: &str) -> Option<(DateTime<Utc>, String)> {
    let (until, key) = name.split_once(':')?;
    Some((time(until)?, unescape(key)?))
}

fn word(hold: HoldKind) -> &'static str {
    match hold {
        HoldKind::Claim => "claims",
        HoldKind::Run => "running",
        HoldKind::Stop => "asked",
    }
}

/// Ten seconds of an hour, by its first second since 1970 over ten: few enough dues to list, few enough slots to walk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Slot(pub(super) i64);

impl Slot {
    const SECONDS: i64 = 10;
    const IN_AN_HOUR: i64 = 3_600 / Self::SECONDS;

    /// The one that the time is in.
    pub(super) fn of(time: DateTime<Utc>) -> Self {
        Self(time.timestamp().div_euclid(Self::SECONDS))
    }

    /// Its hour since 1970.
    pub(super) fn hour(self) -> i64 {
        self.0.div_euclid(Self::IN_AN_HOUR)
    }
}

/// A document among the due ones (`due:v:key:task`) or the claimed ones (`until:due:v:key:task`), by its name there.
///
/// It says all by which a claim chooses, so that documents are read only to be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: String,
    /// Without the id and the nodes that run it.
    pub(super) index: Index,
}

impl Entry {
    /// None if the document is neither due nor claimed.
    pub(super) fn of(document: &Document) -> Option<Self> {
        let index = Index {
            live_id: None,
            running: BTreeSet::new(),
            stopping: BTreeSet::new(),
            retained_until: None,
            ..document.index()
        };
        (index.claim.is_some() || index.due.is_some()).then(|| Self { key: document.key.clone(), index })
    }

    /// The name in the folder of its slot or its owner.
    fn name(&self) -> String {
        let Index { due, v, task, claim, .. } = &self.index;
        let due = due.map_or_else(|| "-".to_owned(), |due| due.timestamp_micros().to_string());
        let tail = format!("{due}:{v}:{}:{}", escape(&self.key), escape(task));
        match claim {
            Some((_, until)) => format!("{}:{tail}", until.timestamp_micros()),
            None => tail,
        }
    }

    /// Reads a name in the folder of a slot. None if it is not one.
    pub(super) fn parse_due(name: &str) -> Option<Self> {
        Self::parse(name, None).filter(|entry| entry.index.due.is_some())
    }

    /// Reads a name in the folder of an owner. None if it is not one.
    pub(super) fn parse_claimed(owner: &NodeId, name: &str) -> Option<Self> {
        let (until, tail) = name.split_once(':')?;
        Self::parse(tail, Some((owner.clone(), time(until)?)))
    }

    fn parse(name: &str, claim: Option<(NodeId, DateTime<Utc>)>) -> Option<Self> {
        let [due, v, key, task] = name.split(':').collect::<Vec<_>>().try_into().ok()?;
        let due = if due == "-" { None } else { Some(time(due)?) };
        let (live_id, running, stopping, retained_until) = (None, BTreeSet::new(), BTreeSet::new(), None);
        let (task, v) = (unescape(task)?, v.parse().ok()?);
        let index = Index { live_id, due, task, v, claim, running, stopping, retained_until };
        Some(Self { key: unescape(key)?, index })
    }

    /// Whether it is due before the slot begins.
    pub(super) fn is_before(&self, slot: Slot) -> bool {
        self.index.due.is_some_and(|due| Slot::of(due) < slot)
    }

    fn order(&self) -> (Option<DateTime<Utc>>, &str) {
        (self.index.due, &self.key)
    }
}

/// By the order in which a claim takes them.
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order().cmp(&other.order())
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

fn time(micros: &str) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp_micros(micros.parse().ok()?)
}

/// Any text as the name of a node: bytes other than letters, digits and `-_~.` become `%` and two digits. The empty text
/// becomes `%`, and the dots of `.` and `..`, which no node can be called, `%2E`.
pub(super) fn escape(text: &str) -> String {
    match text {
        "" => "%".to_owned(),
        "." => "%2E".to_owned(),
        ".." => "%2E%2E".to_owned(),
        _ => {
            let mut name = String::with_capacity(text.len());
            for byte in text.bytes() {
                if byte.is_ascii_alphanumeric() || b"-_~.".contains(&byte) {
                    name.push(char::from(byte));
                } else {
                    write!(name, "%{byte:02X}").expect("a string takes all that is written");
                }
            }
            name
        }
    }
}

/// Undoes [`escape`]. None if it was not made by that.
pub(super) fn unescape(name: &str) -> Option<String> {
    let text = if name == "%" { Some(String::new()) } else { decode(name) };
    text.filter(|text| escape(text) == name)
}

/// Percent-decodes. None if it is not valid.
pub(super) fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut parts = text.split('%');
    bytes.extend(parts.next()?.bytes());
    for part in parts {
        let (code, rest) = part.split_at_checked(2)?;
        bytes.push(u8::from_str_radix(code, 16).ok()?);
        bytes.extend(rest.bytes());
    }
    String::from_utf8(bytes).ok()
}

/// The ids among the names of a folder, in the order of their bytes.
pub(super) fn sorted_ids(names: Vec<String>) -> Vec<JobId> {
    let mut ids: Vec<String> = names.iter().filter_map(|name| unescape(name)).collect();
    ids.sort_unstable();
    ids.into_iter().map(Into::into).collect()
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use serde_json::json;

    use super::{Entry, Slot, escape, unescape};
    use crate::kit::Document;

    #[test]
    fn any_text_has_a_name_of_its_own() {
        let texts =
            ["", ".", "..", "...", "%", "%2E", "a/b", "a b", "it's", "ü", "日本", "\0", "a:b", "\u{ffff}", "zookeeper"];
        for text in texts {
            let name = escape(text);
            assert_eq!(unescape(&name).as_deref(), Some(text), "{name}");
            assert!(name.bytes().all(|b| b.is_ascii_graphic() && b != b'/'), "{name}");
            assert!(!["", ".", ".."].contains(&name.as_str()), "{text}");
        }
        assert_eq!(escape("ü/a-b_c~d.e"), "%C3%BC%2Fa-b_c~d.e");
    }

    #[test]
    fn a_name_that_no_text_has_is_none() {
        for name in ["%2", "%zz", "%41", "%ff", "ü", "a b", "%+1", "%2e", "."] {
            assert_eq!(unescape(name), None, "{name}");
        }
    }

    #[test]
    fn an_entry_says_what_it_was_made_of() {
        let fields = json!({ "due": 1_795_251_600_000_001_i64, "task": "a:b/ü", "v": 1 });
        let mut document = Document::parse("not a uid", 1, fields.to_string().as_bytes());
        let entry = Entry::of(&document).unwrap();
        assert_eq!(entry.name(), "1795251600000001:1:not%20a%20uid:a%3Ab%2F%C3%BC");
        assert_eq!(Entry::parse_due(&entry.name()), Some(entry));
        document.fields.insert("due".to_owned(), json!(null));
        assert_eq!(Entry::of(&document), None);
        document.fields.extend([("owner".to_owned(), json!("node")), ("claim_until".to_owned(), json!(7))]);
        let entry = Entry::of(&document).unwrap();
        assert_eq!(entry.name(), "7:-:1:not%20a%20uid:a%3Ab%2F%C3%BC");
        assert_eq!(Entry::parse_due(&entry.name()), None);
        assert_eq!(Entry::parse_claimed(&"node".into(), &entry.name()), Some(entry));
        for name in ["", "x", "1:1:a", "1:1:a:b:c", "x:1:a:b", "1:x:a:b", "-:1:a:b"] {
            assert_eq!(Entry::parse_due(name), None, "{name}");
        }
    }

    #[test]
    fn slots_are_ten_seconds_and_hours_hold_them() {
        let slot = |micros| Slot::of(DateTime::from_timestamp_micros(micros).unwrap());
        assert_eq!((slot(0), slot(9_999_999), slot(10_000_000)), (Slot(0), Slot(0), Slot(1)));
        assert_eq!((slot(-1), slot(-1).hour()), (Slot(-1), -1));
        assert_eq!((slot(3_599_999_999).hour(), slot(3_600_000_000).hour()), (0, 1));
    }
}
