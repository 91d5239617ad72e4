//! The words that steer the scan.

/// A bare word's meaning to the scan. Everything else is [`Keyword::None`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Keyword {
    None,
    All,
    And,
    Any,
    Apply,
    Array,
    As,
    Asc,
    Asof,
    Anti,
    Between,
    By,
    Case,
    Cross,
    Desc,
    Describe,
    Distinct,
    Else,
    End,
    Except,
    Exists,
    Explain,
    Fetch,
    Final,
    Format,
    From,
    Full,
    Global,
    Group,
    Having,
    Ilike,
    In,
    Inner,
    Insert,
    Intersect,
    Interval,
    Into,
    Is,
    Join,
    Left,
    Like,
    Limit,
    Local,
    Materialized,
    Natural,
    Not,
    Null,
    Offset,
    On,
    Only,
    Or,
    Order,
    Outer,
    Outfile,
    Parallel,
    Paste,
    Prewhere,
    Qualify,
    Recursive,
    Regexp,
    Right,
    Sample,
    Select,
    Semi,
    Settings,
    Table,
    Then,
    Union,
    Using,
    When,
    Where,
    Window,
    With,
}

impl Keyword {
    /// The keyword that a bare word is, in any letter case.
    pub(super) fn of(word: &str) -> Self {
        let bytes = word.as_bytes();
        if !(2..=12).contains(&bytes.len()) {
            return Self::None;
        }
        let mut lower = [0_u8; 12];
        let lower = &mut lower[..bytes.len()];
        for (to, from) in lower.iter_mut().zip(bytes) {
            *to = from.to_ascii_lowercase();
        }
        match &*lower {
            b"all" => Self::All,
            b"and" => Self::And,
            b"any" => Self::Any,
            b"anti" => Self::Anti,
            b"apply" => Self::Apply,
            b"array" => Self::Array,
            b"as" => Self::As,
            b"asc" | b"ascending" => Self::Asc,
            b"asof" => Self::Asof,
            b"between" => Self::Between,
            b"by" => Self::By,
            b"case" => Self::Case,
            b"cross" => Self::Cross,
            b"desc" | b"descending" => Self::Desc,
            b"describe" => Self::Describe,
            b"distinct" => Self::Distinct,
            b"else" => Self::Else,
            b"end" => Self::End,
            b"except" => Self::Except,
            b"exists" => Self::Exists,
            b"explain" => Self::Explain,
            b"fetch" => Self::Fetch,
            b"final" => Self::Final,
            b"format" => Self::Format,
            b"from" => Self::From,
            b"full" => Self::Full,
            b"global" => Self::Global,
            b"group" => Self::Group,
            b"having" => Self::Having,
            b"ilike" => Self::Ilike,
            b"in" => Self::In,
            b"inner" => Self::Inner,
            b"insert" => Self::Insert,
            b"intersect" => Self::Intersect,
            b"interval" => Self::Interval,
            b"into" => Self::Into,
            b"is" => Self::Is,
            b"join" => Self::Join,
            b"left" => Self::Left,
            b"like" => Self::Like,
            b"limit" => Self::Limit,
            b"local" => Self::Local,
            b"materialized" => Self::Materialized,
            b"natural" => Self::Natural,
            b"not" => Self::Not,
            b"null" => Self::Null,
            b"offset" => Self::Offset,
            b"on" => Self::On,
            b"only" => Self::Only,
            b"or" => Self::Or,
            b"order" => Self::Order,
            b"outer" => Self::Outer,
            b"outfile" => Self::Outfile,
            b"parallel" => Self::Parallel,
            b"paste" => Self::Paste,
            b"prewhere" => Self::Prewhere,
            b"qualify" => Self::Qualify,
            b"recursive" => Self::Recursive,
            b"regexp" => Self::Regexp,
            b"right" => Self::Right,
            b"sample" => Self::Sample,
            b"select" => Self::Select,
            b"semi" => Self::Semi,
            b"settings" => Self::Settings,
            b"table" => Self::Table,
            b"then" => Self::Then,
            b"union" => Self::Union,
            b"using" => Self::Using,
            b"when" => Self::When,
            b"where" => Self::Where,
            b"window" => Self::Window,
            b"with" => Self::With,
            _ => Self::None,
        }
    }

    /// Words that may stand before or are `JOIN`.
    pub(super) fn starts_join(self) -> bool {
        matches!(
            self,
            Self::All
                | Self::Any
                | Self::Anti
                | Self::Asof
                | Self::Cross
                | Self::Full
                | Self::Global
                | Self::Inner
                | Self::Join
                | Self::Left
                | Self::Local
                | Self::Natural
                | Self::Only
                | Self::Outer
                | Self::Paste
                | Self::Right
                | Self::Semi
        )
    }

    /// Words that begin a clause of expressions.
    pub(super) fn starts_clause(self) -> bool {
        matches!(
            self,
            Self::Fetch
                | Self::Group
                | Self::Having
                | Self::Limit
                | Self::Offset
                | Self::Order
                | Self::Prewhere
                | Self::Qualify
                | Self::Where
                | Self::Window
        )
    }

    /// Words after which an operand is expected.
    pub(super) fn wants_operand(self) -> bool {
        matches!(
            self,
            Self::And
                | Self::Between
                | Self::By
                | Self::Case
                | Self::Distinct
                | Self::Else
                | Self::Having
                | Self::Ilike
                | Self::In
                | Self::Interval
                | Self::Like
                | Self::Limit
                | Self::Not
                | Self::Offset
                | Self::On
                | Self::Or
                | Self::Prewhere
                | Self::Qualify
                | Self::Regexp
                | Self::Select
                | Self::Then
                | Self::When
                | Self::Where
        )
    }
}
