//! The yardstick: what a next-fire-time costs when every field is a bit mask
//! and a month is one 32-bit mask of matching days. It is stateless (instant
//! in, instant out), so each call pays for the calendar conversion both ways.
//! Day of month and day of week are both required to match.

pub(crate) enum Zone {
    Utc,
    NewYork,
}

#[derive(Clone, Debug)]
pub(crate) struct Masks {
    sec: u64,
    min: u64,
    hour: u32,
    month: u16,
    dom: u32,
    dow: u8,
    last_dom: bool,
    /// Weekday and which one in the month: 1 to 5, or 6 for the last.
    nth: Option<(u8, u8)>,
}

const MONTHS: [&str; 12] = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

fn number(s: &str, names: &[&str], base: u32) -> Option<u32> {
    if let Ok(v) = s.parse() {
        return Some(v);
    }
    names.iter().position(|n| n.eq_ignore_ascii_case(s)).map(|i| i as u32 + base)
}

fn field(s: &str, lo: u32, hi: u32, names: &[&str], base: u32) -> Option<u64> {
    let mut mask = 0u64;
    for part in s.split(',') {
        let (range, step) = match part.split_once('/') {
            Some((r, st)) => (r, st.parse().ok()?),
            None => (part, 1),
        };
        let (a, b) = if range == "*" {
            (lo, hi)
        } else if let Some((a, b)) = range.split_once('-') {
            (number(a, names, base)?, number(b, names, base)?)
        } else {
            let v = number(range, names, base)?;
            (v, v)
        };
        if a < lo || b > hi || a > b || step == 0 {
            return None;
        }
        for v in (a..=b).step_by(step) {
            mask |= 1 << v;
        }
    }
    Some(mask)
}

impl Masks {
    pub(crate) fn parse(s: &str) -> Option<Self> {
        let mut it = s.split_ascii_whitespace();
        let sec = field(it.next()?, 0, 59, &[], 0)?;
        let min = field(it.next()?, 0, 59, &[], 0)?;
        let hour = field(it.next()?, 0, 23, &[], 0)? as u32;
        let day = it.next()?;
        let month = field(it.next()?, 1, 12, &MONTHS, 1)? as u16;
        let weekday = it.next()?;
        let last_dom = day == "L";
        let dom = if last_dom { 0 } else { field(day, 1, 31, &[], 0)? as u32 };
        let (dow, nth) = match weekday.split_once('#') {
            Some((d, n)) => {
                let which = if n == "L" { 6 } else { n.parse().ok()? };
                (0x7f, Some((number(d, &DAYS, 0)? as u8, which)))
            }
            None => (field(weekday, 0, 6, &DAYS, 0)? as u8, None),
        };
        Some(Self { sec, min, hour, month, dom, dow, last_dom, nth })
    }

    /// Bit d is set when day d of the month matches.
    #[inline]
    fn days(&self, year: i64, month: u32) -> u32 {
        let len = month_len(year, month);
        let first = weekday(days_from_civil(year, month, 1));
        let mut m = if self.last_dom { 1u32 << len } else { self.dom };
        // Turn the week so that bit 0 is the weekday of the 1st, then repeat it.
        let week = self.dow as u32 | (self.dow as u32) << 7;
        let week = (week >> first) & 0x7f;
        let whole = week | week << 7 | week << 14 | week << 21 | week << 28;
        m &= whole << 1;
        if let Some((wd, which)) = self.nth {
            let d0 = 1 + (wd as u32 + 7 - first) % 7;
            let d = if which == 6 { d0 + (len - d0) / 7 * 7 } else { d0 + 7 * (which as u32 - 1) };
            m &= if d <= len { 1 << d } else { 0 };
        }
        m & (((2u64 << len) - 1) as u32)
    }

    /// Next matching second of the day at or after `tod`.
    #[inline]
    fn time_from(&self, tod: u32) -> Option<u32> {
        let (h, m, s) = (tod / 3600, tod / 60 % 60, tod % 60);
        if self.hour >> h & 1 != 0 {
            if self.min >> m & 1 != 0 {
                let c = self.sec >> s;
                if c != 0 {
                    return Some(tod + c.trailing_zeros());
                }
            }
            let c = self.min & (!1u64 << m);
            if c != 0 {
                return Some(h * 3600 + c.trailing_zeros() * 60 + self.sec.trailing_zeros());
            }
        }
        let c = self.hour & (!1u32 << h);
        (c != 0).then(|| c.trailing_zeros() * 3600 + self.first_in_hour())
    }

    #[inline]
    fn first_in_hour(&self) -> u32 {
        self.min.trailing_zeros() * 60 + self.sec.trailing_zeros()
    }

    /// Next local second strictly after local second `t`.
    #[inline]
    fn next_local(&self, t: i64) -> Option<i64> {
        let t = t + 1;
        let day = t.div_euclid(86_400);
        let (mut y, mut mo, d) = civil_from_days(day);
        let mut mask = 0;
        if self.month >> mo & 1 != 0 {
            mask = self.days(y, mo) >> d;
            if mask & 1 != 0
                && let Some(tod) = self.time_from(t.rem_euclid(86_400) as u32)
            {
                return Some(day * 86_400 + tod as i64);
            }
            mask >>= 1;
        }
        let first = (self.hour.trailing_zeros() * 3600 + self.first_in_hour()) as i64;
        if mask != 0 {
            return Some((day + 1 + mask.trailing_zeros() as i64) * 86_400 + first);
        }
        loop {
            let c = self.month & (!1u16 << mo);
            if c != 0 {
                mo = c.trailing_zeros();
            } else {
                y += 1;
                if y > 2199 {
                    return None;
                }
                mo = self.month.trailing_zeros();
            }
            let mask = self.days(y, mo);
            if mask != 0 {
                let d = days_from_civil(y, mo, mask.trailing_zeros());
                return Some(d * 86_400 + first);
            }
        }
    }

    #[inline]
    pub(crate) fn next(&self, t: i64, zone: &Zone) -> Option<i64> {
        match zone {
            Zone::Utc => self.next_local(t),
            Zone::NewYork => {
                let mut local = t + new_york_offset(t);
                loop {
                    local = self.next_local(local)?;
                    // Try daylight time, then standard time; neither holds in
                    // the skipped hour, and the first holds in the repeated one.
                    for off in [-4 * 3600, -5 * 3600] {
                        if new_york_offset(local - off) == off && local - off > t {
                            return Some(local - off);
                        }
                    }
                }
            }
        }
    }
}

/// Offset by the rule in force since 2007.
#[inline]
fn new_york_offset(t: i64) -> i64 {
    let (y, _, _) = civil_from_days(t.div_euclid(86_400));
    let sunday = |m: u32, nth: u32| {
        let first = days_from_civil(y, m, 1);
        first + ((7 - weekday(first)) % 7) as i64 + 7 * (nth as i64 - 1)
    };
    let start = sunday(3, 2) * 86_400 + 7 * 3600;
    let end = sunday(11, 1) * 86_400 + 6 * 3600;
    if t >= start && t < end { -4 * 3600 } else { -5 * 3600 }
}

#[inline]
fn weekday(days: i64) -> u32 {
    (days + 4).rem_euclid(7) as u32
}

#[inline]
fn month_len(y: i64, m: u32) -> u32 {
    if m == 2 { 28 + (y % 4 == 0 && (y % 100 != 0 || y % 400 == 0)) as u32 } else { 30 + ((m + (m >> 3)) & 1) }
}

#[inline]
fn days_from_civil(y: i64, m: u32, d: u32) -> i64 {
    let y = y - (m <= 2) as i64;
    let era = y.div_euclid(400);
    let yoe = y.rem_euclid(400) as u32;
    let doy = (153 * ((m + 9) % 12) + 2) / 5 + d - 1;
    era * 146_097 + (yoe * 365 + yoe / 4 - yoe / 100 + doy) as i64 - 719_468
}

#[inline]
fn civil_from_days(z: i64) -> (i64, u32, u32) {
    let z = z + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097) as u32;
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let d = doy - (153 * mp + 2) / 5 + 1;
    let m = if mp < 10 { mp + 3 } else { mp - 9 };
    (yoe as i64 + era * 400 + (m <= 2) as i64, m, d)
}
