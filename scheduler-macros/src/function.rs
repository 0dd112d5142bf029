//! The function under an attribute: what it takes, and whether it can be a task.

use proc_macro2::TokenStream;
use syn::{Attribute, Error, FnArg, Ident, Item, ItemFn, PatType, Result, Safety, Signature, Type, Visibility};

use crate::arguments::refused;

/// A function that can be a task.
pub(crate) struct Function {
    pub(crate) name: Ident,
    pub(crate) visibility: Visibility,
    /// The conditions under which it is compiled.
    pub(crate) conditions: Vec<Attribute>,
    pub(crate) is_async: bool,
    /// The type of its arguments, if it takes any beside state and the context.
    pub(crate) arguments: Option<Type>,
}

impl Function {
    pub(crate) fn read(tokens: TokenStream) -> Result<Self> {
        let ItemFn { attrs, vis, sig, .. } = match syn::parse2(tokens) {
            Ok(Item::Fn(function)) => function,
            Ok(other) => return Err(refused(&other, "only a function can be a task")),
            Err(error) => return Err(Error::new(error.span(), format!("only a function can be a task: {error}"))),
        };
        check(&sig)?;
        if let Some(second) = attrs.iter().find(|attribute| is_ours(attribute)) {
            let message = "the function is a task already; add further jobs for it by code";
            return Err(refused(second, message));
        }
        Ok(Self {
            arguments: arguments(&sig)?,
            is_async: sig.asyncness.is_some(),
            name: sig.ident,
            visibility: vis,
            conditions: attrs.into_iter().filter(|attribute| attribute.path().is_ident("cfg")).collect(),
        })
    }
}

/// Refuses what a scheduler cannot call.
fn check(signature: &Signature) -> Result<()> {
    let Signature { constness, safety, abi, generics, variadic, .. } = signature;
    if let Some(constness) = constness {
        return Err(refused(constness, "a const function cannot be a task: leave `const` out"));
    }
    if let Safety::Unsafe(safety) = safety {
        return Err(refused(
            safety,
            "an unsafe function cannot be a task: a scheduler keeps no promises of its caller",
        ));
    }
    if let Some(abi) = abi {
        return Err(refused(abi, "an extern function cannot be a task: call it from one of Rust"));
    }
    if let Some(variadic) = variadic {
        return Err(refused(variadic, "a variadic function cannot be a task"));
    }
    if let Some(parameter) = generics.params.first() {
        let message = "a generic function cannot be a task: name the types, or call it from one that is not generic";
        return Err(refused(parameter, message));
    }
    Ok(())
}

/// The type of the arguments: what the function takes behind what it takes from its run.
fn arguments(signature: &Signature) -> Result<Option<Type>> {
    let mut parameters = Vec::new();
    for input in &signature.inputs {
        match input {
            FnArg::Typed(PatType { ty, .. }) => parameters.push(&**ty),
            FnArg::Receiver(receiver) => {
                let message = "a method cannot be a task: a function that takes what it needs as arguments can";
                return Err(refused(receiver, message));
            }
        }
    }
    let taken = parameters.iter().take_while(|parameter| is_from_run(parameter)).count();
    if taken > MOST_FROM_RUN {
        let message =
            format!("a task takes at most {MOST_FROM_RUN} of `State` and `RunContext`: put some state into one struct");
        return Err(refused(parameters[MOST_FROM_RUN], message));
    }
    let arguments = match parameters[taken..] {
        [] => None,
        [only] => Some(only),
        [_, late, ..] if is_from_run(late) => {
            return Err(refused(late, "state and the context come first, before the arguments"));
        }
        [_, second, ..] => {
            let message = "beside state and the context a task takes one value: put the arguments into a struct, which gives \
                           them names, or into a tuple, as in `(to, copies): (String, u32)`";
            return Err(refused(second, message));
        }
    };
    arguments.map(|arguments| owned(arguments).map(|()| arguments.clone())).transpose()
}

/// Refuses types that cannot be read from a job's arguments.
fn owned(arguments: &Type) -> Result<()> {
    match arguments {
        Type::Reference(reference) => {
            let message = match &*reference.elem {
                Type::Path(path) if path.path.is_ident("str") => "a task owns its arguments: take a `String`",
                Type::Slice(_) => "a task owns its arguments: take a `Vec`",
                _ => "a task owns its arguments: take the value instead of a reference",
            };
            Err(refused(reference, message))
        }
        Type::ImplTrait(opaque) => {
            Err(refused(opaque, "the arguments are read from JSON, for which their type has a name: write it"))
        }
        _ => Ok(()),
    }
}

/// How many of them a task can take.
const MOST_FROM_RUN: usize = 8;

/// State and the context are known by the names of their types.
fn is_from_run(parameter: &Type) -> bool {
    let Type::Path(path) = parameter else { return false };
    path.path.segments.last().is_some_and(|last| last.ident == "RunContext" || last.ident == "State")
}

fn is_ours(attribute: &Attribute) -> bool {
    let last = attribute.path().segments.last();
    last.is_some_and(|last| last.ident == "scheduled" || last.ident == "task")
}
