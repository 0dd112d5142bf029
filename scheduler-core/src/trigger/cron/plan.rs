//! A compiled expression: which civil seconds match, as bit masks, and the search for the nearest one.
//!
//! A month is one mask of matching days, so a search takes a few bit operations per month and never walks days, hours
//! or minutes. Whatever the dialect, whatever the zone: both are dealt with before and after.

use super::calendar::{self, Civil, Date, LAST_DAY, days, month_length, weekday};
use super::parse::Range;

const DAY: i64 = 86_400;
pub(super) const FIRST_YEAR: u32 = 1970;
pub(super) const LAST_YEAR: u32 = 9999;
/// After 400 years the Gregorian calendar repeats, weekdays and ISO weeks included.
const CYCLE: u32 = 400;

/// The compiled form; 64 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) second: u64,
    pub(super) minute: u64,
    /// Bit `8 * n + weekday`: the nth such weekday of the month, 1 to 5; n = 6 for the last.
    pub(super) nth: u64,
    /// Bits 1 to 53, ISO weeks; zero for any.
    pub(super) week: u64,
    /// None for any.
    pub(super) years: Option<Box<Years>>,
    pub(super) hour: u32,
    /// Bits 1 to 31.
    pub(super) day: u32,
    /// Bit k: k days before the last day of the month.
    pub(super) before_last: u32,
    /// Bit d: the weekday (Monday to Friday) nearest to day d, within the month.
    pub(super) nearest: u32,
    /// Bit k: the weekday nearest to the day that is k days before the last.
    pub(super) nearest_before_last: u32,
    /// Bits 1 to 12.
    pub(super) month: u16,
    /// Bits 0 to 6, Monday first.
    pub(super) weekday: u8,
    pub(super) join: Join,
}

/// How the day of the month and the weekday go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Join {
    /// Only `day` and `weekday` are in use, and both must match: the short way.
    Plain,
    /// Both must match; `nth` counts as a day of the month.
    BothNthIsDay,
    /// Both must match; `nth` counts as a weekday.
    Both,
    /// One must match; `nth` counts as a weekday.
    Either,
}

/// A set of years, as ranges with a step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Years(pub(super) Vec<(u16, u16, u16)>);

impl Years {
    /// True if each year is in it anyway.
    pub(super) fn is_any(&self) -> bool {
        self.0.contains(&(FIRST_YEAR as u16, LAST_YEAR as u16, 1))
    }

    pub(super) fn add(&mut self, range: Range) {
        self.0.push((range.first as u16, range.last as u16, range.step as u16));
    }

    /// As a plan has them: none for any.
    pub(super) fn boxed(self) -> Option<Box<Self>> {
        (!self.is_any()).then(|| Box::new(self))
    }

    fn at_or_after(&self, year: u32) -> Option<u32> {
        let next = |&(first, last, step): &(u16, u16, u16)| {
            let (first, last, step) = (u32::from(first), u32::from(last), u32::from(step));
            let next = if year <= first { first } else { first + (year - first).div_ceil(step) * step };
            (next <= last).then_some(next)
        };
        self.0.iter().filter_map(next).min()
    }

    fn at_or_before(&self, year: u32) -> Option<u32> {
        let previous = |&(first, last, step): &(u16, u16, u16)| {
            let (first, last, step) = (u32::from(first), u32::from(last), u32::from(step));
            let top = year.min(last);
            (top >= first).then(|| top - (top - first) % step)
        };
        self.0.iter().filter_map(previous).max()
    }
}

impl Plan {
    /// Every second.
    pub(super) const EVERY: Self = Self {
        second: (1 << 60) - 1,
        minute: (1 << 60) - 1,
        nth: 0,
        week: 0,
        years: None,
        hour: (1 << 24) - 1,
        day: !1,
        before_last: 0,
        nearest: 0,
        nearest_before_last: 0,
        month: 0x1ffe,
        weekday: 0x7f,
        join: Join::Plain,
    };

    /// True if the day of the month is no condition, whatever else is said of it.
    pub(super) fn has_any_day(&self) -> bool {
        self.day == Self::EVERY.day
    }

    /// True if the weekday is no condition, whatever else is said of it.
    pub(super) fn has_any_weekday(&self) -> bool {
        self.weekday == Self::EVERY.weekday
    }

    /// The first matching civil second at or after one.
    pub(super) fn at_or_after(&self, civil: i64) -> Option<i64> {
        self.from(Civil::from_seconds(civil)?).map(|civil| civil.seconds())
    }

    /// The first match at or after a civil time of the years 1970 to 9999.
    #[inline(always)]
    pub(super) fn from(&self, civil: Civil) -> Option<Civil> {
        let Date { year, month, day } = civil.date;
        if self.month >> month & 1 != 0 && self.has_year(year) {
            // Most often the next match is today, and then the month need not be looked at.
            if self.has_plain_day(civil.date)
                && let Some(second) = self.second_from(civil.second)
            {
                return Some(Civil { date: civil.date, second });
            }
            let mut mask = self.days(year, month) >> day;
            if mask & 1 != 0
                && self.join != Join::Plain
                && let Some(second) = self.second_from(civil.second)
            {
                return Some(Civil { date: civil.date, second });
            }
            mask &= !1;
            if mask != 0 {
                let day = day + mask.trailing_zeros();
                return Some(Civil { date: Date { year, month, day }, second: self.first_second() });
            }
        }
        let date = self.first_day_after(year, month)?;
        Some(Civil { date, second: self.first_second() })
    }

    #[inline]
    fn has_plain_day(&self, Date { year, month, day }: Date) -> bool {
        self.join == Join::Plain
            && self.day >> day & 1 != 0
            && (self.weekday == 0x7f || self.weekday >> weekday(days(year, month, day)) & 1 != 0)
    }

    /// The last matching civil second at or before one.
    pub(super) fn at_or_before(&self, civil: i64) -> Option<i64> {
        if civil < 0 {
            return None;
        }
        let last = i64::from(LAST_DAY) * DAY + DAY - 1;
        let civil = civil.min(last);
        let (day, second) = ((civil / DAY) as u32, (civil % DAY) as u32);
        let date = calendar::date(day);
        if self.month >> date.month & 1 != 0 && self.has_year(date.year) {
            let first = day - (date.day - 1);
            let mut mask = self.days(date.year, date.month) & (u32::MAX >> (31 - date.day));
            if mask >> date.day & 1 != 0 {
                if let Some(second) = self.second_to(second) {
                    return Some(i64::from(day) * DAY + i64::from(second));
                }
                mask &= !(1 << date.day);
            }
            if mask != 0 {
                return Some(i64::from(first + mask.ilog2() - 1) * DAY + i64::from(self.last_second()));
            }
        }
        let day = self.last_day_before(date.year, date.month)?;
        Some(i64::from(day) * DAY + i64::from(self.last_second()))
    }

    #[inline]
    fn has_year(&self, year: u32) -> bool {
        match &self.years {
            None => true,
            Some(years) => years.at_or_after(year) == Some(year),
        }
    }

    /// The first matching day of a later month.
    fn first_day_after(&self, mut year: u32, month: u32) -> Option<Date> {
        let mut months = self.month & (!1u16 << month);
        let bound = year + CYCLE;
        if !self.has_year(year) {
            months = 0;
        }
        loop {
            while months != 0 {
                let month = months.trailing_zeros();
                let mask = self.days(year, month);
                if mask != 0 {
                    return Some(Date { year, month, day: mask.trailing_zeros() });
                }
                months &= months - 1;
            }
            year = match &self.years {
                None if year >= bound => return None,
                None => year + 1,
                Some(years) => years.at_or_after(year + 1)?,
            };
            if year > LAST_YEAR {
                return None;
            }
            months = self.month;
        }
    }

    /// The last matching day of an earlier month.
    fn last_day_before(&self, mut year: u32, month: u32) -> Option<u32> {
        let mut months = self.month & ((1 << month) - 1);
        let bound = year.saturating_sub(CYCLE);
        if !self.has_year(year) {
            months = 0;
        }
        loop {
            while months != 0 {
                let month = months.ilog2();
                let first = days(year, month, 1);
                let mask = self.days(year, month);
                if mask != 0 {
                    return Some(first + mask.ilog2() - 1);
                }
                months &= !(1 << month);
            }
            year = match &self.years {
                None if year <= bound => return None,
                None => year - 1,
                Some(years) => years.at_or_before(year - 1)?,
            };
            if year < FIRST_YEAR {
                return None;
            }
            months = self.month;
        }
    }

    /// The matching days of a month; bit d for day d.
    #[inline]
    fn days(&self, year: u32, month: u32) -> u32 {
        let length = month_length(year, month);
        let month_mask = !(u32::MAX << 1 << length);
        if self.join != Join::Plain {
            return self.special_days(days(year, month, 1), length) & month_mask;
        }
        if self.weekday == 0x7f {
            return self.day & month_mask;
        }
        self.day & every_week(self.weekday, weekday(days(year, month, 1))) & month_mask
    }

    #[inline(never)]
    fn special_days(&self, first: u32, length: u32) -> u32 {
        let begins = weekday(first);
        let mut weekdays = every_week(self.weekday, begins);
        let mut mask = self.day;
        for back in bits(self.before_last) {
            mask |= (1 << length) >> back & !1;
        }
        for day in bits(self.nearest) {
            if day <= length {
                mask |= 1 << nearest_weekday(day, begins, length);
            }
        }
        for back in bits(self.nearest_before_last) {
            if back < length {
                mask |= 1 << nearest_weekday(length - back, begins, length);
            }
        }
        let nth = self.nth_days(begins, length);
        let mut joined = match self.join {
            Join::BothNthIsDay => (mask | nth) & weekdays,
            Join::Either => {
                weekdays |= nth;
                mask | weekdays
            }
            Join::Both | Join::Plain => mask & (weekdays | nth),
        };
        if self.week != 0 {
            for day in bits(joined) {
                if day >= 1 && day <= length && self.week >> calendar::iso_week(first + day - 1) & 1 == 0 {
                    joined &= !(1 << day);
                }
            }
        }
        joined & !1
    }

    fn nth_days(&self, begins: u32, length: u32) -> u32 {
        let mut mask = 0;
        let mut nth = self.nth;
        while nth != 0 {
            let bit = nth.trailing_zeros();
            nth &= nth - 1;
            let (which, weekday) = (bit / 8, bit % 8);
            let earliest = 1 + (weekday + 7 - begins) % 7;
            let day = if which == 6 { earliest + (length - earliest) / 7 * 7 } else { earliest + 7 * (which - 1) };
            if day <= length {
                mask |= 1 << day;
            }
        }
        mask
    }

    /// The first matching second of a day at or after one.
    #[inline]
    fn second_from(&self, from: u32) -> Option<u32> {
        let (hour, minute, second) = (from / 3600, from / 60 % 60, from % 60);
        if self.hour >> hour & 1 != 0 {
            if self.minute >> minute & 1 != 0 {
                let seconds = self.second >> second;
                if seconds != 0 {
                    return Some(from + seconds.trailing_zeros());
                }
            }
            let minutes = self.minute & (!1 << minute);
            if minutes != 0 {
                return Some(hour * 3600 + minutes.trailing_zeros() * 60 + self.second.trailing_zeros());
            }
        }
        let hours = self.hour & (!1 << hour);
        (hours != 0)
            .then(|| hours.trailing_zeros() * 3600 + self.minute.trailing_zeros() * 60 + self.second.trailing_zeros())
    }

    /// The last matching second of a day at or before one.
    fn second_to(&self, to: u32) -> Option<u32> {
        let (hour, minute, second) = (to / 3600, to / 60 % 60, to % 60);
        if self.hour >> hour & 1 != 0 {
            if self.minute >> minute & 1 != 0 {
                let seconds = self.second & (u64::MAX >> (63 - second));
                if seconds != 0 {
                    return Some(hour * 3600 + minute * 60 + seconds.ilog2());
                }
            }
            let minutes = self.minute & ((1 << minute) - 1);
            if minutes != 0 {
                return Some(hour * 3600 + minutes.ilog2() * 60 + self.second.ilog2());
            }
        }
        let hours = self.hour & ((1 << hour) - 1);
        (hours != 0).then(|| hours.ilog2() * 3600 + self.minute.ilog2() * 60 + self.second.ilog2())
    }

    #[inline]
    fn first_second(&self) -> u32 {
        self.hour.trailing_zeros() * 3600 + self.minute.trailing_zeros() * 60 + self.second.trailing_zeros()
    }

    fn last_second(&self) -> u32 {
        self.hour.ilog2() * 3600 + self.minute.ilog2() * 60 + self.second.ilog2()
    }
}

/// Bit d is set if day d has one of the weekdays; `begins` is the weekday of day 1.
#[inline]
fn every_week(weekdays: u8, begins: u32) -> u32 {
    let two_weeks = u64::from(weekdays) << 7 | u64::from(weekdays);
    let week = two_weeks >> begins & 0x7f;
    ((week * 0x1020_4081) << 1) as u32
}

/// The weekday nearest to a day, without leaving the month (Saturday the 1st becomes Monday the 3rd).
fn nearest_weekday(day: u32, begins: u32, length: u32) -> u32 {
    match (begins + day - 1) % 7 {
        5 if day == 1 => 3,
        5 => day - 1,
        6 if day == length => day - 2,
        6 => day + 1,
        _ => day,
    }
}

fn bits(mut mask: u32) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let bit = (mask != 0).then(|| mask.trailing_zeros())?;
        mask &= mask - 1;
        Some(bit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_compiled_expression_takes_64_bytes() {
        assert_eq!(size_of::<Plan>(), 64);
    }

    #[test]
    fn the_calendar_repeats_within_the_bound() {
        let february_30 = Plan { month: 1 << 2, day: 1 << 30, ..Plan::EVERY };
        assert_eq!(february_30.at_or_after(0), None);
        assert_eq!(february_30.at_or_before(i64::from(LAST_DAY) * DAY), None);
    }
}
