//! What stands between the brackets of an attribute.

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::{
    Error, Expr, ExprLit, Ident, Lit, LitStr, Path, Result, Token,
    ext::IdentExt,
    parenthesized,
    parse::{Parse, ParseStream, Parser},
    punctuated::Punctuated,
};

/// The arguments of an attribute, in the order in which they are written.
pub(crate) struct Arguments(Vec<Argument>);

/// `name = value` or `name(..)`.
pub(crate) struct Argument {
    pub(crate) name: Ident,
    pub(crate) value: Value,
}

pub(crate) enum Value {
    Is(Expr),
    Has(Vec<Argument>),
}

impl Arguments {
    pub(crate) fn read(tokens: TokenStream) -> Result<Self> {
        let arguments = Punctuated::<Argument, Token![,]>::parse_terminated.parse2(tokens)?;
        let arguments: Vec<_> = arguments.into_iter().collect();
        for (at, argument) in arguments.iter().enumerate() {
            if arguments[..at].iter().any(|earlier| earlier.name == argument.name) {
                return Err(Error::new(argument.name.span(), format!("`{}` is given twice", argument.name)));
            }
        }
        Ok(Self(arguments))
    }

    pub(crate) fn take(&mut self, name: &str) -> Option<Argument> {
        let at = self.0.iter().position(|argument| argument.name == name)?;
        Some(self.0.remove(at))
    }

    /// The first that stands here and has one of these names.
    pub(crate) fn take_one_of(&mut self, names: &[&str]) -> Option<Argument> {
        let at = self.0.iter().position(|argument| names.iter().any(|name| argument.name == name))?;
        Some(self.0.remove(at))
    }

    pub(crate) fn take_expression(&mut self, name: &str) -> Result<Option<Expr>> {
        self.take(name).map(Argument::expression).transpose()
    }

    /// The path of the library, under whichever name the program has it.
    pub(crate) fn take_library(&mut self) -> Result<Path> {
        match self.take("crate") {
            Some(argument) => argument.text()?.parse(),
            None => syn::parse_str("::apscheduler"),
        }
    }

    /// Refuses the arguments that no option has taken.
    pub(crate) fn end(self, known: &str) -> Result<()> {
        match self.0.first() {
            Some(Argument { name, .. }) => {
                Err(Error::new(name.span(), format!("there is no option `{name}` here; there are {known}")))
            }
            None => Ok(()),
        }
    }
}

impl Argument {
    pub(crate) fn expression(self) -> Result<Expr> {
        match self.value {
            Value::Is(expression) => Ok(expression),
            Value::Has(_) => {
                let message = format!("write a value, as in `{} = ..`", self.name);
                Err(Error::new(self.name.span(), message))
            }
        }
    }

    /// A text that can be read while the program is compiled.
    pub(crate) fn text(self) -> Result<LitStr> {
        let name = self.name.clone();
        let expression = self.expression()?;
        text_of(&expression).cloned().ok_or_else(|| {
            Error::new_spanned(expression, format!("`{name}` is read by the compiler: write it as text in quotes"))
        })
    }
}

impl Parse for Argument {
    fn parse(input: ParseStream<'_>) -> Result<Self> {
        let name = input.call(Ident::parse_any)?;
        if input.peek(syn::token::Paren) {
            let inner;
            parenthesized!(inner in input);
            let arguments = Arguments::read(inner.parse()?)?;
            return Ok(Self { name, value: Value::Has(arguments.0) });
        }
        if !input.peek(Token![=]) {
            let message = format!("write options as in `{name} = ..`, separated by commas");
            return Err(Error::new(name.span(), message));
        }
        input.parse::<Token![=]>()?;
        Ok(Self { name, value: Value::Is(input.parse()?) })
    }
}

/// The text of an expression that is nothing else.
pub(crate) fn text_of(expression: &Expr) -> Option<&LitStr> {
    match expression {
        Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text),
        _ => None,
    }
}

/// The number in an expression that is nothing else.
pub(crate) fn number_of(expression: &Expr) -> Option<&syn::LitInt> {
    match expression {
        Expr::Lit(ExprLit { lit: Lit::Int(number), .. }) => Some(number),
        _ => None,
    }
}

/// An error about some tokens that says why they are not valid.
pub(crate) fn refused(tokens: &impl ToTokens, reason: impl std::fmt::Display) -> Error {
    Error::new_spanned(tokens, reason)
}
