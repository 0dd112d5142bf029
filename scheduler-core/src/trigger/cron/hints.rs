//! What the author of an expression probably meant: most mistakes are another dialect's spelling.

use super::Dialect;
use super::parse::Field;

/// The likely meaning of a word that a field cannot hold.
pub(super) fn hint(dialect: Dialect, field: &Field, word: &str) -> Option<String> {
    if let Some(name) = field.names.iter().find(|name| is_longer(word, &name[..3])) {
        return Some(format!("write `{}`", &name[..3]));
    }
    match (dialect, field.name, word) {
        (Dialect::Fields, "day_of_week", "7") => Some("Sunday is 6 here; use `sun`".into()),
        (Dialect::Fields, "day", "L" | "l") => Some("the last day is `last` here".into()),
        (_, "hour", "24") => Some("midnight is 0".into()),
        (Dialect::Quartz, "day of week", "0") => {
            Some("Sunday is 1 here; use `sun`, or the crontab dialect, which has seconds too".into())
        }
        (Dialect::Crontab | Dialect::Quartz, "day of month" | "day of week", "last") => {
            Some("the last one is written with `L` here".into())
        }
        (_, "minute" | "second", "60") => Some("the next full one is 0".into()),
        (_, "month", "0") => Some("January is 1".into()),
        _ => None,
    }
}

/// What to write instead of a term that another dialect has; the dialect is named.
pub(super) fn refused(dialect: Dialect, field: &Field, term: &str) -> Option<String> {
    let is_fields = dialect == Dialect::Fields;
    let (is_day, is_weekday) = (field.name.starts_with("day"), field.name.ends_with("week"));
    if let Some(step) = term.strip_prefix('/') {
        return Some(format!("write `*/{step}`"));
    }
    if term.starts_with('?') {
        return Some(match (is_fields, is_day) {
            (true, _) => "`?` is for crontab and Quartz expressions; write `*`".into(),
            (false, true) => "`?` stands alone, for any day".into(),
            (false, false) => "`?` may stand for day of month and day of week; write `*`".into(),
        });
    }
    if term.starts_with('+') && is_weekday {
        return Some(
            "`+` is for croner; day and weekday must both match in named fields and in Quartz expressions".into(),
        );
    }
    if term.contains('~') {
        let (first, last) = (field.min, field.max);
        return Some(format!("`~` is for cronie and OpenBSD; a drawn value is H, or H({first}-{last}), here"));
    }
    if !is_fields {
        return None;
    }
    if matches!(term.as_bytes(), [b'H' | b'h'] | [b'H' | b'h', b'/' | b'(', ..]) {
        return Some("`H` is for crontab and Quartz expressions; spread jobs by `jitter` here".into());
    }
    let has_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let upper = term.to_ascii_uppercase();
    if is_weekday && (upper.contains('#') || upper.strip_suffix('L').is_some_and(|day| !day.is_empty())) {
        return Some("this is for crontab and Quartz expressions; write it as a day: `2nd fri`, `last fri`".into());
    }
    let is_last = upper == "LW" || upper.starts_with("L-");
    (is_day && !is_weekday && (is_last || upper.strip_suffix('W').is_some_and(has_number)))
        .then(|| "this is for crontab and Quartz expressions".into())
}

/// Why what follows a value cannot.
pub(super) fn more(term: &str, next: u8, field: &Field) -> &'static str {
    let is_weekday = field.name.ends_with("week");
    match next {
        b'#' if is_weekday => "`#` takes one weekday, not a range; list them, as in mon#1,tue#1",
        b'L' | b'l' if is_weekday => "`L` takes one weekday, not a range; list them, as in monL,tueL",
        b'-' | b'/' if is_weekday && term.contains('#') => "`#` takes one number; list them, as in mon#1,mon#3",
        b'-' | b'/' if term.contains(['W', 'w']) => "`W` takes one day; list them, as in 1W,15W",
        b'~' => "`~` is for cronie and OpenBSD; a drawn value is written H(0-29) here",
        _ => "there is more than a value; separate values by commas",
    }
}

/// True for `mond` and `mon`.
fn is_longer(word: &str, name: &str) -> bool {
    word.len() > name.len() && word.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
}
