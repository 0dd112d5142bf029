//! How the name of a node is written into a table, so that names which differ are different to every database.
//!
//! MySQL and MariaDB compare texts with blanks added at their ends, in an index too. A name that ends in one is therefore
//! written with a mark behind it, and so is one that ends in the mark. All others are written as they are.

use std::borrow::Cow;

use scheduler_core::NodeId;

/// No blank, and nothing that a name is likely to end in: the unit separator of ASCII.
const MARK: char = '\u{1f}';

/// A name as it is written.
pub(crate) fn written(id: &NodeId) -> Cow<'_, str> {
    let name = id.as_str();
    if name.ends_with([' ', MARK]) { format!("{name}{MARK}").into() } else { name.into() }
}

/// A name from what is written.
pub(crate) fn read(mut name: String) -> NodeId {
    if name.ends_with(MARK) {
        name.pop();
    }
    name.into()
}

#[cfg(test)]
mod tests {
    use super::{read, written};

    #[test]
    fn no_written_name_ends_in_a_blank_and_each_is_read_as_it_was() {
        for name in ["node", "", " ", "node ", "node  ", "node\u{1f}", "node \u{1f}", "node\u{1f} ", " node"] {
            let id = name.into();
            let text = written(&id).into_owned();
            assert!(!text.ends_with(' '), "{text:?}");
            assert_eq!(read(text), id);
        }
        assert_eq!(written(&"host-7:4711".into()), "host-7:4711");
    }
}
