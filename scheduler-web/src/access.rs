//! Who may do what.

use std::{fmt, sync::Arc};

use http::request::Parts;

use crate::operation::{Kind, Operation};

/// Says which requests may perform which operations on a dashboard. There is no default: the program that mounts a dashboard has to choose.
///
/// [`by`](Self::by) goes by the login that the service has already. The other two are for those who have none, and only for names that
/// [cannot be another site's](crate::Dashboard::host).
///
/// ```
/// use scheduler_web::{Access, Operation, Permissions};
///
/// /// What the login of the service has put into the extensions of the request.
/// #[derive(Clone)]
/// struct User {
///     name: String,
///     is_on_call: bool,
/// }
///
/// let access = Access::by(|request| match request.extensions.get::<User>() {
///     Some(user) if user.is_on_call => Permissions::steer().allow(Operation::AddJob).by(&user.name),
///     Some(user) => Permissions::read().by(&user.name),
///     None => Permissions::none(),
/// });
/// # let _ = access;
/// ```
#[derive(Clone)]
pub struct Access(Rule);

#[derive(Clone)]
enum Rule {
    By(Arc<dyn Fn(&Parts) -> Permissions + Send + Sync>),
    Everyone(Permissions),
}

impl Access {
    /// What this function says of each request: of the user that the service's login has put into its extensions, of a header that a proxy
    /// sets, of the address of the client. It is asked once for each request, and must not block.
    pub fn by(rule: impl Fn(&Parts) -> Permissions + Send + Sync + 'static) -> Self {
        Self(Rule::By(Arc::new(rule)))
    }

    /// Everybody who reaches the dashboard may look, and change nothing.
    pub fn read_only() -> Self {
        Self(Rule::Everyone(Permissions::read()))
    }

    /// Everybody who reaches the dashboard may look, and [steer](Kind::Steer) each job: for a listener on loopback, or behind a proxy with
    /// a login of its own.
    pub fn unprotected() -> Self {
        Self(Rule::Everyone(Permissions::steer()))
    }

    pub(crate) fn permissions(&self, request: &Parts) -> Permissions {
        match &self.0 {
            Rule::By(rule) => rule(request),
            Rule::Everyone(permissions) => permissions.clone(),
        }
    }

    /// Whether no login stands between a request and the operations.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.0, Rule::Everyone(_))
    }

    /// Whether everybody may do more than look.
    #[cfg(feature = "serve")]
    pub(crate) fn is_steered_by_everybody(&self) -> bool {
        match &self.0 {
            Rule::By(_) => false,
            Rule::Everyone(permissions) => {
                Operation::ALL.into_iter().any(|it| it.kind() != Kind::Read && permissions.permits(it))
            }
        }
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Rule::By(_) => f.write_str("Access::by(..)"),
            Rule::Everyone(permissions) => f.debug_tuple("Access").field(permissions).finish(),
        }
    }
}

/// What one request may do: a set of operations, and who does them.
///
/// ```
/// use scheduler_web::{Operation, Permissions};
///
/// let permissions = Permissions::read().allow(Operation::RunJob).by("anna");
/// assert!(permissions.permits(Operation::RunJob));
/// assert!(!permissions.permits(Operation::RemoveJob));
/// assert!(!Permissions::steer().permits(Operation::AddJob)); // It is granted by name alone.
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Permissions {
    /// A bit for each operation.
    granted: u32,
    by: Option<Arc<str>>,
}

impl Permissions {
    /// Nothing at all.
    pub fn none() -> Self {
        Self { granted: 0, by: None }
    }

    /// Each operation that [reads](Kind::Read).
    pub fn read() -> Self {
        Self::none().allow_kind(Kind::Read)
    }

    /// Each operation that [reads](Kind::Read) or [steers](Kind::Steer).
    pub fn steer() -> Self {
        Self::read().allow_kind(Kind::Steer)
    }

    /// This operation as well. The only way to [those that define](Kind::Define).
    #[must_use]
    pub fn allow(mut self, operation: Operation) -> Self {
        self.granted |= bit(operation);
        self
    }

    /// All but this operation.
    #[must_use]
    pub fn deny(mut self, operation: Operation) -> Self {
        self.granted &= !bit(operation);
        self
    }

    /// Who it is: a name for the log, and for the note of a pause. At most 256 bytes of it are kept.
    #[must_use]
    pub fn by(mut self, who: impl AsRef<str>) -> Self {
        let who = who.as_ref();
        let end = who.floor_char_boundary(who.len().min(scheduler_core::Pause::BY_LIMIT));
        self.by = who.get(..end).filter(|who| !who.is_empty()).map(Arc::from);
        self
    }

    /// Whether the operation is among them.
    pub fn permits(&self, operation: Operation) -> bool {
        self.granted & bit(operation) != 0
    }

    /// Who it is, if that was said.
    pub fn who(&self) -> Option<&str> {
        self.by.as_deref()
    }

    fn allow_kind(self, kind: Kind) -> Self {
        Operation::ALL.into_iter().filter(|it| it.kind() == kind).fold(self, Self::allow)
    }
}

fn bit(operation: Operation) -> u32 {
    1 << (operation as u32)
}

impl fmt::Debug for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operations: Vec<_> = Operation::ALL.into_iter().filter(|it| self.permits(*it)).collect();
        f.debug_struct("Permissions").field("operations", &operations).field("by", &self.by).finish()
    }
}

/// What of the jobs of a task is not shown, on pages and in the API; see [`Dashboard::hide`](crate::Dashboard::hide).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hidden {
    /// Everything is shown.
    Nothing,
    /// The arguments, what runs return, and the notes of the application are not.
    Arguments,
    /// The texts of errors are not.
    Errors,
    /// Neither of both is.
    ArgumentsAndErrors,
}

impl Hidden {
    pub(crate) fn hides_arguments(self) -> bool {
        matches!(self, Self::Arguments | Self::ArgumentsAndErrors)
    }

    pub(crate) fn hides_errors(self) -> bool {
        matches!(self, Self::Errors | Self::ArgumentsAndErrors)
    }
}
