//! How it looks: values in, text out.
//!
//! The only place that knows terminals and colours. Nothing in here decides what is shown or when;
//! it only makes it look as kubectl's users expect.

pub mod age;
mod bar;
pub mod bytes;
pub mod columns;
pub mod document;
pub mod error;
pub mod output;
pub mod path;
pub mod progress;
pub mod screen;
pub mod style;
pub mod table;
pub mod template;
mod terminal;
pub mod wrap;
