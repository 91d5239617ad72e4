#![allow(missing_docs, clippy::all, clippy::pedantic, unused, clippy::todo)]
use sha2::Digest;
pub struct State; pub struct Tokens; pub struct Made{pub secret:Option<String>,pub hash:[u8;32]} #[derive(Clone)] pub struct Hasher;
impl Hasher{pub fn hash(&self,s:&str)->[u8;32]{sha2::Sha256::digest(s.as_bytes()).into()}}
impl State{pub fn open(p:&std::path::Path)->anyhow::Result<Self>{Ok(Self)} pub fn tokens(&self)->Tokens{Tokens}}
impl Tokens{pub fn hash(&self,s:&str)->[u8;32]{Hasher.hash(s)} pub fn ensure(&self,n:&str,s:&[String])->anyhow::Result<Made>{let s=format!("tok_{n}");Ok(Made{hash:Hasher.hash(&s),secret:Some(s)})} pub fn hasher(&self)->Hasher{Hasher}}
pub fn timestamp(s:u64)->String{"2026-01-01 00:00:00".into()}
