//! Days since 1970 and dates, in the proleptic Gregorian calendar (Neri and Schneider's arithmetic).

/// 1970-01-01 in days since 0000-03-01.
const EPOCH: u32 = 719_468;
/// 9999-12-31.
pub(crate) const LAST_DAY: u32 = 2_932_896;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Date {
    pub(crate) year: u32,
    pub(crate) month: u32,
    pub(crate) day: u32,
}

/// What the clocks show: a date and the second of its day.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Civil {
    pub(crate) date: Date,
    pub(crate) second: u32,
}

impl Civil {
    /// From seconds since 1970; earlier counts as the beginning of 1970. None after 9999.
    #[inline]
    pub(crate) fn from_seconds(seconds: i64) -> Option<Self> {
        let seconds = seconds.max(0);
        let days = seconds / 86_400;
        if days > i64::from(LAST_DAY) {
            return None;
        }
        Some(Self { date: date(days as u32), second: (seconds % 86_400) as u32 })
    }

    /// How much later this is than another civil time, with no regard to any change of clocks.
    #[inline]
    pub(crate) fn seconds_since(&self, other: &Self) -> i64 {
        if (self.date.year, self.date.month) == (other.date.year, other.date.month) {
            let days = i64::from(self.date.day) - i64::from(other.date.day);
            return days * 86_400 + i64::from(self.second) - i64::from(other.second);
        }
        self.seconds() - other.seconds()
    }

    #[inline]
    pub(crate) fn seconds(&self) -> i64 {
        i64::from(days(self.date.year, self.date.month, self.date.day)) * 86_400 + i64::from(self.second)
    }
}

#[inline]
pub(crate) fn date(days: u32) -> Date {
    let n = 4 * (days + EPOCH) + 3;
    let (century, of_century) = (n / 146_097, n % 146_097 / 4);
    let product = 2_939_745 * u64::from(4 * of_century + 3);
    let (year_of_century, day_of_year) = ((product >> 32) as u32, (product as u32) / 2_939_745 / 4);
    let n = 2141 * day_of_year + 197_913;
    let (month, day) = (n >> 16, (n & 0xffff) / 2141 + 1);
    let after_december = u32::from(day_of_year >= 306);
    Date { year: 100 * century + year_of_century + after_december, month: month - 12 * after_december, day }
}

#[inline]
pub(crate) fn days(year: u32, month: u32, day: u32) -> u32 {
    let before_march = u32::from(month <= 2);
    let (year, month) = (year - before_march, month + 12 * before_march);
    let century = year / 100;
    1461 * year / 4 - century + century / 4 + (979 * month - 2919) / 32 + day - 1 - EPOCH
}

#[inline]
pub(crate) fn is_leap(year: u32) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

#[inline]
pub(crate) fn month_length(year: u32, month: u32) -> u32 {
    if month == 2 { 28 + u32::from(is_leap(year)) } else { 30 | (month ^ (month >> 3)) }
}

/// Monday is 0.
#[inline]
pub(crate) fn weekday(days: u32) -> u32 {
    (days + 3) % 7
}

/// The ISO week, 1 to 53, that holds a day.
pub(crate) fn iso_week(days: u32) -> u32 {
    // A week belongs to the year of its Thursday.
    let thursday = days + 3 - weekday(days);
    let new_year = self::days(date(thursday).year, 1, 1);
    (thursday - new_year) / 7 + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{Datelike, NaiveDate};

    #[test]
    fn it_agrees_with_chrono_on_each_day_until_9999() {
        let mut expected = NaiveDate::from_ymd_opt(1970, 1, 1).unwrap();
        for day in 0..=LAST_DAY {
            let found = date(day);
            assert_eq!(
                (found.year as i32, found.month, found.day),
                (expected.year(), expected.month(), expected.day())
            );
            assert_eq!(days(found.year, found.month, found.day), day);
            assert_eq!(weekday(day), expected.weekday().num_days_from_monday());
            assert_eq!(iso_week(day), expected.iso_week().week());
            let next = expected.succ_opt().unwrap();
            assert_eq!(month_length(found.year, found.month) == found.day, next.day() == 1);
            expected = next;
        }
        assert_eq!(expected, NaiveDate::from_ymd_opt(10_000, 1, 1).unwrap());
    }
}
