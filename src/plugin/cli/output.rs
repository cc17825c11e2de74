//! What `-o` may say, read as kubectl reads it.

use std::ffi::OsStr;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Arg, Command, Error};

use crate::render::columns::Columns;
use crate::render::document::Form;
use crate::render::output::{ListOutput, Machine};
use crate::render::path::BadPath;
use crate::render::template::Template;

const WIDE: (&str, &str) = ("wide", "More columns");
const NAME: (&str, &str) = ("name", "Only the names");
const JSON: (&str, &str) = ("json", "JSON");
const YAML: (&str, &str) = ("yaml", "YAML");
const JSON_PATH: (&str, &str) = ("jsonpath=", "A template, such as '{range .items[*]}{.name}{\"\\n\"}{end}'");
const CUSTOM_COLUMNS: (&str, &str) = ("custom-columns=", "Columns, such as NAME:.name,SIZE:.sizeBytes");

/// Reads the form of a listing.
#[derive(Clone)]
pub(crate) struct ListOutputs;

/// Reads the form of a document, or of the table of several clusters.
#[derive(Clone)]
pub(crate) struct StatusOutputs;

/// Reads the form of a document.
#[derive(Clone)]
pub(crate) struct Machines;

impl TypedValueParser for ListOutputs {
    type Value = ListOutput;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<ListOutput, Error> {
        listing(&LIST_FORMS, command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(possible(&LIST_FORMS)))
    }
}

impl TypedValueParser for StatusOutputs {
    type Value = ListOutput;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<ListOutput, Error> {
        listing(&STATUS_FORMS, command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(possible(&STATUS_FORMS)))
    }
}

impl TypedValueParser for Machines {
    type Value = Machine;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<Machine, Error> {
        machine(&DOCUMENT_FORMS, command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(possible(&DOCUMENT_FORMS)))
    }
}

const STATUS_FORMS: [(&str, &str); 6] = [
    ("wide", "With -A or -l: more columns"),
    JSON,
    YAML,
    ("name", "With -A or -l: only the names"),
    JSON_PATH,
    CUSTOM_COLUMNS,
];
const LIST_FORMS: [(&str, &str); 6] = [WIDE, JSON, YAML, NAME, JSON_PATH, CUSTOM_COLUMNS];
const DOCUMENT_FORMS: [(&str, &str); 4] = [JSON, YAML, JSON_PATH, CUSTOM_COLUMNS];

fn possible<'a>(forms: &'a [(&'static str, &'static str)]) -> impl Iterator<Item = PossibleValue> + 'a {
    forms.iter().map(|(word, help)| PossibleValue::new(*word).help(*help))
}

/// Reads one of the forms of a listing.
fn listing(
    forms: &[(&'static str, &'static str)],
    command: &Command,
    arg: Option<&Arg>,
    value: &OsStr,
) -> Result<ListOutput, Error> {
    match value.to_str() {
        Some("wide") => Ok(ListOutput::Wide),
        Some("name") => Ok(ListOutput::Name),
        _ => machine(forms, command, arg, value).map(ListOutput::Machine),
    }
}

/// Reads one of the forms made of the document; what is none of them is answered with all there are.
fn machine(
    forms: &[(&'static str, &'static str)],
    command: &Command,
    arg: Option<&Arg>,
    value: &OsStr,
) -> Result<Machine, Error> {
    let text = value.to_str().unwrap_or_default();
    match text.split_once('=') {
        None if text == "json" => return Ok(Machine::Document(Form::Json)),
        None if text == "yaml" => return Ok(Machine::Document(Form::Yaml)),
        Some(("jsonpath", _)) => return templated(json_path, command, arg, value),
        Some(("custom-columns", _)) => return templated(custom_columns, command, arg, value),
        _ => {}
    }
    let all = PossibleValuesParser::new(possible(forms));
    all.parse_ref(command, arg, value).and_then(|_| templated(json_path, command, arg, value))
}

fn templated(
    read: fn(&str) -> Result<Machine, String>,
    command: &Command,
    arg: Option<&Arg>,
    value: &OsStr,
) -> Result<Machine, Error> {
    read.parse_ref(command, arg, value)
}

fn json_path(text: &str) -> Result<Machine, String> {
    let template = text.strip_prefix("jsonpath=").unwrap_or(text);
    let example = "an example: -o jsonpath='{.items[*].name}'";
    if template.is_empty() {
        return Err(format!("no template is given; {example}"));
    }
    Template::parse(template).map(Machine::JsonPath).map_err(|bad: BadPath| format!("{bad}; {example}"))
}

fn custom_columns(text: &str) -> Result<Machine, String> {
    let columns = text.strip_prefix("custom-columns=").unwrap_or(text);
    let example = "an example: -o custom-columns=NAME:.name,SIZE:.sizeBytes";
    if columns.is_empty() {
        return Err(format!("no columns are given; {example}"));
    }
    Columns::parse(columns).map(Machine::CustomColumns).map_err(|bad: BadPath| format!("{bad}; {example}"))
}
