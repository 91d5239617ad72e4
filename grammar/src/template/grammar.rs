//! The parser that pest derives from `template.pest`.

use pest_derive::Parser;

#[derive(Parser)]
#[grammar = "template/template.pest"]
pub(super) struct TemplateGrammar;
