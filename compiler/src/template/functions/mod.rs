//! The functions of the language. Each takes resolved values and gives a value or an error that names the parameter.

mod aggregates;
mod array;
mod builtin;
mod dates;
mod identifiers;
mod numbers;
mod scalar;
mod settings;
mod structured;

use std::sync::LazyLock;

pub(crate) use aggregates::{aggregate_in_lower_case, is_aggregate};
pub(super) use builtin::any_class;

use minijinja::Value;

pub(super) use array::{Element, convert_elements};
pub(super) use numbers::ascii_digits;
pub(super) use scalar::Scalar;

use super::error::{ErrorKind, Outcome, Subject, TemplateError};
use super::render::Render;

/// The arguments of a call, by position and by name.
pub(in crate::template) struct Arguments<'a> {
    /// What the call is of, for messages.
    pub(in crate::template) function: &'a str,
    pub(in crate::template) positional: &'a [Value],
    pub(in crate::template) keywords: &'a [(&'a str, Value)],
    /// What the first argument is, where that is a parameter or a variable.
    pub(in crate::template) subject: Option<Subject<'a>>,
}

impl<'a> Arguments<'a> {
    /// The argument at a position or of a name.
    pub(in crate::template) fn get(&self, at: usize, name: &str) -> Option<&'a Value> {
        self.positional.get(at).or_else(|| self.keyword(name))
    }

    /// The argument of a name.
    pub(in crate::template) fn keyword(&self, name: &str) -> Option<&'a Value> {
        self.keywords
            .iter()
            .find(|(keyword, _)| *keyword == name)
            .map(|(_, value)| value)
    }

    /// The argument at a position or of a name, which must be there.
    pub(in crate::template) fn required(&self, at: usize, name: &str) -> Outcome<&'a Value> {
        self.get(at, name).ok_or_else(|| {
            TemplateError::new(
                ErrorKind::MissingArgument,
                format!("{}() is missing its argument `{name}`", self.function),
            )
        })
    }

    /// Refuses names that the function does not have, values given twice and too many positions.
    pub(in crate::template) fn only(&self, names: &[&str]) -> Outcome<()> {
        for (keyword, _) in self.keywords {
            match names.iter().position(|name| name == keyword) {
                None => {
                    return Err(TemplateError::new(
                        ErrorKind::UnknownKeyword,
                        format!("{}() has no argument `{keyword}`", self.function),
                    ));
                }
                Some(at) if at < self.positional.len() => {
                    return Err(TemplateError::new(
                        ErrorKind::DuplicateArgument,
                        format!("{}() got `{keyword}` twice", self.function),
                    ));
                }
                Some(_) => {}
            }
        }
        if self.positional.len() > names.len() {
            return Err(TemplateError::new(
                ErrorKind::TypeError,
                format!(
                    "{}() takes at most {} arguments, {} were given",
                    self.function,
                    names.len(),
                    self.positional.len()
                ),
            ));
        }
        Ok(())
    }
}

/// Declares the functions: variant, name, whether `{{ }}` may call it.
macro_rules! functions {
    ($($variant:ident = $name:literal, $output:literal;)*) => {
        /// A function of the language that is not a scalar type.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(in crate::template) enum Helper { $($variant,)* }

        /// In the order of the enum, so that a helper is the index of its row.
        const HELPERS: &[(&str, Helper, bool)] = &[$(($name, Helper::$variant, $output),)*];
    };
}

functions! {
    Array = "Array", true;
    Json = "JSON", true;
    Tuple = "Tuple", true;
    Map = "Map", true;
    Symbol = "symbol", true;
    Column = "column", true;
    Columns = "columns", true;
    Table = "table", true;
    TableUpper = "TABLE", true;
    SqlAnd = "sql_and", true;
    SqlUnescape = "sql_unescape", true;
    SplitToArray = "split_to_array", true;
    EnumerateWithLast = "enumerate_with_last", true;
    Defined = "defined", true;
    DayDiff = "day_diff", true;
    DiffSeconds = "date_diff_in_seconds", true;
    DiffMinutes = "date_diff_in_minutes", true;
    DiffHours = "date_diff_in_hours", true;
    DiffDays = "date_diff_in_days", true;
    Error = "error", true;
    CustomError = "custom_error", true;
    MaxThreads = "max_threads", true;
    CacheTtl = "cache_ttl", true;
    BackendHint = "backend_hint", true;
    Activate = "activate", true;
    Disable = "disable", true;
    TbSecret = "tb_secret", true;
    TbVar = "tb_var", true;
    Len = "len", true;
    List = "list", true;
    Min = "min", true;
    Max = "max", true;
    ToInt = "int", true;
    ToFloat = "float", true;
    Str = "str", false;
    Bool = "bool", false;
    Sum = "sum", false;
    Range = "range", false;
    Sorted = "sorted", false;
    Reversed = "reversed", false;
    Enumerate = "enumerate", false;
    Zip = "zip", false;
    Map2 = "map", false;
    Filter = "filter", false;
    Any = "any", false;
    All = "all", false;
    Abs = "abs", false;
    Round = "round", false;
    Pow = "pow", false;
    Divmod = "divmod", false;
    Set = "set", false;
    Frozenset = "frozenset", false;
    Dict = "dict", false;
    TupleOf = "tuple", false;
    Repr = "repr", false;
    Chr = "chr", false;
    Ord = "ord", false;
    Hex = "hex", false;
    Isinstance = "isinstance", false;
    Next = "next", false;
    Iter = "iter", false;
    Exception = "Exception", false;
    ValueError = "ValueError", false;
    TypeError = "TypeError", false;
    KeyError = "KeyError", false;
    IndexError = "IndexError", false;
    AttributeError = "AttributeError", false;
    ZeroDivisionError = "ZeroDivisionError", false;
}

/// Any function of the language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::template) enum Function {
    /// A type that checks and prints one value.
    Scalar(Scalar),
    /// Everything else.
    Helper(Helper),
}

/// All functions, sorted by name: names are looked up at every place of a template where one stands.
static BY_NAME: LazyLock<Vec<(&'static str, Function)>> = LazyLock::new(|| {
    let scalars = Scalar::all().map(|(name, scalar)| (name, Function::Scalar(scalar)));
    let helpers = HELPERS
        .iter()
        .map(|(name, helper, _)| (*name, Function::Helper(*helper)));
    let mut functions: Vec<_> = scalars.chain(helpers).collect();
    functions.sort_by_key(|(name, _)| *name);
    functions
});

impl Function {
    /// The function of a name.
    pub(in crate::template) fn by_name(name: &str) -> Option<Self> {
        BY_NAME
            .binary_search_by_key(&name, |(known, _)| known)
            .ok()
            .map(|at| BY_NAME[at].1)
    }

    /// The name.
    pub(in crate::template) fn name(self) -> &'static str {
        match self {
            Self::Scalar(scalar) => scalar.name(),
            Self::Helper(helper) => HELPERS[helper as usize].0,
        }
    }

    /// Whether `{{ }}` may call it.
    pub(in crate::template) fn in_output(self) -> bool {
        match self {
            Self::Scalar(_) => true,
            Self::Helper(helper) => HELPERS[helper as usize].2,
        }
    }

    /// Whether a parameter of this name can be given by a request: names of types cannot, names of Python's own functions can.
    pub(in crate::template) fn can_be_parameter(self) -> bool {
        match self {
            Self::Scalar(_)
            | Self::Helper(Helper::Array | Helper::Json | Helper::Table | Helper::TableUpper) => {
                false
            }
            Self::Helper(_) => true,
        }
    }

    /// Whether it stands for itself when no parameter of its name is given (Python's own functions).
    pub(in crate::template) fn is_builtin(self) -> bool {
        match self {
            Self::Scalar(_) => false,
            Self::Helper(helper) => {
                !self.in_output()
                    || matches!(
                        helper,
                        Helper::Len
                            | Helper::List
                            | Helper::Min
                            | Helper::Max
                            | Helper::ToInt
                            | Helper::ToFloat
                    )
            }
        }
    }

    /// The names of the functions that `{{ }}` may call.
    pub(in crate::template) fn output_names() -> impl Iterator<Item = &'static str> {
        let helpers = HELPERS.iter().filter(|(_, _, output)| *output);
        Scalar::names().chain(helpers.map(|(name, ..)| *name))
    }

    /// Calls it.
    pub(in crate::template) fn call(
        self,
        render: &mut Render,
        arguments: &Arguments<'_>,
    ) -> Outcome<Value> {
        // These do not look into what they are given.
        let is_shallow = matches!(
            self,
            Self::Helper(Helper::Len | Helper::Defined | Helper::Bool | Helper::Isinstance)
        );
        let keywords = arguments.keywords.iter().map(|(_, value)| value);
        for value in arguments.positional.iter().chain(keywords) {
            if !is_shallow || value.as_str().is_some() {
                render.walk(value)?;
            }
        }
        match self {
            Self::Scalar(scalar) => scalar.call(render, arguments),
            Self::Helper(helper) => helper
                .call(render, arguments)
                .map_err(|error| error.about(arguments.subject)),
        }
    }
}

impl Helper {
    fn call(self, render: &mut Render, arguments: &Arguments<'_>) -> Outcome<Value> {
        match self {
            Self::Array => array::array(render, arguments),
            Self::Json => structured::json(arguments),
            Self::Tuple => structured::tuple_of(render, arguments),
            Self::Map => structured::map_of(render, arguments),
            Self::Symbol => identifiers::symbol(arguments),
            Self::Column => identifiers::column(arguments),
            Self::Columns => identifiers::columns(render, arguments),
            Self::Table | Self::TableUpper => identifiers::table(render, arguments),
            Self::SqlAnd => identifiers::sql_and(render, arguments),
            Self::SqlUnescape => identifiers::sql_unescape(arguments),
            Self::SplitToArray => array::split_to_array(render, arguments),
            Self::EnumerateWithLast => array::enumerate_with_last(render, arguments),
            Self::Defined => Ok(settings::defined(arguments)),
            Self::DayDiff => dates::day_diff(arguments),
            Self::DiffSeconds => dates::difference(arguments, 1, true),
            Self::DiffMinutes => dates::difference(arguments, 60, true),
            Self::DiffHours => dates::difference(arguments, 3600, true),
            Self::DiffDays => dates::difference(arguments, 86400, false),
            Self::Error => settings::error(render, arguments),
            Self::CustomError => settings::custom_error(render, arguments),
            Self::MaxThreads => settings::max_threads(render, arguments),
            Self::CacheTtl => settings::cache_ttl(render, arguments),
            Self::BackendHint => settings::backend_hint(render, arguments),
            Self::Activate => settings::activate(render, arguments),
            Self::Disable => settings::disable(render, arguments),
            Self::TbSecret | Self::TbVar => settings::secret(render, arguments),
            _ => builtin::call(self, render, arguments),
        }
    }
}
