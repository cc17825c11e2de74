//! The forms `-o` names: for other programs, and with templates of the reader's own.

use serde::Serialize;

use super::columns::Columns;
use super::document::{Form, document, value};
use super::template::Template;

/// A form that is made of the document itself.
#[derive(Clone, Debug, PartialEq)]
pub enum Machine {
    /// JSON or YAML.
    Document(Form),
    /// A template of kubectl's JSONPath dialect.
    JsonPath(Template),
    /// Columns of the reader's own.
    CustomColumns(Columns),
}

/// A form of a listing.
#[derive(Clone, Debug, PartialEq)]
pub enum ListOutput {
    /// The table with more columns.
    Wide,
    /// Only the names.
    Name,
    /// A form made of the document.
    Machine(Machine),
}

impl Machine {
    /// What stands between two documents that follow one another.
    #[must_use]
    pub fn separator(&self) -> &'static str {
        match self {
            Self::Document(Form::Yaml) => "---\n",
            Self::JsonPath(_) => "\n",
            Self::Document(Form::Json) | Self::CustomColumns(_) => "",
        }
    }

    /// Writes a document in this form.
    #[must_use]
    pub fn write<T: Serialize>(&self, shown: &T, with_headers: bool) -> String {
        match self {
            Self::Document(form) => document(shown, *form),
            Self::JsonPath(template) => template.write(&value(shown)),
            Self::CustomColumns(columns) => columns.write(&value(shown), with_headers),
        }
    }
}
