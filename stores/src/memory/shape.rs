//! Definitions of jobs, kept small: most jobs of a program differ in little but their trigger.

use std::{collections::VecDeque, sync::Arc};

use chrono::{DateTime, Utc};
use scheduler_core::{ExecutorName, JobBody, JobOptions, Pause, Tags, TaskName, Trigger};
use serde_json::{Map, Value};

/// What many jobs have in common.
#[derive(Debug, PartialEq)]
pub(super) struct Shape {
    pub(super) v: u32,
    pub(super) task: TaskName,
    pub(super) executor: ExecutorName,
    pub(super) options: JobOptions,
}

/// What few jobs have at all.
#[derive(Debug, Clone, Default, PartialEq)]
struct Rare {
    name: Option<String>,
    args: Value,
    chosen_fire_time: Option<DateTime<Utc>>,
    tags: Tags,
    meta: Value,
    pause: Option<Box<Pause>>,
    extra: Map<String, Value>,
}

/// A job's definition.
#[derive(Debug)]
pub(super) struct Definition {
    pub(super) shape: Arc<Shape>,
    trigger: Trigger,
    rare: Option<Box<Rare>>,
}

/// The shapes of the jobs that came last, to be shared with the next ones.
#[derive(Debug, Default)]
pub(super) struct Shapes {
    latest: VecDeque<Arc<Shape>>,
}

/// Enough for the tasks of a batch that alternate; the search is linear.
const REMEMBERED: usize = 8;

impl Definition {
    pub(super) fn new(body: &JobBody, shapes: &mut Shapes) -> Self {
        let rare = Rare {
            name: body.name.clone(),
            args: body.args.clone(),
            chosen_fire_time: body.chosen_fire_time,
            tags: body.tags.clone(),
            meta: body.meta.clone(),
            pause: body.pause.clone(),
            extra: body.extra.clone(),
        };
        Self {
            shape: shapes.shared(body),
            trigger: body.trigger.clone(),
            rare: (rare != Rare::default()).then(|| Box::new(rare)),
        }
    }

    pub(super) fn body(&self) -> JobBody {
        let rare = self.rare.as_deref().cloned().unwrap_or_default();
        JobBody {
            v: self.shape.v,
            name: rare.name,
            task: self.shape.task.clone(),
            args: rare.args,
            trigger: self.trigger.clone(),
            executor: self.shape.executor.clone(),
            options: self.shape.options.clone(),
            chosen_fire_time: rare.chosen_fire_time,
            tags: rare.tags,
            meta: rare.meta,
            pause: rare.pause,
            extra: rare.extra,
        }
    }
}

impl Shapes {
    fn shared(&mut self, body: &JobBody) -> Arc<Shape> {
        let is_same = |shape: &&Arc<Shape>| {
            shape.v == body.v
                && shape.task == body.task
                && shape.executor == body.executor
                && shape.options == body.options
        };
        if let Some(shape) = self.latest.iter().find(is_same) {
            return Arc::clone(shape);
        }
        let shape = Arc::new(Shape {
            v: body.v,
            task: body.task.clone(),
            executor: body.executor.clone(),
            options: body.options.clone(),
        });
        if self.latest.len() == REMEMBERED {
            self.latest.pop_front();
        }
        self.latest.push_back(Arc::clone(&shape));
        shape
    }
}
