//! The paths of the API, each with its method and its operation: the table by which requests are answered, and the document is written.

use http::Method;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::operation::Operation;

/// A path and a method.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Endpoint {
    OpenApi,
    Operations,
    ListJobs,
    AddJob,
    CountJobs,
    ReadJob,
    ChangeJob,
    RemoveJob,
    RunJob,
    PauseJob,
    ResumeJob,
    RescheduleJob,
    RunJobs,
    PauseJobs,
    ResumeJobs,
    RescheduleJobs,
    RemoveJobs,
    ExplainJob,
    JobRuns,
    CancelRun,
    ReadUpcoming,
    PreviewTrigger,
    ReadRuns,
    ReadNodes,
    ReadPutAside,
    RemovePutAside,
    WatchChanges,
}

/// What there is to know of an endpoint.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) endpoint: Endpoint,
    pub(super) method: Method,
    /// Below `/api/v1`; what is in braces varies.
    pub(super) path: &'static str,
    /// None of those that tell of the API itself.
    pub(super) operation: Option<Operation>,
    /// The arguments that come in the body.
    pub(super) body: &'static [&'static str],
}

const fn row(endpoint: Endpoint, method: Method, path: &'static str, operation: Operation) -> Row {
    Row { endpoint, method, path, operation: Some(operation), body: &[] }
}

const fn with_body(
    endpoint: Endpoint,
    method: Method,
    path: &'static str,
    operation: Operation,
    body: &'static [&'static str],
) -> Row {
    Row { endpoint, method, path, operation: Some(operation), body }
}

/// All of them.
pub(super) const ROWS: &[Row] = &[
    Row { endpoint: Endpoint::OpenApi, method: Method::GET, path: "/openapi.json", operation: None, body: &[] },
    Row { endpoint: Endpoint::Operations, method: Method::GET, path: "/operations", operation: None, body: &[] },
    row(Endpoint::ListJobs, Method::GET, "/jobs", Operation::ListJobs),
    with_body(
        Endpoint::AddJob,
        Method::POST,
        "/jobs",
        Operation::AddJob,
        &["id", "store", "task", "args", "trigger", "name", "executor", "tags", "paused"],
    ),
    row(Endpoint::CountJobs, Method::GET, "/job-counts", Operation::ListJobs),
    row(Endpoint::ReadJob, Method::GET, "/jobs/{id}", Operation::ReadJob),
    with_body(
        Endpoint::ChangeJob,
        Method::PATCH,
        "/jobs/{id}",
        Operation::ChangeJob,
        &["task", "args", "name", "executor", "tags"],
    ),
    row(Endpoint::RemoveJob, Method::DELETE, "/jobs/{id}", Operation::RemoveJob),
    row(Endpoint::RunJob, Method::POST, "/jobs/{id}/run", Operation::RunJob),
    with_body(Endpoint::PauseJob, Method::POST, "/jobs/{id}/pause", Operation::PauseJob, &["note", "until"]),
    row(Endpoint::ResumeJob, Method::POST, "/jobs/{id}/resume", Operation::ResumeJob),
    with_body(Endpoint::RescheduleJob, Method::POST, "/jobs/{id}/reschedule", Operation::RescheduleJob, &["trigger"]),
    row(Endpoint::RunJobs, Method::POST, "/group/run", Operation::RunJob),
    with_body(Endpoint::PauseJobs, Method::POST, "/group/pause", Operation::PauseJob, &["note", "until"]),
    row(Endpoint::ResumeJobs, Method::POST, "/group/resume", Operation::ResumeJob),
    with_body(Endpoint::RescheduleJobs, Method::POST, "/group/reschedule", Operation::RescheduleJob, &["trigger"]),
    row(Endpoint::RemoveJobs, Method::POST, "/group/remove", Operation::RemoveJob),
    row(Endpoint::ExplainJob, Method::GET, "/jobs/{id}/explain", Operation::ExplainJob),
    row(Endpoint::JobRuns, Method::GET, "/jobs/{id}/runs", Operation::ReadRuns),
    row(Endpoint::CancelRun, Method::POST, "/jobs/{id}/runs/{run}/cancel", Operation::CancelRun),
    row(Endpoint::ReadUpcoming, Method::GET, "/upcoming", Operation::ReadUpcoming),
    row(Endpoint::PreviewTrigger, Method::GET, "/preview", Operation::PreviewTrigger),
    row(Endpoint::ReadRuns, Method::GET, "/runs", Operation::ReadRuns),
    row(Endpoint::ReadNodes, Method::GET, "/nodes", Operation::ReadNodes),
    row(Endpoint::ReadPutAside, Method::GET, "/put-aside", Operation::ReadPutAside),
    row(Endpoint::WatchChanges, Method::GET, "/changes", Operation::WatchChanges),
    row(Endpoint::RemovePutAside, Method::DELETE, "/put-aside/{id}", Operation::RemovePutAside),
];

impl Row {
    /// The names of what varies in the path.
    pub(super) fn captures(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }

    /// The names of the parameters of the query: the arguments that are neither in the path nor in the body. Of what is counted, not in
    /// pages.
    pub(super) fn query(&self) -> Vec<&'static str> {
        if self.endpoint.is_of_group() {
            return GROUP.to_vec();
        }
        let arguments = self.operation.map_or(&[] as &[&str], Operation::arguments);
        let is_counted = self.endpoint == Endpoint::CountJobs;
        let is_elsewhere = |name: &str| {
            let is_of_page = ["order", "limit", "cursor"].contains(&name);
            self.captures().any(|it| it == name) || self.body.contains(&name) || (is_counted && is_of_page)
        };
        arguments.iter().copied().filter(|name| !is_elsewhere(name)).collect()
    }

    /// What a path has in the places that vary, if it is one of these.
    fn matches<'p>(&self, path: &'p str) -> Option<Vec<&'p str>> {
        let (mut parts, mut captures) = (path.split('/'), Vec::new());
        for expected in self.path.split('/') {
            let part = parts.next()?;
            if expected.starts_with('{') {
                captures.push(part);
            } else if expected != part {
                return None;
            }
        }
        parts.next().is_none().then_some(captures)
    }
}

/// What names a group of jobs: the filter of `list_jobs`, or all of them.
const GROUP: [&str; 8] = ["text", "id_prefix", "task", "tag", "state", "executor", "store", "all"];

impl Endpoint {
    /// Whether it is done to many jobs at once.
    pub(super) fn is_of_group(self) -> bool {
        use Endpoint::{PauseJobs, RemoveJobs, RescheduleJobs, ResumeJobs, RunJobs};

        matches!(self, RunJobs | PauseJobs | ResumeJobs | RescheduleJobs | RemoveJobs)
    }

    pub(super) fn query(self) -> Vec<&'static str> {
        ROWS.iter().find(|row| row.endpoint == self).map(Row::query).unwrap_or_default()
    }
}

/// What is at a path.
pub(super) enum Found<'p> {
    Endpoint(Endpoint, Vec<&'p str>),
    /// Something for these methods.
    Methods(Vec<Method>),
    Nothing,
}

/// What is at a path below `/api/v1` for a method.
pub(super) fn find<'p>(path: &'p str, method: &Method) -> Found<'p> {
    let asked = if *method == Method::HEAD { &Method::GET } else { method };
    let mut methods = Vec::new();
    for row in ROWS {
        let Some(captures) = row.matches(path) else { continue };
        if row.method == *asked {
            return Found::Endpoint(row.endpoint, captures);
        }
        methods.push(row.method.clone());
    }
    if methods.is_empty() {
        return Found::Nothing;
    }
    if methods.contains(&Method::GET) {
        methods.push(Method::HEAD);
    }
    methods.push(Method::OPTIONS);
    Found::Methods(methods)
}

/// What stays as it is in a part of a path.
const PART: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// An id as a part of a path.
pub(super) fn encoded(id: &str) -> String {
    utf8_percent_encode(id, PART).to_string()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_operation_has_a_path_and_each_of_its_arguments_a_place() {
        for operation in Operation::ALL {
            let rows: Vec<&Row> = ROWS.iter().filter(|row| row.operation == Some(operation)).collect();
            assert!(!rows.is_empty(), "{operation} has no path");
            for row in &rows {
                let known: BTreeSet<&str> = operation.arguments().iter().copied().collect();
                let named: BTreeSet<&str> = row.captures().chain(row.body.iter().copied()).collect();
                assert!(named.is_subset(&known), "{operation}: {named:?} are not all arguments of it");
            }
        }
    }

    #[test]
    fn no_two_rows_are_the_same() {
        let paths: BTreeSet<(&str, &str)> = ROWS.iter().map(|row| (row.method.as_str(), row.path)).collect();
        assert_eq!(paths.len(), ROWS.len());
        for row in ROWS {
            let same = ROWS.iter().filter(|it| it.endpoint == row.endpoint).count();
            assert_eq!(same, 1, "{:?}", row.endpoint);
        }
    }
}
