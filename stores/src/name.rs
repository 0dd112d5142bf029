//! Names that a database takes without quotes, whoever writes the statements.

use scheduler_core::store::{StoreError, StoreErrorKind};

/// Refuses a name of another form, in a message that begins with `what` it names: letters, of which some databases take
/// lower-case ones only, digits and underscores. What begins with `reserved` is the database's own.
pub(crate) fn check_name(
    what: &str,
    name: &str,
    is_letter: fn(&u8) -> bool,
    reserved: Option<&str>,
) -> Result<(), StoreError> {
    let is_word = name.bytes().all(|b| is_letter(&b) || b.is_ascii_digit() || b == b'_');
    let is_reserved = reserved.is_some_and(|reserved| name.to_ascii_lowercase().starts_with(reserved));
    if is_word && !is_reserved && !name.starts_with(|c: char| c.is_ascii_digit()) && name.len() <= 32 {
        return Ok(());
    }
    let letters = if is_letter(&b'A') { "letters" } else { "lower-case letters" };
    let or_reserved = reserved.map(|reserved| format!(" or `{reserved}`")).unwrap_or_default();
    let message = format!(
        "{what} {name:?}: take at most 32 {letters}, digits and underscores, not beginning with a digit{or_reserved}"
    );
    Err(StoreError::new(StoreErrorKind::Rejected, message))
}
