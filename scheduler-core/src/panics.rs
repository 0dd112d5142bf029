//! Panics of a step that changes nothing but what it returns, as values: what is at fault can be named, and the rest goes on.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
};

/// Takes a step, of the scheduler or of a user's code; the error is the text of its panic.
///
/// ```
/// use scheduler_core::panics;
///
/// # std::panic::set_hook(Box::new(|_| {}));
/// assert_eq!(panics::catch(|| 42), Ok(42));
/// assert_eq!(panics::catch(|| panic!("no disk")), Err::<(), _>("no disk".to_owned()));
/// ```
///
/// # Errors
///
/// The text of the panic; that of a panic without one says so.
pub fn catch<T>(step: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(step)).map_err(|panic| {
        let text = text(&*panic).to_owned();
        // What a panic carries is a user's, whose drop may panic in turn; that one is left where it is.
        if let Err(another) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
            std::mem::forget(another);
        }
        text
    })
}

pub(crate) fn text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a value that is not text")
}
