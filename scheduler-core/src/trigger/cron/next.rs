//! From civil time to real time: the daylight-saving rules.
//!
//! Two paths. In a quiet stretch of the zone every rule says the same, and one lookup answers. Around a transition the
//! spans are taken one by one, each with the civil times it shows and the gap that precedes it.

use super::calendar::{self, Civil};
use super::plan::{FIRST_YEAR, LAST_YEAR, Plan};
use super::{Cron, Gap, RepeatedHour};
use crate::trigger::window::{MICROS, instant};
use crate::trigger::zone::{Span, Spans};
use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, Timelike, Utc};
use chrono_tz::Tz;

const DAY: i64 = 86_400;

impl Cron {
    #[inline]
    pub(in crate::trigger) fn next(
        &self,
        previous: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        let inner = &*self.0;
        // The short way: from a date of the calendar's years, and nothing before the start.
        if let Some(previous) = previous
            && inner.options.window.start == i64::MIN
        {
            let utc = previous.naive_utc();
            let (date, second) = (utc.date(), utc.time().num_seconds_from_midnight() as i32 + 1);
            let next = match self.spans() {
                _ if !(FIRST_YEAR as i32..=LAST_YEAR as i32).contains(&date.year()) => None,
                None if second < 86_400 => {
                    let from = Civil { date: civil_date(date), second: second as u32 };
                    instant_of(inner.plan.from(from)?, 0, date)
                }
                None => None,
                Some(spans) => {
                    let from = previous.timestamp() + 1;
                    let shown = |offset: i64| match second + offset as i32 {
                        second @ 0..86_400 => Some(Civil { date: civil_date(date), second: second as u32 }),
                        _ => Civil::from_seconds(from + offset),
                    };
                    match quiet_from(&inner.plan, spans, from, shown) {
                        Quiet::At(civil, instant, offset) => {
                            instant_of(civil, offset, date).or_else(|| DateTime::from_timestamp(instant, 0))
                        }
                        Quiet::Never => return None,
                        Quiet::Unclear => None,
                    }
                }
            };
            if let Some(next) = next {
                let ends = inner.options.window.end != i64::MAX && next.timestamp_micros() > inner.options.window.end;
                return if ends { None } else { Some(next) };
            }
        }
        self.next_anywhere(previous, now)
    }

    #[inline(never)]
    fn next_anywhere(&self, previous: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let window = self.0.options.window;
        let mut from = match previous {
            Some(previous) => previous.timestamp() + 1,
            None => now.timestamp() + i64::from(now.timestamp_subsec_nanos() > 0),
        };
        if window.start != i64::MIN {
            from = from.max(window.start.div_euclid(MICROS) + i64::from(window.start % MICROS != 0));
        }
        let next = match self.spans() {
            None => self.0.plan.at_or_after(from),
            Some(spans) => self.walk(spans).at_or_after(from),
        }?;
        if next > window.end.div_euclid(MICROS) { None } else { DateTime::from_timestamp(next, 0) }
    }

    pub(in crate::trigger) fn previous(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let window = self.0.options.window;
        let to = at.timestamp().min(window.end.div_euclid(MICROS));
        let previous = match self.spans() {
            None => self.0.plan.at_or_before(to),
            Some(spans) => self.walk(spans).at_or_before(to),
        }? * MICROS;
        if window.contains(previous) { instant(previous) } else { None }
    }

    /// The table of the zone; none for UTC, which needs none.
    #[inline]
    fn spans(&self) -> Option<&'static Spans> {
        match self.zone() {
            None | Some(Tz::UTC) => None,
            Some(zone) => Some(Spans::of(zone)),
        }
    }

    /// What becomes of skipped and repeated civil times; never `Auto`.
    pub(crate) fn rules(&self) -> (Gap, RepeatedHour) {
        let inner = &*self.0;
        let gap = match (inner.options.gap, inner.follows_real_time) {
            (Gap::Auto, true) => Gap::Skip,
            (Gap::Auto, false) => Gap::NextValid,
            (gap, _) => gap,
        };
        let overlap = match (inner.options.overlap, inner.follows_real_time) {
            (RepeatedHour::Auto, true) => RepeatedHour::Both,
            (RepeatedHour::Auto, false) => RepeatedHour::First,
            (overlap, _) => overlap,
        };
        (gap, overlap)
    }

    fn walk(&self, spans: &'static Spans) -> Walk<'_> {
        let (gap, overlap) = self.rules();
        Walk { plan: &self.0.plan, spans, gap, overlap }
    }
}

#[inline]
fn civil_date(date: NaiveDate) -> calendar::Date {
    calendar::Date { year: date.year() as u32, month: date.month(), day: date.day() }
}

/// The instant at which clocks with this offset show a civil time, if it has the same date in UTC: that is the cheap
/// case, all the more if it is today.
#[inline(always)]
fn instant_of(civil: Civil, offset: i64, today: NaiveDate) -> Option<DateTime<Utc>> {
    let second = civil.second as i32 - offset as i32;
    if !(0..86_400).contains(&second) {
        return None;
    }
    let calendar::Date { year, month, day } = civil.date;
    let date = if civil_date(today) == civil.date { today } else { NaiveDate::from_ymd_opt(year as i32, month, day)? };
    Some(date.and_time(NaiveTime::from_num_seconds_from_midnight_opt(second as u32, 0)?).and_utc())
}

/// An expression in a zone, under the rules that hold for it.
struct Walk<'a> {
    plan: &'a Plan,
    spans: &'a Spans,
    gap: Gap,
    overlap: RepeatedHour,
}

/// The first fire time at or after a second, if all lies in quiet stretches; `shown` is what the clocks show at `from`.
#[inline]
fn quiet_from(plan: &Plan, spans: &Spans, from: i64, shown: impl FnOnce(i64) -> Option<Civil>) -> Quiet {
    let span = spans.span(spans.at(from));
    // Before 1970 nothing matches, and civil times are cut off there.
    if !span.is_quiet(from) || from + span.offset < 0 {
        return Quiet::Unclear;
    }
    let Some(shown) = shown(span.offset) else { return Quiet::Never };
    let Some(civil) = plan.from(shown) else { return Quiet::Never };
    let seconds = from + span.offset + civil.seconds_since(&shown);
    let instant = seconds - span.offset;
    if instant < span.quiet_until {
        return Quiet::At(civil, instant, span.offset);
    }
    // The civil time is the next one, wherever it lies; if that is quiet again, it stands for one instant.
    let later = spans.span(spans.at(instant));
    let instant = seconds - later.offset;
    if later.is_quiet(instant) { Quiet::At(civil, instant, later.offset) } else { Quiet::Unclear }
}

/// What a look at the quiet stretches says.
enum Quiet {
    /// What the clocks show, the second since 1970, and the offset.
    At(Civil, i64, i64),
    Never,
    /// A transition is near: look at each span.
    Unclear,
}

impl Walk<'_> {
    /// The first fire time at or after a second.
    fn at_or_after(&self, from: i64) -> Option<i64> {
        match quiet_from(self.plan, self.spans, from, |offset| Civil::from_seconds(from + offset)) {
            Quiet::At(_, instant, _) => Some(instant),
            Quiet::Never => None,
            Quiet::Unclear => self.at_or_after_near(self.spans, self.spans.at(from), from),
        }
    }

    /// The last fire time at or before a second.
    fn at_or_before(&self, to: i64) -> Option<i64> {
        let spans = self.spans;
        let number = spans.at(to);
        let span = spans.span(number);
        if span.is_quiet(to) {
            let civil = self.plan.at_or_before(to + span.offset)?;
            let instant = civil - span.offset;
            if instant >= span.quiet_from {
                return Some(instant);
            }
            let earlier = spans.span(spans.at(instant));
            let instant = civil - earlier.offset;
            if earlier.is_quiet(instant) {
                return Some(instant);
            }
        }
        self.at_or_before_near(spans, number, to)
    }

    #[cold]
    fn at_or_after_near(&self, spans: &Spans, first: usize, from: i64) -> Option<i64> {
        let mut number = first;
        let mut best = None;
        while let Some(span) = spans.get(number) {
            let (low, high) = self.shown(spans, number);
            let civil = self.plan.at_or_after(low.max(from + span.offset));
            let shown = civil.filter(|&civil| civil < high).map(|civil| civil - span.offset);
            for found in [shown, self.made_up_after(spans, number, from)].into_iter().flatten() {
                best = Some(best.map_or(found, |best: i64| best.min(found)));
            }
            if best.is_some_and(|best| best < span.until) {
                break;
            }
            number = match civil {
                // The span after the first may show times again; from then on nothing lies before `civil`.
                _ if number == first => number + 1,
                Some(civil) => (number + 1).max(spans.at(civil - 3 * DAY)),
                None => break,
            };
        }
        best
    }

    #[cold]
    fn at_or_before_near(&self, spans: &Spans, first: usize, to: i64) -> Option<i64> {
        let mut number = first;
        loop {
            let span = spans.span(number);
            let (low, high) = self.shown(spans, number);
            let civil = self.plan.at_or_before((high - 1).min(to + span.offset));
            let shown = civil.filter(|&civil| civil >= low).map(|civil| civil - span.offset);
            // What the gap at its beginning makes up lies in this span; earlier spans have nothing later.
            if let Some(found) = shown.max(self.made_up_before(spans, number, to)) {
                return Some(found);
            }
            number = match civil {
                _ if number == 0 => return None,
                _ if number == first => number - 1,
                Some(civil) => (number - 1).min(spans.at(civil + 3 * DAY)),
                None if number + 1 < first => return None,
                None => number - 1,
            };
        }
    }

    /// The civil seconds that a span shows and that count in it, from the first to before the second.
    fn shown(&self, spans: &Spans, number: usize) -> (i64, i64) {
        let span = spans.span(number);
        let (mut low, mut high) = (span.from + span.offset, span.until + span.offset);
        if let (RepeatedHour::First, Some(before)) = (self.overlap, earlier(spans, number)) {
            low = low.max(span.from + before.offset);
        }
        if let (RepeatedHour::Second, Some(after)) = (self.overlap, spans.get(number + 1)) {
            high = high.min(span.until + after.offset);
        }
        (low, high)
    }

    /// The first fire time, at or after `from`, that stands for civil times skipped before a span.
    fn made_up_after(&self, spans: &Spans, number: usize, from: i64) -> Option<i64> {
        let (low, high, before) = skipped(spans, number)?;
        let at = spans.span(number).from;
        match self.gap {
            Gap::Skip | Gap::Auto => None,
            Gap::NextValid if at < from => None,
            Gap::NextValid => self.plan.at_or_after(low).filter(|&civil| civil < high).map(|_| at),
            Gap::Shift => {
                self.plan.at_or_after(low.max(from + before)).filter(|&civil| civil < high).map(|civil| civil - before)
            }
        }
    }

    /// The last fire time, at or before `to`, that stands for civil times skipped before a span.
    fn made_up_before(&self, spans: &Spans, number: usize, to: i64) -> Option<i64> {
        let (low, high, before) = skipped(spans, number)?;
        let at = spans.span(number).from;
        match self.gap {
            Gap::Skip | Gap::Auto => None,
            Gap::NextValid if at > to => None,
            Gap::NextValid => self.plan.at_or_before(high - 1).filter(|&civil| civil >= low).map(|_| at),
            Gap::Shift => self
                .plan
                .at_or_before((high - 1).min(to + before))
                .filter(|&civil| civil >= low)
                .map(|civil| civil - before),
        }
    }
}

/// The civil seconds that are skipped where a span begins, and the offset before it.
fn skipped(spans: &Spans, number: usize) -> Option<(i64, i64, i64)> {
    let (span, before) = (spans.span(number), earlier(spans, number)?);
    (span.offset > before.offset).then_some((span.from + before.offset, span.from + span.offset, before.offset))
}

fn earlier(spans: &Spans, number: usize) -> Option<&Span> {
    number.checked_sub(1).and_then(|number| spans.get(number))
}
