//! The script that holds all verbs, so that the server has to know one digest.

use std::sync::LazyLock;

use redis::{Cmd, Script};

/// The files in the order of their dependence.
const TEXT: &str = concat!(
    include_str!("lua/base.lua"),
    include_str!("lua/head.lua"),
    include_str!("lua/settle.lua"),
    include_str!("lua/record.lua"),
    include_str!("lua/job.lua"),
    include_str!("lua/index.lua"),
    include_str!("lua/node.lua"),
    include_str!("lua/claim.lua"),
    include_str!("lua/verbs.lua"),
);

static SCRIPT: LazyLock<Script> = LazyLock::new(|| Script::new(TEXT));

/// A verb with its arguments.
#[derive(Debug, Clone)]
pub(super) struct Invocation {
    pub(super) verb: &'static str,
    /// What it is called with, in JSON.
    pub(super) call: String,
    /// Definitions of jobs, which would grow in JSON.
    pub(super) bodies: Vec<String>,
}

impl Invocation {
    /// For a server that knows the script, as it does after the first call.
    pub(super) fn by_digest(&self, key: &str) -> Cmd {
        self.command("EVALSHA", SCRIPT.get_hash(), key)
    }

    /// For a server that does not.
    pub(super) fn by_text(&self, key: &str) -> Cmd {
        self.command("EVAL", TEXT, key)
    }

    fn command(&self, name: &str, script: &str, key: &str) -> Cmd {
        let mut command = redis::cmd(name);
        command.arg(script).arg(1).arg(key).arg(self.verb).arg(&self.call).arg(&self.bodies);
        command
    }
}
