#![allow(missing_docs, clippy::all, clippy::pedantic, unused, clippy::todo)]
#[derive(Debug)] pub struct DataType;
impl std::fmt::Display for DataType{fn fmt(&self,f:&mut std::fmt::Formatter<'_>)->std::fmt::Result{todo!()}}
impl DataType{ pub fn without_wrappers(&self)->&Self{self} pub fn is_date_time64(&self)->bool{false} pub fn is_date_time(&self)->bool{false} pub fn is_date(&self)->bool{false} pub fn precision(&self)->Option<u8>{None} pub fn is_nullable(&self)->bool{false} pub fn element(&self)->Option<&Self>{None}}
#[derive(Debug,thiserror::Error)] #[error("x")] pub struct TypeError;
impl TypeError{ pub fn help(&self)->Option<String>{None}}
pub fn parse(s:&str)->Result<DataType,TypeError>{Ok(DataType)}
