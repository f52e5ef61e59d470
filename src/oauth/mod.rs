//! The protocol only: builds requests, parses answers, classifies failures. Nothing here sends anything.

pub mod message;
