//! How deep arrays and objects may lie in each other in what is written as JSON.

use serde_json::Value;

/// The most arrays and objects that may lie in each other in a job's arguments, in what its trigger carries, and in what a
/// task returns from a worker process.
///
/// What reads JSON gives up at some depth, `serde_json` at 128 levels; the rest is for what lies around it: a row of a store, a
/// message to a worker process, a list of exported jobs.
///
/// ```
/// use scheduler_core::NESTING_LIMIT;
/// assert_eq!(NESTING_LIMIT, 120);
/// ```
pub const NESTING_LIMIT: usize = 120;

/// Whether more arrays and objects than [`NESTING_LIMIT`] lie in each other in a value.
///
/// ```
/// use scheduler_core::{NESTING_LIMIT, is_nested_too_deeply};
/// use serde_json::{Value, json};
///
/// let mut value = Value::Null;
/// for _ in 0..NESTING_LIMIT {
///     value = json!([value]);
/// }
/// assert!(!is_nested_too_deeply(&value));
/// assert!(is_nested_too_deeply(&json!({ "a": value })));
/// ```
pub fn is_nested_too_deeply(value: &Value) -> bool {
    is_deeper(value, NESTING_LIMIT)
}

fn is_deeper(value: &Value, levels: usize) -> bool {
    let inner = levels.checked_sub(1);
    let is_deeper_part = |part| inner.is_none_or(|inner| is_deeper(part, inner));
    match value {
        Value::Array(_) | Value::Object(_) if inner.is_none() => true,
        Value::Array(parts) => parts.iter().any(is_deeper_part),
        Value::Object(fields) => fields.values().any(is_deeper_part),
        _ => false,
    }
}
