//! The time zone as a table of spans: from one instant to another, one offset.
//!
//! A table is made once per zone and process, on first use (well under a millisecond), and then only read. Between two transitions
//! lies a *quiet* stretch in which no civil time is skipped or repeated, however the daylight-saving options stand;
//! nearly every question is answered there, by one lookup and two comparisons.

use chrono::{DateTime, NaiveDate, Offset, TimeZone, Utc};
use chrono_tz::{GapInfo, TZ_VARIANTS, Tz};
use std::sync::OnceLock;

/// 1969-12-01: a month before the first year that a cron expression can name.
const FIRST: i64 = -2_678_400;
/// 2100-12-31: past the last transition that the tz database spells out; the last offset then stays.
const LAST: i64 = 4_133_894_400;
/// A bucket of the index is 2^22 s, 48.5 days: in nearly all zones it holds one transition or none.
const BUCKET_BITS: u32 = 22;
/// Both ends of time, far enough from overflow to add an offset.
const NEVER: i64 = i64::MAX / 4;

/// One offset, from one instant to another.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Span {
    pub(crate) from: i64,
    pub(crate) until: i64,
    /// From here until `quiet_until`, each civil time is shown exactly once.
    pub(crate) quiet_from: i64,
    pub(crate) quiet_until: i64,
    pub(crate) offset: i64,
}

impl Span {
    #[inline]
    pub(crate) fn is_quiet(&self, at: i64) -> bool {
        self.quiet_from <= at && at < self.quiet_until
    }
}

/// All spans of a zone.
#[derive(Debug)]
pub(crate) struct Spans {
    spans: Box<[Span]>,
    /// For each bucket of time the span that holds its beginning.
    index: Box<[u16]>,
}

/// What a civil time stands for.
pub(crate) struct Resolved {
    pub(crate) instant: i64,
    /// False if the clocks skip this civil time; the instant is then the end of the gap.
    pub(crate) exists: bool,
}

impl Spans {
    pub(crate) fn of(zone: Tz) -> &'static Self {
        static TABLES: [OnceLock<Spans>; TZ_VARIANTS.len()] = [const { OnceLock::new() }; TZ_VARIANTS.len()];
        TABLES[zone as usize].get_or_init(|| Self::new(zone))
    }

    fn new(zone: Tz) -> Self {
        let starts = transitions(zone);
        let mut spans: Vec<Span> = Vec::with_capacity(starts.len());
        for (i, &(from, offset)) in starts.iter().enumerate() {
            let shift = |other: Option<&(i64, i64)>| other.map_or(0, |other| (offset - other.1).abs());
            let until = starts.get(i + 1).map_or(NEVER, |next| next.0);
            spans.push(Span {
                from,
                until,
                quiet_from: from + shift(i.checked_sub(1).and_then(|i| starts.get(i))),
                quiet_until: until - shift(starts.get(i + 1)),
                offset,
            });
        }
        let mut index = Vec::new();
        let mut span = 0;
        for begin in (FIRST..LAST).step_by(1 << BUCKET_BITS) {
            while spans[span].until <= begin {
                span += 1;
            }
            index.push(span as u16);
        }
        Self { spans: spans.into_boxed_slice(), index: index.into_boxed_slice() }
    }

    /// The number of the span that holds an instant.
    #[inline]
    pub(crate) fn at(&self, instant: i64) -> usize {
        // Before the first bucket the number wraps, so that one comparison sees both ends.
        let bucket = (instant.wrapping_sub(FIRST) as u64) >> BUCKET_BITS;
        let mut span = match self.index.get(bucket as usize) {
            Some(&span) => usize::from(span),
            None if instant < FIRST => 0,
            None => self.spans.len() - 1,
        };
        while self.spans[span].until <= instant {
            span += 1;
        }
        span
    }

    #[inline]
    pub(crate) fn span(&self, number: usize) -> &Span {
        &self.spans[number]
    }

    pub(crate) fn get(&self, number: usize) -> Option<&Span> {
        self.spans.get(number)
    }

    #[cfg(test)]
    pub(crate) fn offset_at(&self, instant: i64) -> i64 {
        self.span(self.at(instant)).offset
    }

    /// The first instant at which the clocks show this civil second, or the end of the gap that skips it.
    pub(crate) fn first_at(zone: Tz, civil: i64) -> Resolved {
        if civil < FIRST + 2 * 86_400 {
            return first_before_the_table(zone, civil);
        }
        Self::of(zone).first(civil)
    }

    fn first(&self, civil: i64) -> Resolved {
        // No offset is a day and a half from UTC, so an earlier span cannot show it.
        let mut number = self.at(civil - 129_600);
        loop {
            let span = self.span(number);
            let instant = civil - span.offset;
            if instant < span.from {
                return Resolved { instant: span.from, exists: false };
            }
            if instant < span.until {
                return Resolved { instant, exists: true };
            }
            number += 1;
        }
    }
}

fn first_before_the_table(zone: Tz, civil: i64) -> Resolved {
    let found = DateTime::from_timestamp(civil, 0).and_then(|civil| {
        let civil = civil.naive_utc();
        let exact = zone.from_local_datetime(&civil).earliest();
        let after_gap = || GapInfo::new(&civil, &zone).and_then(|gap| gap.end);
        exact.map(|at| (at, true)).or_else(|| after_gap().map(|at| (at, false)))
    });
    match found {
        Some((at, exists)) => Resolved { instant: at.timestamp(), exists },
        None => Resolved { instant: civil, exists: true },
    }
}

/// The date that the clocks of a zone show; none where the calendar of chrono ends before they could show it.
pub(crate) fn shown_date(zone: Tz, at: DateTime<Utc>) -> Option<NaiveDate> {
    let utc = at.naive_utc();
    utc.checked_add_offset(zone.offset_from_utc_datetime(&utc).fix()).map(|shown| shown.date())
}

/// Each instant at which the offset of a zone changes, with the offset from there on.
fn transitions(zone: Tz) -> Vec<(i64, i64)> {
    /// No zone has changed its offset and changed it back within less.
    const STEP: i64 = 4 * 86_400;
    let mut early = (FIRST, offset(zone, FIRST));
    let mut found = vec![(-NEVER, early.1)];
    while early.0 < LAST {
        let late = (early.0 + STEP, offset(zone, early.0 + STEP));
        between(zone, early, late, &mut found);
        early = late;
    }
    found
}

/// Halves the time between two instants of different offset down to the second of the change.
fn between(zone: Tz, early: (i64, i64), late: (i64, i64), found: &mut Vec<(i64, i64)>) {
    if early.1 == late.1 {
        return;
    }
    if late.0 - early.0 == 1 {
        found.push(late);
        return;
    }
    let middle = early.0 + (late.0 - early.0) / 2;
    let middle = (middle, offset(zone, middle));
    between(zone, early, middle, found);
    between(zone, middle, late, found);
}

fn offset(zone: Tz, instant: i64) -> i64 {
    let utc = DateTime::from_timestamp(instant, 0).expect("within the years of the table").naive_utc();
    i64::from(zone.offset_from_utc_datetime(&utc).fix().local_minus_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_agrees_with_the_tz_database_in_every_zone() {
        for zone in TZ_VARIANTS {
            let spans = Spans::new(zone);
            // Each transition that was found is looked at below; this looks for those that were not.
            for instant in (FIRST..LAST).step_by(61 * 3600 + 7) {
                assert_eq!(spans.offset_at(instant), offset(zone, instant), "{zone} at {instant}");
            }
            for span in &spans.spans[1..] {
                assert_eq!(spans.offset_at(span.from - 1), offset(zone, span.from - 1), "{zone} before {}", span.from);
                assert_eq!(span.offset, offset(zone, span.from), "{zone} at {}", span.from);
                assert_ne!(span.offset, offset(zone, span.from - 1), "{zone} at {}", span.from);
            }
        }
    }

    #[test]
    fn a_skipped_civil_time_is_the_end_of_its_gap() {
        let civil = |text: &str| text.parse::<chrono::NaiveDateTime>().unwrap().and_utc().timestamp();
        for (zone, skipped, instant) in [
            (chrono_tz::Pacific::Apia, "2011-12-30T12:00:00", "2011-12-30T10:00:00"),
            (chrono_tz::Europe::Berlin, "1940-04-01T02:30:00", "1940-04-01T01:00:00"),
        ] {
            let resolved = Spans::first_at(zone, civil(skipped));
            assert!(!resolved.exists);
            assert_eq!(resolved.instant, civil(instant));
        }
        let resolved = Spans::first_at(chrono_tz::Europe::Berlin, civil("1940-06-01T02:30:00"));
        assert_eq!(resolved.instant, civil("1940-06-01T00:30:00"));
    }
}
