//! The parameters of a request: those of its query, or of a form.

use std::{borrow::Cow, str::FromStr};

use chrono::{DateTime, NaiveDateTime, Utc};
use scheduler_core::{
    StoreName, Verdict,
    store::{JobFilter, JobOrder, JobStateKind, RunFilter, RunStateKind},
};
use scheduler_runtime::{Cursor, Page};

use crate::problem::Problem;

/// The most parameters of a request: a page of jobs that are chosen, and some more.
const LIMIT: usize = PAGE_LIMIT + 50;

/// The most entries of a page that can be asked for, and how many there are if nothing is said.
pub(crate) const PAGE_LIMIT: usize = 200;
pub(crate) const PAGE_DEFAULT: usize = 50;

/// Names and values, in their order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    /// Those of a query, or of the body of a form.
    pub(crate) fn read(text: &[u8]) -> Result<Self, Problem> {
        let pairs: Vec<(String, String)> = form_urlencoded::parse(text)
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .take(LIMIT + 1)
            .collect();
        if pairs.len() > LIMIT {
            return Err(Problem::malformed(format!("a request may have {LIMIT} parameters")));
        }
        Ok(Self(pairs))
    }

    /// The first value of this name. Forms send empty fields along, which count as not given.
    pub(crate) fn one(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// Whether a form has a field of this name, empty or not.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(it, _)| it == name)
    }

    pub(crate) fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(it, value)| it == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    pub(crate) fn required(&self, name: &str) -> Result<&str, Problem> {
        self.one(name).ok_or_else(|| Problem::malformed(format!("`{name}` is missing")))
    }

    /// The value of this name, read.
    pub(crate) fn parsed<T: FromStr>(&self, name: &str, form: &str) -> Result<Option<T>, Problem> {
        let read = |text: &str| text.parse().map_err(|_| unreadable(name, text, form));
        self.one(name).map(read).transpose()
    }

    /// A name that is none of these.
    pub(crate) fn unknown(&self, known: &[&str]) -> Option<&str> {
        self.0.iter().map(|(name, _)| name.as_str()).find(|name| !known.contains(name))
    }

    pub(crate) fn store(&self) -> Option<StoreName> {
        self.one("store").map(StoreName::from)
    }

    /// An instant: as in RFC 3339, or without an offset, as browsers give it, in UTC.
    pub(crate) fn instant(&self, name: &str) -> Result<Option<DateTime<Utc>>, Problem> {
        self.one(name).map(|text| instant(name, text)).transpose()
    }

    pub(crate) fn page(&self) -> Result<Page, Problem> {
        let limit = self.limit()?;
        Ok(match self.one("cursor") {
            Some(cursor) => Page::after(Cursor::from(cursor.to_owned()), limit),
            None => Page::first(limit),
        })
    }

    pub(crate) fn limit(&self) -> Result<usize, Problem> {
        self.bounded("limit", PAGE_DEFAULT, PAGE_LIMIT)
    }

    /// A number from 1 to a limit.
    pub(crate) fn bounded(&self, name: &str, default: usize, limit: usize) -> Result<usize, Problem> {
        let number = self.parsed::<usize>(name, "a number")?.unwrap_or(default);
        if (1..=limit).contains(&number) {
            return Ok(number);
        }
        Err(Problem::malformed(format!("`{name}` is {number}; give 1 to {limit}")))
    }

    pub(crate) fn job_filter(&self) -> Result<JobFilter, Problem> {
        let mut filter = JobFilter::new();
        filter.text = self.one("text").map(str::to_owned);
        filter.id_prefix = self.one("id_prefix").map(str::to_owned);
        filter.task = self.one("task").map(Into::into);
        filter.executor = self.one("executor").map(Into::into);
        filter.tags = self.all("tag").collect();
        let states = JobStateKind::ALL.map(|state| (state.as_str(), state));
        filter.state = self.word("state", &states)?;
        Ok(filter)
    }

    pub(crate) fn job_order(&self) -> Result<JobOrder, Problem> {
        let orders = [("next_fire_time", JobOrder::NextFireTime), ("id", JobOrder::Id)];
        Ok(self.word("order", &orders)?.unwrap_or(JobOrder::NextFireTime))
    }

    pub(crate) fn run_filter(&self) -> Result<RunFilter, Problem> {
        let mut filter = RunFilter::new();
        filter.job = self.one("id").map(Into::into);
        filter.task = self.one("task").map(Into::into);
        filter.node = self.one("node").map(Into::into);
        let states = [RunStateKind::Waiting, RunStateKind::Running, RunStateKind::Ended];
        filter.state = self.word("state", &states.map(|state| (state.as_str(), state)))?;
        filter.verdict = self.word("verdict", &Verdict::ALL.map(|verdict| (verdict.as_str(), verdict)))?;
        filter.since = self.instant("since")?;
        filter.until = self.instant("until")?;
        Ok(filter)
    }

    /// One of these words.
    fn word<T: Copy>(&self, name: &str, words: &[(&str, T)]) -> Result<Option<T>, Problem> {
        let Some(text) = self.one(name) else { return Ok(None) };
        let found = words.iter().find(|(word, _)| *word == text);
        let form = || words.iter().map(|(word, _)| *word).collect::<Vec<_>>().join(", ");
        found.map(|(_, value)| Some(*value)).ok_or_else(|| unreadable(name, text, &form()))
    }
}

/// An instant of a parameter or a field.
pub(crate) fn instant(name: &str, text: &str) -> Result<DateTime<Utc>, Problem> {
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Ok(at.to_utc());
    }
    let forms = ["%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M", "%Y-%m-%d %H:%M:%S%.f"];
    let read = forms.iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok());
    read.map(|at| at.and_utc()).ok_or_else(|| unreadable(name, text, "a time, as in 2027-01-01T09:00:00Z"))
}

fn unreadable(name: &str, text: &str, form: &str) -> Problem {
    let text: Cow<'_, str> = match text.char_indices().nth(100) {
        Some((end, _)) => format!("{}..", text.get(..end).unwrap_or_default()).into(),
        None => text.into(),
    };
    Problem::malformed(format!("`{name}` is `{text}`; give {form}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn params(text: &str) -> Params {
        Params::read(text.as_bytes()).unwrap()
    }

    #[test]
    fn an_empty_field_of_a_form_counts_as_not_given() {
        let form = params("text=&task=report&tag=a&tag=&tag=b%20c&state=paused");
        let filter = form.job_filter().unwrap();
        assert_eq!(filter, JobFilter::new().task("report").tag("a").tag("b c").state(JobStateKind::Paused));
    }

    #[test]
    fn what_cannot_be_read_is_named_with_what_can() {
        let told = params("state=asleep").job_filter().unwrap_err().detail;
        assert_eq!(told, "`state` is `asleep`; give active, paused, kept, quarantined, finished");
        assert_eq!(params("limit=1000").limit().unwrap_err().detail, "`limit` is 1000; give 1 to 200");
        assert_eq!(
            params("since=x").run_filter().unwrap_err().detail,
            "`since` is `x`; give a time, as in 2027-01-01T09:00:00Z"
        );
        assert_eq!(
            params("at=2027-01-01T09:00").instant("at").unwrap(),
            params("at=2027-01-01T10:00:00%2B01:00").instant("at").unwrap()
        );
    }

    #[test]
    fn a_request_has_so_many_parameters_and_no_more() {
        assert!(Params::read("a=1&".repeat(LIMIT).as_bytes()).is_ok());
        assert!(Params::read("a=1&".repeat(LIMIT + 1).as_bytes()).is_err());
    }
}
