//! How much searches for fire times may cost together.

use super::combine::{BUDGET, Budget};
use super::{Trigger, TriggerError, TriggerErrorKind};
use chrono::{DateTime, Utc};

/// What a question to code of the user's counts.
const CUSTOM: u32 = 2;

/// The steps that several searches may take together: those of the plan of a job, or of a call.
///
/// They are counted and never timed, so that each node that looks at a job decides alike. A step takes some 50 ns.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Steps {
    limit: u32,
    left: u32,
}

impl Steps {
    pub(crate) fn up_to(limit: u32) -> Self {
        Self { limit, left: limit }
    }

    /// Those of one search.
    pub(crate) fn of_one_search() -> Self {
        Self::up_to(BUDGET)
    }

    pub(crate) fn left(&self) -> u32 {
        self.left
    }

    pub(crate) fn taken(&self) -> u32 {
        self.limit.saturating_sub(self.left)
    }

    pub(crate) fn take(&mut self, steps: u32) -> Result<(), TriggerError> {
        self.left = self.left.checked_sub(steps).ok_or_else(|| self.exceeded())?;
        Ok(())
    }

    fn exceeded(&self) -> TriggerError {
        let limit = self.limit;
        TriggerError::new(
            TriggerErrorKind::SearchLimit,
            format!(
                "looking for fire times took more than {limit} steps; its parts agree too rarely, or leave out too much"
            ),
        )
    }

    /// Searches with what is left, and at most as far as a search goes. What it is for is told whether it could go that far.
    fn search<T>(
        &mut self,
        search: impl FnOnce(&mut Budget) -> Result<T, TriggerError>,
        on_limit: impl FnOnce(TriggerError, bool) -> Result<T, TriggerError>,
    ) -> Result<T, TriggerError> {
        let given = self.left.min(BUDGET);
        let mut budget = Budget::of(given);
        let found = search(&mut budget);
        match found {
            Err(error) if error.kind() == TriggerErrorKind::SearchLimit => {
                self.left = self.left.saturating_sub(given);
                if given == BUDGET { on_limit(error, true) } else { on_limit(self.exceeded(), false) }
            }
            found => {
                self.left = self.left.saturating_sub(given.saturating_sub(budget.left()));
                found
            }
        }
    }
}

impl Trigger {
    /// As [`next`](Self::next), within so many steps.
    pub(crate) fn next_within(
        &self,
        previous: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
        steps: &mut Steps,
    ) -> Result<Option<DateTime<Utc>>, TriggerError> {
        match self {
            Self::Interval(interval) => {
                steps.take(1)?;
                interval.next(previous, now)
            }
            Self::Date(date) => {
                steps.take(1)?;
                Ok(date.next(previous))
            }
            Self::Cron(cron) => {
                let found = cron.next(previous, now);
                steps.search(|budget| budget.spend_years(previous.unwrap_or(now), found), |error, _| Err(error))?;
                Ok(found)
            }
            Self::Custom(custom) => {
                steps.take(CUSTOM)?;
                custom.next(previous, now)
            }
            Self::CalendarInterval(_) | Self::And(_) | Self::Or(_) | Self::Except(_) => {
                self.search(previous, now, steps)
            }
        }
    }

    /// As [`previous`](Self::previous), within so many steps.
    pub(crate) fn previous_within(
        &self,
        at: DateTime<Utc>,
        steps: &mut Steps,
    ) -> Result<Option<DateTime<Utc>>, TriggerError> {
        if let Self::Custom(custom) = self {
            steps.take(CUSTOM)?;
            return custom.previous(at);
        }
        steps.search(|budget| self.at_or_before(at, budget), |error, _| Err(error))
    }

    /// The next fire time of a trigger that knows fire times only as "the first at or after".
    pub(super) fn search_after(
        &self,
        from: DateTime<Utc>,
        is_first: bool,
        steps: &mut Steps,
    ) -> Result<Option<DateTime<Utc>>, TriggerError> {
        steps.search(
            |budget| self.at_or_after(from, budget),
            // Parts that have never agreed never will; if they have, giving up is worth an error.
            |error, is_whole| if is_first && is_whole { Ok(None) } else { Err(error) },
        )
    }
}
