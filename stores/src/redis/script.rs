//! The scripts that the server runs, each as a whole.

use std::sync::LazyLock;

use redis::{Cmd, Script, ToRedisArgs};

use super::names::Names;

/// A script, which the server knows by its digest after it has been loaded once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lua {
    /// The due jobs that a claim can take.
    Due,
    /// When to claim next.
    Next,
    /// Jobs with their definitions.
    Rows,
    /// Writes of jobs that are as they were read.
    Write,
    /// Keys of an earlier schema are brought up to date.
    Upgrade,
}

static SCRIPTS: LazyLock<[(String, Script); 5]> = LazyLock::new(|| {
    let found = include_str!("lua/found.lua");
    [
        ["", include_str!("lua/due.lua")],
        ["", include_str!("lua/next.lua")],
        ["", include_str!("lua/rows.lua")],
        [found, include_str!("lua/write.lua")],
        [found, include_str!("lua/upgrade.lua")],
    ]
    .map(|[found, text]| {
        let text = [include_str!("lua/base.lua"), found, text].concat();
        let script = Script::new(&text);
        (text, script)
    })
});

impl Lua {
    /// A call of the script, to which its arguments are added.
    pub(super) fn call(self, names: &Names) -> Cmd {
        let [due, next, rows, write, upgrade] = &*SCRIPTS;
        let (_, script) = match self {
            Self::Due => due,
            Self::Next => next,
            Self::Rows => rows,
            Self::Write => write,
            Self::Upgrade => upgrade,
        };
        let mut command = redis::cmd("EVALSHA");
        command.arg(script.get_hash()).arg(1).arg(names.key("meta"));
        command
    }
}

/// Adds a list to a call, preceded by its length.
pub(super) fn list<T: ToRedisArgs>(command: &mut Cmd, items: impl ExactSizeIterator<Item = T>) {
    command.arg(items.len());
    for item in items {
        command.arg(item);
    }
}

/// The commands that load all scripts into a server that does not know them.
pub(super) fn load() -> impl Iterator<Item = Cmd> {
    SCRIPTS.iter().map(|(text, _)| {
        let mut command = redis::cmd("SCRIPT");
        command.arg("LOAD").arg(text);
        command
    })
}
