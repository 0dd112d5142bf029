//! The log that all processes append to, a line for each thing that happened.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::stage::{now, wait_a_random_while};

/// How long a test waits for another process before it fails.
const DEADLINE: Duration = Duration::from_secs(120);

#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    file: File,
}

/// What happened: to which run, in which process.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Line {
    pub(crate) what: String,
    pub(crate) pid: u32,
    pub(crate) job: String,
    pub(crate) uid: String,
    pub(crate) seq: u64,
    pub(crate) attempt: u32,
    pub(crate) fire_time: i64,
}

impl Log {
    pub(crate) fn new(path: &Path) -> Self {
        let file = OpenOptions::new().create(true).append(true).open(path).unwrap();
        Self { path: path.to_owned(), file }
    }

    /// Appends a line, whole or not at all.
    pub(crate) fn write(&self, line: &Line) {
        let Line { what, pid, job, uid, seq, attempt, fire_time } = line;
        let text = format!("{what}\t{pid}\t{job}\t{uid}\t{seq}\t{attempt}\t{fire_time}\n");
        (&self.file).write_all(text.as_bytes()).unwrap();
    }

    pub(crate) fn read(&self) -> Vec<Line> {
        let text = std::fs::read_to_string(&self.path).unwrap();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole.lines().map(Line::parse).collect()
    }

    /// Waits until something like this number of lines has come.
    pub(crate) fn wait_to_grow(&self, lines: u64) {
        const LINE: u64 = 80;
        let (start, length) = (now(), || self.file.metadata().unwrap().len());
        let end = length() + lines * LINE;
        while length() < end {
            assert!(start.elapsed() < DEADLINE, "nothing happens any more after {:#?}", self.read().last());
            wait_a_random_while(Duration::from_millis(2));
        }
    }

    pub(crate) fn wait_for(&self, what: &str, condition: impl Fn(&[Line]) -> bool) {
        let start = now();
        while !condition(&self.read()) {
            assert!(start.elapsed() < DEADLINE, "waiting for this: {what}; the log has {:#?}", self.read());
            wait_a_random_while(Duration::from_millis(20));
        }
    }
}

impl Line {
    fn parse(text: &str) -> Self {
        let mut fields = text.split('\t');
        let mut field = || fields.next().unwrap_or_else(|| panic!("the line is whole: {text:?}"));
        Self {
            what: field().to_owned(),
            pid: field().parse().unwrap(),
            job: field().to_owned(),
            uid: field().to_owned(),
            seq: field().parse().unwrap(),
            attempt: field().parse().unwrap(),
            fire_time: field().parse().unwrap(),
        }
    }
}
