//! What somebody probably meant: most mistakes are another dialect's spelling.

use super::Dialect;
use super::parse::Field;

/// The likely meaning of a word that a field cannot hold.
pub(super) fn hint(dialect: Dialect, field: &Field, word: &str) -> Option<String> {
    if let Some(name) = field.names.iter().find(|name| is_longer(word, name)) {
        return Some(format!("write `{name}`"));
    }
    match (dialect, field.name, word) {
        (Dialect::Fields, "day_of_week", "7") => Some("Sunday is 6 here; use `sun`".into()),
        (Dialect::Fields, "day", "L" | "l") => Some("the last day is `last` here".into()),
        (Dialect::Fields, "day", "LW" | "lw") => Some("this is for crontab and Quartz expressions".into()),
        (Dialect::Fields, "hour", "24") => Some("midnight is 0".into()),
        (Dialect::Crontab | Dialect::Quartz, "hour", "24") => Some("midnight is 0".into()),
        (Dialect::Quartz, "day of week", "0") => Some("Sunday is 1 here; use `sun`".into()),
        (Dialect::Crontab, "day of month" | "day of week", "last") => Some("the last day is `L` here".into()),
        (_, "minute" | "second", "60") => Some("the next full one is 0".into()),
        (_, "month", "0") => Some("January is 1".into()),
        _ => None,
    }
}

/// True for `Monday` and `mon`, `sept` and `sep`.
fn is_longer(word: &str, name: &str) -> bool {
    word.len() > name.len() && word.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name))
}
