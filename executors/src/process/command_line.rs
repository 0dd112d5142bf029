//! What to run, as a value.

use std::{collections::BTreeMap, process::Command};

use serde::{Deserialize, Deserializer, Serialize, de};

/// A program with its arguments, environment, working folder and input: what a job of [`Commands::task`] has as arguments.
///
/// No shell comes between: arguments are handed over as they are, and `$HOME` or `*` mean nothing in them. For a shell's
/// language, run a shell: `CommandLine::new("sh").arg("-c").arg("gzip *.log")`.
///
/// In JSON only `program` has to be there. A field that is not known is an error, and so is a text that no program can be
/// given; both show when the job is added.
///
/// ```
/// use scheduler_executors::process::CommandLine;
/// use serde_json::json;
///
/// let line = CommandLine::new("pg_dump").args(["--format", "custom"]).arg("shop").env("PGUSER", "backup");
/// let written = json!({"program": "pg_dump", "args": ["--format", "custom", "shop"], "env": {"PGUSER": "backup"}});
/// assert_eq!(serde_json::to_value(&line)?, written);
/// assert_eq!(serde_json::from_value::<CommandLine>(written)?, line);
/// # Ok::<(), serde_json::Error>(())
/// ```
///
/// [`Commands::task`]: super::Commands::task
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct CommandLine(Fields);

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    program: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    args: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    env: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    clear_env: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    inherit_env: Option<Vec<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    working_folder: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stdin: Option<String>,
}

impl CommandLine {
    /// A program without arguments, by its path or by a name that is looked for in `PATH`.
    pub fn new(program: impl Into<String>) -> Self {
        Self(Fields {
            program: program.into(),
            args: Vec::new(),
            env: BTreeMap::new(),
            clear_env: false,
            inherit_env: None,
            working_folder: None,
            stdin: None,
        })
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.0.args.push(arg.into());
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args(mut self, args: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.0.args.extend(args.into_iter().map(Into::into));
        self
    }

    /// Sets a variable of the environment.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.env.insert(name.into(), value.into());
        self
    }

    /// Leaves out the environment of this process, so that the program has only the variables that are set here.
    #[must_use]
    pub fn clear_env(mut self) -> Self {
        self.0.clear_env = true;
        self
    }

    /// Leaves out the environment of this process but for these variables. Defaults to all of it, in which there may be
    /// passwords. Without `PATH` the program is looked for where the system looks by default.
    #[must_use]
    pub fn inherit_env(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.0.inherit_env = Some(names.into_iter().map(Into::into).collect());
        self
    }

    /// The folder in which the program starts. Defaults to that of this process.
    #[doc(alias = "current_dir")]
    #[doc(alias = "cwd")]
    #[must_use]
    pub fn working_folder(mut self, folder: impl Into<String>) -> Self {
        self.0.working_folder = Some(folder.into());
        self
    }

    /// What the program reads from its standard input. Defaults to nothing.
    #[must_use]
    pub fn stdin(mut self, text: impl Into<String>) -> Self {
        self.0.stdin = Some(text.into());
        self
    }

    pub(super) fn program(&self) -> &str {
        &self.0.program
    }

    pub(super) fn folder(&self) -> Option<&str> {
        self.0.working_folder.as_deref()
    }

    pub(super) fn input(&self) -> Option<&str> {
        self.0.stdin.as_deref()
    }

    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.0.program);
        let inherited = self.0.inherit_env.iter().flatten();
        let inherited = inherited.filter_map(|name| Some((name, std::env::var_os(name)?)));
        let inherited: Vec<_> = inherited.filter(|_| !self.0.clear_env).collect();
        if self.0.clear_env || self.0.inherit_env.is_some() {
            command.env_clear().envs(inherited);
        }
        command.args(&self.0.args).envs(&self.0.env);
        if let Some(folder) = &self.0.working_folder {
            command.current_dir(folder);
        }
        command
    }

    /// Says why no system could run this.
    pub(super) fn check(&self) -> Result<(), String> {
        let Fields { program, args, env, inherit_env, working_folder, .. } = &self.0;
        if program.is_empty() {
            return Err("the program has no name".to_owned());
        }
        let inherited = inherit_env.iter().flatten();
        if let Some(name) = env.keys().chain(inherited).find(|name| name.is_empty() || name.contains(['=', '\0'])) {
            return Err(format!("{name:?} cannot be the name of a variable"));
        }
        let mut texts = args.iter().chain(env.keys()).chain(env.values()).chain(working_folder).chain([program]);
        match texts.find(|text| text.contains('\0')) {
            Some(text) => Err(format!("{text:?} has a NUL in it, which no program can be given")),
            None => Ok(()),
        }
    }
}

impl<'de> Deserialize<'de> for CommandLine {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let line = Self(Fields::deserialize(deserializer)?);
        line.check().map_err(de::Error::custom)?;
        Ok(line)
    }
}
