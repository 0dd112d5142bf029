//! The tasks that a process knows.

use std::collections::BTreeMap;

use scheduler_core::{Error, ErrorKind, Task, TaskName};

/// The tasks that a process knows, by name.
///
/// ```
/// use scheduler_executors::{Tasks, blocking, task};
///
/// async fn fetch() {}
/// fn compress() {}
///
/// let tasks = Tasks::new([task("fetch", fetch), blocking("compress", compress)])?;
/// assert!(tasks.task("fetch").is_some());
/// assert!(tasks.task("upload").is_none());
///
/// let twice = Tasks::new([task("fetch", fetch), blocking("fetch", compress)]);
/// assert_eq!(twice.unwrap_err().to_string(), "task `fetch` is registered twice; rename one of them");
/// # Ok::<(), scheduler_core::Error>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Tasks(BTreeMap<TaskName, Task>);

impl Tasks {
    /// A registry of these tasks.
    ///
    /// # Errors
    ///
    /// Two tasks have the same name.
    pub fn new(tasks: impl IntoIterator<Item = Task>) -> Result<Self, Error> {
        let mut registry = Self::default();
        for task in tasks {
            registry.add(task)?;
        }
        Ok(registry)
    }

    /// Adds a task.
    ///
    /// # Errors
    ///
    /// A task of this name is there already; that one stays.
    pub fn add(&mut self, task: Task) -> Result<(), Error> {
        let name = task.name();
        if self.0.contains_key(name) {
            let message = format!("task `{name}` is registered twice; rename one of them");
            return Err(Error::new(ErrorKind::Config, message));
        }
        self.0.insert(name.clone(), task);
        Ok(())
    }

    /// The task of this name.
    pub fn task(&self, name: &str) -> Option<&Task> {
        self.0.get(name)
    }

    /// All tasks, ordered by name.
    pub fn iter(&self) -> impl Iterator<Item = &Task> {
        self.0.values()
    }
}

impl IntoIterator for Tasks {
    type Item = Task;
    type IntoIter = std::collections::btree_map::IntoValues<TaskName, Task>;

    /// All tasks, ordered by name.
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_values()
    }
}
