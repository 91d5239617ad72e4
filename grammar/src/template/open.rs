//! Blocks whose `{% end %}` is still to come: which parts they have, and the item that they become.

use super::tree::{Expr, Handler, Item, Target};
use crate::source::{Span, Spanned};

/// An open block.
pub(super) struct Open {
    /// Its tag.
    pub(super) span: Span,
    pub(super) kind: Kind,
}

/// What an open block is, with the parts of it that are complete.
pub(super) enum Kind {
    If {
        branches: Vec<(Expr, Vec<Item>)>,
        condition: Option<Expr>,
        otherwise: Option<Vec<Item>>,
    },
    For {
        target: Target,
        iterable: Expr,
        body: Option<Vec<Item>>,
    },
    While {
        condition: Expr,
        body: Option<Vec<Item>>,
    },
    Try {
        body: Option<Vec<Item>>,
        handlers: Vec<Handler>,
        otherwise: Option<Vec<Item>>,
        part: Part,
    },
    /// A block whose tag could not be read: its content is parsed and dropped.
    Broken,
}

/// Which part of a `try` block is being filled.
pub(super) enum Part {
    Body,
    Handler(Option<Expr>, Option<Spanned<String>>),
    Otherwise,
    Finally,
}

impl Kind {
    /// Whether blocks of this kind can have the part at all.
    pub(super) fn has_part(&self, keyword: &str) -> bool {
        match self {
            Self::If { .. } => matches!(keyword, "elif" | "else"),
            Self::For { .. } | Self::While { .. } => keyword == "else",
            Self::Try { .. } | Self::Broken => matches!(keyword, "except" | "else" | "finally"),
        }
    }

    /// Ends the part that was being filled and starts the one that `keyword` names. `false` if the block has no such part.
    pub(super) fn switch(
        &mut self,
        keyword: &str,
        items: Vec<Item>,
        next: Option<Expr>,
        handler: Option<(Option<Expr>, Option<Spanned<String>>)>,
    ) -> bool {
        match (self, keyword) {
            (Self::Broken, _) => true,
            (
                Self::If {
                    branches,
                    condition,
                    ..
                },
                "elif" | "else",
            ) if condition.is_some() => {
                if let Some(open) = condition.take() {
                    branches.push((open, items));
                }
                *condition = next;
                true
            }
            (Self::For { body, .. } | Self::While { body, .. }, "else") if body.is_none() => {
                *body = Some(items);
                true
            }
            (
                Self::Try {
                    body,
                    handlers,
                    otherwise,
                    part,
                },
                _,
            ) => {
                let new = match (keyword, &*part) {
                    ("except", Part::Body | Part::Handler(..)) => {
                        let (class, name) = handler.unwrap_or((None, None));
                        Part::Handler(class, name)
                    }
                    ("else", Part::Handler(..)) => Part::Otherwise,
                    ("finally", Part::Body | Part::Handler(..) | Part::Otherwise) => Part::Finally,
                    _ => return false,
                };
                match std::mem::replace(part, new) {
                    Part::Body => *body = Some(items),
                    Part::Handler(class, name) => {
                        handlers.push(Handler {
                            class,
                            name,
                            body: items,
                        });
                    }
                    Part::Otherwise | Part::Finally => *otherwise = Some(items),
                }
                true
            }
            _ => false,
        }
    }

    /// Ends the block with the items of its last part; `None` for one that is dropped.
    pub(super) fn close(self, span: Span, last: Vec<Item>) -> Option<Item> {
        Some(match self {
            Self::Broken => return None,
            Self::If {
                mut branches,
                condition,
                otherwise,
            } => {
                let mut tail = otherwise.unwrap_or_default();
                match condition {
                    Some(condition) => branches.push((condition, last)),
                    None => tail = last,
                }
                Item::If {
                    span,
                    branches,
                    otherwise: tail,
                }
            }
            Self::For {
                target,
                iterable,
                body,
            } => {
                let (body, otherwise) = body_and_else(body, last);
                Item::For {
                    span,
                    target,
                    iterable,
                    body,
                    otherwise,
                }
            }
            Self::While { condition, body } => {
                let (body, otherwise) = body_and_else(body, last);
                Item::While {
                    span,
                    condition,
                    body,
                    otherwise,
                }
            }
            Self::Try {
                body,
                handlers,
                otherwise,
                part,
            } => guarded(span, (body, handlers, otherwise), part, last),
        })
    }
}

/// A `try` with the items of its last part.
fn guarded(
    span: Span,
    (body, mut handlers, otherwise): (Option<Vec<Item>>, Vec<Handler>, Option<Vec<Item>>),
    part: Part,
    last: Vec<Item>,
) -> Item {
    let mut body = body.unwrap_or_default();
    let mut otherwise = otherwise.unwrap_or_default();
    let mut finally = Vec::new();
    match part {
        Part::Body => body = last,
        Part::Handler(class, name) => {
            handlers.push(Handler {
                class,
                name,
                body: last,
            });
        }
        Part::Otherwise => otherwise = last,
        Part::Finally => finally = last,
    }
    Item::Try {
        span,
        body,
        handlers,
        otherwise,
        finally,
    }
}

fn body_and_else(body: Option<Vec<Item>>, last: Vec<Item>) -> (Vec<Item>, Vec<Item>) {
    match body {
        Some(body) => (body, last),
        None => (last, Vec::new()),
    }
}
