//! State of tasks: values that a scheduler was built with and that tasks take by their types.

use std::{
    any::{Any, TypeId, type_name},
    collections::BTreeMap,
    fmt,
    ops::{Deref, DerefMut},
    sync::Arc,
};

/// Takes the value of a type that the scheduler was built with, in the parameters of a task: what a service's tasks share, such as
/// a pool of connections. Each run gets a clone. As axum's `State`.
///
/// It is given by `Builder::state`. A scheduler that has no value of the type is not built, and the error names the task and the
/// type. For several values give several types.
///
/// ```
/// use std::sync::Arc;
///
/// use scheduler_core::{RunContext, State};
///
/// #[derive(Clone)]
/// struct App {
///     greeting: Arc<str>,
/// }
///
/// async fn greet(State(app): State<App>, context: RunContext, name: String) -> String {
///     format!("{}, {name}, at {}", app.greeting, context.fire_time)
/// }
/// # let _ = greet;
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct State<T>(pub T);

impl<T> Deref for State<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> DerefMut for State<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

/// The type of a value that a task takes by [`State`].
///
/// ```
/// use scheduler_core::StateType;
///
/// assert_eq!(StateType::of::<u32>().to_string(), "u32");
/// ```
#[derive(Debug, Clone, Copy)]
pub struct StateType {
    id: TypeId,
    name: &'static str,
}

impl StateType {
    /// The type `T`.
    pub fn of<T: 'static>() -> Self {
        Self { id: TypeId::of::<T>(), name: type_name::<T>() }
    }

    /// What tells it from other types.
    pub fn id(self) -> TypeId {
        self.id
    }

    /// What is wrong with a second value of the type.
    #[doc(hidden)]
    pub fn given_twice(self) -> String {
        format!("state of type `{self}` is given twice; give one of them a type of its own, such as a struct around it")
    }
}

/// The type's name with its path.
impl fmt::Display for StateType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// The values that tasks take by [`State`], at most one of each type. Clones share them.
///
/// ```
/// use scheduler_core::States;
///
/// let states = States::default().with(7_u32).unwrap();
/// assert_eq!(states.value::<u32>(), Some(&7));
/// assert_eq!(states.value::<u64>(), None);
/// assert!(states.with(8_u32).unwrap_err().starts_with("state of type `u32` is given twice"));
/// ```
#[derive(Clone, Default)]
pub struct States(Arc<BTreeMap<TypeId, Entry>>);

#[derive(Clone)]
struct Entry {
    name: &'static str,
    value: Arc<dyn Any + Send + Sync>,
}

impl States {
    /// These values and another one.
    ///
    /// # Errors
    ///
    /// There is one of this type already; what to do.
    pub fn with<T: Send + Sync + 'static>(mut self, value: T) -> Result<Self, String> {
        let StateType { id, name } = StateType::of::<T>();
        if self.0.contains_key(&id) {
            return Err(StateType { id, name }.given_twice());
        }
        Arc::make_mut(&mut self.0).insert(id, Entry { name, value: Arc::new(value) });
        Ok(self)
    }

    /// The value of this type.
    pub fn value<T: 'static>(&self) -> Option<&T> {
        self.0.get(&TypeId::of::<T>())?.value.downcast_ref()
    }

    /// Whether there is a value of this type.
    pub fn has(&self, state: StateType) -> bool {
        self.0.contains_key(&state.id)
    }
}

/// The types; values need not be shown.
impl fmt::Debug for States {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.values().map(|entry| entry.name)).finish()
    }
}
