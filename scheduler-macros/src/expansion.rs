//! What the attributes write beside the function.

use proc_macro2::{Span, TokenStream};
use quote::{format_ident, quote, quote_spanned};
use syn::{Expr, Ident, Path, Result, ext::IdentExt, spanned::Spanned};

use crate::{
    arguments::{Arguments, refused, text_of},
    function::Function,
    options::{Options, known},
    schedule::Schedule,
};

/// What `#[task(..)]` makes of a function: the function, and what is written beside it.
pub(crate) fn task(arguments: TokenStream, function: TokenStream) -> TokenStream {
    beside(function, |function| {
        let mut arguments = Arguments::read(arguments)?;
        let parts = Parts::take(&mut arguments, function)?;
        arguments.end(&format!("{}; a time is given with `#[scheduled]`", known("name, crate")))?;
        let methods = parts.methods()?;
        Ok(parts.item(methods))
    })
}

/// What `#[scheduled(..)]` makes of a function.
pub(crate) fn scheduled(arguments: TokenStream, function: TokenStream) -> TokenStream {
    beside(function, |function| {
        let mut arguments = Arguments::read(arguments)?;
        let job = ScheduledJob::take(&mut arguments)?;
        let parts = Parts::take(&mut arguments, function)?;
        arguments.end(&known(
            "cron, quartz, every, at, trigger, timezone, jitter, args, id, store, on_conflict, name, crate",
        ))?;
        let scheduled = job.method(&parts)?;
        let mut methods = parts.methods()?;
        methods.extend(scheduled);
        Ok(parts.item(methods))
    })
}

/// The function as it stands, and behind it what it becomes, or the error.
fn beside(function: TokenStream, expand: impl FnOnce(Function) -> Result<TokenStream>) -> TokenStream {
    let written = Function::read(function.clone()).and_then(expand);
    let written = written.unwrap_or_else(|error| error.into_compile_error());
    quote! { #function #written }
}

/// What both attributes have to do with.
struct Parts {
    library: Path,
    function: Function,
    /// The task's name, an expression of a `&'static str`.
    name: TokenStream,
    options: Options,
}

impl Parts {
    fn take(arguments: &mut Arguments, function: Function) -> Result<Self> {
        let library = arguments.take_library()?;
        let name = match arguments.take_expression("name")? {
            Some(name) if text_of(&name).is_some_and(|name| name.value().is_empty()) => {
                return Err(refused(&name, "a task needs a name; without this option it is the function's"));
            }
            Some(name) => quote! { #name },
            None => {
                let name = function.name.unraw().to_string();
                quote! { #name }
            }
        };
        Ok(Self { library, function, name, options: Options::take(arguments)? })
    }

    /// The type of the same name as the function, with these methods.
    fn item(&self, methods: TokenStream) -> TokenStream {
        let Function { name, visibility, conditions, .. } = &self.function;
        let shown = name.unraw();
        let documentation = format!("The task that [`{shown}`](fn@{shown}) is.");
        quote! {
            #(#conditions)*
            #[doc = #documentation]
            #[allow(non_camel_case_types)]
            #[derive(Debug, Clone, Copy)]
            #visibility enum #name {}

            #(#conditions)*
            impl #name { #methods }
        }
    }

    fn methods(&self) -> Result<TokenStream> {
        let (constant, task, jobs) = (self.constant(), self.task()?, self.jobs());
        Ok(quote! { #constant #task #jobs })
    }

    fn constant(&self) -> TokenStream {
        let (visibility, name) = (&self.function.visibility, &self.name);
        quote! {
            /// The name under which the task is registered.
            #visibility const NAME: &'static str = #name;
        }
    }

    fn task(&self) -> Result<TokenStream> {
        let Self { library, function, .. } = self;
        let options = self.options.calls(library)?;
        let Function { name, visibility, is_async, arguments, .. } = function;
        let constructor = if *is_async {
            quote! { task }
        } else {
            quote! { blocking }
        };
        let readable = arguments.as_ref().map(|arguments| {
            // Said at the type itself, where the compiler's word is the shortest; and as the attribute's own code, which the
            // lints of the program leave alone.
            let place = Span::call_site().located_at(arguments.span());
            let library = at(library, place);
            quote_spanned! { place =>
                const _: fn() = || {
                    fn is_read<A: #library::__macros::DeserializeOwned + 'static>() {}
                    is_read::<#arguments>();
                };
            }
        });
        Ok(quote! {
            /// The task, to be registered with a scheduler. Its jobs have the options that the attribute was given.
            #visibility fn task() -> #library::Task {
                #readable
                #library::executors::#constructor(Self::NAME, #name) #options
            }
        })
    }

    /// What makes jobs of the task.
    fn jobs(&self) -> TokenStream {
        let Self { library, function: Function { visibility, arguments, .. }, .. } = self;
        let [trigger, args] = ["trigger", "args"].map(|name| Ident::new(name, Span::mixed_site()));
        let parameter = arguments.as_ref().map(|arguments| quote! { #args: #arguments });
        // A bound that the compiler looks at where a job is made, so that tasks need it only for that.
        let bound =
            arguments.as_ref().map(|arguments| quote! { where for<'always> #arguments: #library::__macros::Serialize });
        let call = arguments.as_ref().map(|_| quote! { .args(#args) });
        let notes = self.options.notes();
        quote! {
            /// A job that runs the task when a trigger says so.
            #visibility fn job(
                #trigger: impl ::core::convert::Into<#library::Trigger>,
                #parameter
            ) -> #library::JobSpec
            #bound
            {
                #library::JobSpec::new(Self::NAME, #trigger) #call #notes
            }

            /// A job that runs the task once, at once.
            #visibility fn now(#parameter) -> #library::JobSpec
            #bound
            {
                #library::JobSpec::now(Self::NAME) #call #notes
            }
        }
    }
}

/// A path as if it stood elsewhere.
fn at(path: &Path, span: Span) -> TokenStream {
    let tokens = quote! { #path }.into_iter().map(|mut token| {
        token.set_span(span);
        token
    });
    tokens.collect()
}

/// What `#[scheduled]` has beyond `#[task]`.
struct ScheduledJob {
    schedule: Schedule,
    args: Option<Expr>,
    /// Names of setters and what they are given.
    place: Vec<(&'static str, Expr)>,
}

impl ScheduledJob {
    fn take(arguments: &mut Arguments) -> Result<Self> {
        let schedule = Schedule::take(arguments)?;
        let args = arguments.take_expression("args")?;
        let mut place = Vec::new();
        for setter in ["id", "store", "on_conflict"] {
            place.extend(arguments.take_expression(setter)?.map(|value| (setter, value)));
        }
        Ok(Self { schedule, args, place })
    }

    fn method(&self, parts: &Parts) -> Result<TokenStream> {
        let Parts { library, function, options, .. } = parts;
        let visibility = &function.visibility;
        let trigger = self.schedule.expression(library);
        let args = self.args(function)?;
        let kept = self.kept(options, library)?;
        let place = self.place.iter().map(|(setter, value)| {
            let setter = format_ident!("{setter}");
            quote! { .#setter(#value) }
        });
        Ok(quote! {
            /// The task and the job that runs it, for a scheduler's builder.
            #visibility fn scheduled() -> #library::Scheduled {
                #library::Scheduled::new(Self::task(), Self::job(#trigger, #args) #kept #(#place)*)
            }
        })
    }

    fn args(&self, function: &Function) -> Result<TokenStream> {
        match (&self.args, &function.arguments) {
            (Some(args), Some(_)) if text_of(args).is_some() => {
                Ok(quote_spanned! { args.span() => ::core::convert::Into::into(#args) })
            }
            (Some(args), Some(_)) => Ok(quote! { #args }),
            (Some(args), None) => Err(refused(args, "the function takes no arguments")),
            (None, Some(arguments)) => {
                Err(refused(arguments, "the function takes arguments: say which with `args = ..`"))
            }
            (None, None) => Ok(TokenStream::new()),
        }
    }

    /// One instant that has passed is judged at each start of the program: a store that lasts is to remember that it has
    /// run, and with one that does not the grace time decides.
    fn kept(&self, options: &Options, library: &Path) -> Result<Option<TokenStream>> {
        if !self.schedule.is_once() {
            return Ok(None);
        }
        if !options.has("misfire_grace_time") {
            let message = "say how late it may still run, as in `misfire_grace_time = \"1h\"`: a program that is started after \
                           that time would run it otherwise, each time if its store is in memory";
            return Err(syn::Error::new(Span::call_site(), message));
        }
        let keep = quote! { .when_finished(#library::WhenFinished::Keep) };
        Ok((!options.has("when_finished")).then_some(keep))
    }
}
