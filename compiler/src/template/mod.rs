#![allow(missing_docs, clippy::all, clippy::pedantic, unused, clippy::todo)]
use pipewright_grammar::{source::*, diagnostic::*};
use crate::mapped_text::MappedText;
#[derive(Debug)] pub struct Template{t:String,s:Span}
impl Template {
 pub fn compile(body:&str, span:Span)->(Self, Vec<Diagnostic>) {(Self{t:body.to_owned(),s:span},vec![])}
 pub fn parameters(&self)->&[Parameter]{&[]}
 pub fn tables(&self)->&[Spanned<String>]{&[]}
 pub fn render(&self, v:&Values, c:&RenderContext<'_>)->Result<Rendered,TemplateError>{Ok(Rendered{sql:MappedText::verbatim(&self.t,self.s),settings:Settings,secrets:vec![]})}
 pub fn branches(&self, c:&RenderContext<'_>)->Vec<Result<Rendered,TemplateError>>{vec![self.render(&Values,c)]}
}
#[derive(Debug,Clone,serde::Serialize)] pub struct Parameter{pub name:String,pub data_type:String,pub default:Option<serde_json::Value>,pub description:Option<String>,pub required:Option<bool>,pub format:Option<String>,pub example:Option<serde_json::Value>,pub enumeration:Vec<serde_json::Value>}
#[derive(Debug,Default)] pub struct Values;
impl Values { pub fn from_pairs(i: impl IntoIterator<Item=(String,String)>)->Self{Self} pub fn from_json(i: impl IntoIterator<Item=(String,serde_json::Value)>)->Self{Self} }
#[derive(Debug,Clone,Copy)] pub enum Mode{Check,Call}
#[derive(Clone,Copy)] pub struct RenderContext<'a>{pub mode:Mode,pub tables:Option<&'a dyn Fn(&str)->bool>,pub secrets:&'a [&'a str],pub now:&'a str}
impl RenderContext<'_>{ pub fn check()->Self{Self{mode:Mode::Check,tables:None,secrets:&[],now:""}} pub fn call()->Self{Self::check()}}
#[derive(Debug)] pub struct Rendered{pub sql:MappedText,pub settings:Settings,pub secrets:Vec<String>}
#[derive(Debug,Clone,Default)] pub struct Settings;
impl Settings{ pub fn merge(&mut self,o:&Settings){} pub fn engine_settings(&self)->Vec<(String,String)>{vec![]}}
#[derive(Debug,Clone,thiserror::Error)] #[error("{message}")] pub struct TemplateError{pub kind:ErrorKind,pub message:String,pub span:Option<Span>,pub status:Option<u16>,pub body:Option<serde_json::Value>}
impl TemplateError{ pub fn into_diagnostic(self, fallback:Span)->Diagnostic{todo!()}}
#[derive(Debug,Clone)] pub enum ErrorKind{CustomError}
pub fn merge_parameters<'a>(i: impl Iterator<Item=&'a [Parameter]>)->Vec<Parameter>{vec![]}
pub fn debug_render(l:&str)->String{todo!()}
