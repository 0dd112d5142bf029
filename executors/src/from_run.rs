//! What a task takes from its run: the context, and state.

use std::{
    any::{Any, TypeId},
    collections::BTreeMap,
    rc::Rc,
};

use scheduler_core::{RunContext, State, StateType};

/// What a task may take before its arguments, any number of them in any order: a [`RunContext`], and [`State`] of each type that
/// its scheduler was built with. axum's users know such parameters as extractors.
///
/// ```
/// use scheduler_core::{RunContext, State};
/// use scheduler_executors::task;
///
/// #[derive(Clone)]
/// struct Sender(String);
///
/// #[derive(Clone)]
/// struct Database; // Such as a pool of connections.
///
/// async fn mail(State(sender): State<Sender>, State(database): State<Database>, context: RunContext, to: String) {
///     let _ = database;
///     println!("from {} to {to}, attempt {}", sender.0, context.attempt);
/// }
///
/// let mail = task("mail", mail);
/// # assert!(mail.check(&serde_json::json!("ann")).is_ok());
/// ```
pub trait FromRun: Sized + 'static {
    #[doc(hidden)]
    fn from_run(source: &Source<'_>) -> Result<Self, String>;

    /// Adds the types of state that it takes.
    #[doc(hidden)]
    fn state_types(types: &mut Vec<StateType>);
}

/// A run, and the state of the thread on which it runs.
#[doc(hidden)]
#[derive(Debug)]
pub struct Source<'a> {
    pub context: &'a RunContext,
    pub local: &'a LocalStates,
}

/// State of tasks that need not be `Send`, on the thread of their scheduler. Clones share the values.
#[doc(hidden)]
#[derive(Debug, Clone, Default)]
pub struct LocalStates(BTreeMap<TypeId, Rc<dyn Any>>);

impl LocalStates {
    /// None.
    pub const NONE: Self = Self(BTreeMap::new());

    /// Adds a value. False if there is one of its type.
    pub fn add<T: 'static>(&mut self, value: T) -> bool {
        let is_new = !self.0.contains_key(&TypeId::of::<T>());
        if is_new {
            self.0.insert(TypeId::of::<T>(), Rc::new(value));
        }
        is_new
    }

    pub fn value<T: 'static>(&self) -> Option<&T> {
        self.0.get(&TypeId::of::<T>())?.downcast_ref()
    }

    pub fn has(&self, state: StateType) -> bool {
        self.0.contains_key(&state.id())
    }
}

impl FromRun for RunContext {
    fn from_run(source: &Source<'_>) -> Result<Self, String> {
        Ok(source.context.clone())
    }

    fn state_types(_: &mut Vec<StateType>) {}
}

impl<T: Clone + 'static> FromRun for State<T> {
    fn from_run(source: &Source<'_>) -> Result<Self, String> {
        let value = source.local.value::<T>().or_else(|| source.context.states().value::<T>());
        // A scheduler refuses a task whose state it does not have; an executor of the program's own may call it all the same.
        let missing = || format!("the task takes `State<{}>`, which its scheduler does not have", StateType::of::<T>());
        value.cloned().map(Self).ok_or_else(missing)
    }

    fn state_types(types: &mut Vec<StateType>) {
        types.push(StateType::of::<T>());
    }
}

/// Several of them, taken in their order.
macro_rules! tuples {
    ($($one:ident)*) => {
        impl<$($one: FromRun),*> FromRun for ($($one,)*) {
            fn from_run(_source: &Source<'_>) -> Result<Self, String> {
                Ok(($($one::from_run(_source)?,)*))
            }

            fn state_types(_types: &mut Vec<StateType>) {
                $($one::state_types(_types);)*
            }
        }
    };
}

tuples!();
tuples!(A);
tuples!(A B);
tuples!(A B C);
tuples!(A B C D);
tuples!(A B C D E);
tuples!(A B C D E F);
tuples!(A B C D E F G);
tuples!(A B C D E F G H);
