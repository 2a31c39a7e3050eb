//! Domains as a spreadsheet writes them: CSV with a header, parsed into rows of an import. Nothing is guessed but what
//! separates the cells.
use std::collections::HashSet;

use csv::{ReaderBuilder, StringRecord, Trim};

use super::{MAX_ROWS, Row};
use crate::{
    domains::intake::{DomainInput, Parameters, ServerInput},
    input::FieldError,
    vendors::Vendor,
};

/// A row of a sheet, and the line of the text that it begins in, counted from 1.
pub struct Line {
    pub number: u64,
    pub row: Row,
}

/// A column that a sheet may have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    pub name: &'static str,
    /// The vendors that it is a parameter of; none: of every domain.
    pub vendors: Vec<&'static str>,
}

/// Why a sheet can't be read at all.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum SheetError {
    #[error("There are no rows. The first line names the columns, each line below it is a domain.")]
    Empty,
    #[error("The text is not in UTF-8: it holds characters that can't be read. Save the sheet as \"CSV UTF-8\".")]
    NotUtf8,
    #[error("The first line must name the columns, and `{0}` is not among them.")]
    Missing(&'static str),
    #[error("The first line names a column `{0}` that is not known. Rename it, or take it away.")]
    Unknown(String),
    #[error("The first line names the column `{0}` twice.")]
    Twice(&'static str),
    #[error("There are more than {MAX_ROWS} rows. Import them in parts.")]
    TooMany,
}

const HOSTNAME: &str = "hostname";
const CLIENT: &str = "client";
const VENDOR: &str = "vendor";
const ENROLLMENT: &str = "enrollment";
const CONNECTION: &str = "connection";
const WEBSITE: &str = "website_url";
/// What other sheets call them.
const SYNONYMS: [(&str, &str); 4] = [
    ("domain", HOSTNAME),
    ("client_name", CLIENT),
    ("mdm", VENDOR),
    ("website", WEBSITE),
];

/// Every column, in the order of the template.
#[must_use]
pub fn columns() -> Vec<Column> {
    let own = |name| Column {
        name,
        vendors: Vec::new(),
    };
    let mut columns: Vec<_> = [HOSTNAME, CLIENT, VENDOR].map(own).into();
    for vendor in Vendor::ALL {
        for parameter in vendor.description().parameters {
            match columns.iter_mut().find(|column| column.name == parameter.name) {
                Some(column) => column.vendors.push(vendor.name()),
                None => columns.push(Column {
                    name: parameter.name,
                    vendors: vec![vendor.name()],
                }),
            }
        }
    }
    columns.extend([ENROLLMENT, CONNECTION, WEBSITE].map(own));
    columns
}

/// A sheet with two rows to write over.
#[must_use]
pub fn template() -> String {
    let columns = columns();
    let line = |cells: &[(&str, &str)]| {
        let cell = |column: &Column| {
            let found = cells.iter().find(|(name, _)| *name == column.name);
            found.map_or("", |(_, text)| *text)
        };
        columns.iter().map(cell).collect::<Vec<_>>().join(",")
    };
    let names: Vec<_> = columns.iter().map(|column| column.name).collect();
    let rows = [
        names.join(","),
        line(&[
            (HOSTNAME, "contoso.com"),
            (CLIENT, "Contoso"),
            (VENDOR, "intune"),
            ("tenant_id", "11111111-2222-3333-4444-555555555555"),
        ]),
        line(&[
            (HOSTNAME, "fabrikam.com"),
            (CLIENT, "Fabrikam"),
            (VENDOR, "jamf_pro"),
            ("host", "fabrikam.jamfcloud.com"),
        ]),
    ];
    rows.join("\r\n") + "\r\n"
}

/// The column that an error of a row speaks of, by its pointer.
#[must_use]
pub fn column_of(pointer: &str) -> &str {
    match pointer.rsplit('/').next().unwrap_or_default() {
        "client_name" | "client_id" => CLIENT,
        "server" | "server_id" | "default" => VENDOR,
        other => other,
    }
}

/// The rows of a sheet. Cells are separated by commas, semicolons or tabs, whichever the first line has most of.
pub fn read(text: &str) -> Result<Vec<Line>, SheetError> {
    if text.contains('\u{fffd}') {
        return Err(SheetError::NotUtf8);
    }
    let mut records = records(text).into_iter();
    let (_, names) = records.next().ok_or(SheetError::Empty)?;
    let header = header(&names)?;
    let lines: Vec<_> = records
        .map(|(number, record)| Line {
            number,
            row: row(&header, &record),
        })
        .collect();
    match lines.len() {
        0 => Err(SheetError::Empty),
        1..=MAX_ROWS => Ok(lines),
        _ => Err(SheetError::TooMany),
    }
}

/// The sheet with none but these lines, and those that name its columns.
#[must_use]
pub fn only(text: &str, lines: &HashSet<u64>) -> String {
    let mut writer = csv::WriterBuilder::new().flexible(true).from_writer(Vec::new());
    for (index, (number, record)) in records(text).into_iter().enumerate() {
        if index == 0 || lines.contains(&number) {
            // Writing to memory does not fail.
            writer.write_record(&record).ok();
        }
    }
    let bytes = writer.into_inner().unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Every record that is not empty, with the line that it begins in; a few more than may be are enough to see that.
fn records(text: &str) -> Vec<(u64, StringRecord)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    // Excel says so what separates the cells.
    let (first, rest) = text.split_once('\n').unwrap_or((text, ""));
    let (text, skipped) = match first.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("sep=")) {
        true => (rest, 1),
        false => (text, 0),
    };
    let mut reader = ReaderBuilder::new()
        .delimiter(delimiter(text.trim_start().lines().next().unwrap_or_default()))
        .flexible(true)
        .has_headers(false)
        .trim(Trim::All)
        .from_reader(text.as_bytes());
    // Only bytes that are no UTF-8, or a reader that fails, are errors here.
    let records = reader.records().map_while(Result::ok);
    let filled = records.filter(|record| record.iter().any(|cell| !cell.is_empty()));
    let numbered = filled.map(|record| (record.position().map_or(0, csv::Position::line) + skipped, record));
    numbered.take(MAX_ROWS + 2).collect()
}

fn delimiter(header: &str) -> u8 {
    let count = |delimiter: &u8| header.bytes().filter(|byte| byte == delimiter).count();
    // Of equals the last is the most: a comma where there is none at all.
    [b'\t', b';', b','].into_iter().max_by_key(count).unwrap_or(b',')
}

/// The column of each cell; none: cells without a name, which must be empty.
fn header(record: &StringRecord) -> Result<Vec<Option<&'static str>>, SheetError> {
    let columns = columns();
    let mut names = Vec::new();
    for cell in record {
        let text = cell.to_lowercase().replace([' ', '-'], "_");
        let text = SYNONYMS
            .iter()
            .find(|(other, _)| *other == text)
            .map_or(text.as_str(), |(_, name)| *name);
        let found = columns.iter().find(|column| column.name == text);
        match found {
            None if text.is_empty() => names.push(None),
            None => return Err(SheetError::Unknown(crate::input::plain(cell, 60))),
            Some(column) if names.contains(&Some(column.name)) => return Err(SheetError::Twice(column.name)),
            Some(column) => names.push(Some(column.name)),
        }
    }
    let missing = [HOSTNAME, VENDOR].into_iter().find(|name| !names.contains(&Some(name)));
    missing.map_or(Ok(names), |name| Err(SheetError::Missing(name)))
}

fn row(header: &[Option<&'static str>], record: &StringRecord) -> Row {
    let cells = || {
        let named = record.iter().zip(header.iter().copied().chain(std::iter::repeat(None)));
        named.filter(|(cell, _)| !cell.is_empty())
    };
    let cell = |name| {
        cells()
            .find(|(_, column)| *column == Some(name))
            .map(|(cell, _)| cell.to_owned())
    };
    let faults: Vec<_> = cells().filter_map(|(cell, column)| fault(cell, column)).collect();
    let own = [HOSTNAME, CLIENT, VENDOR, ENROLLMENT, CONNECTION, WEBSITE];
    let parameters: Parameters = cells()
        .filter_map(|(cell, column)| Some((column?, cell)))
        .filter(|(column, _)| !own.contains(column))
        .map(|(column, cell)| (column.to_owned(), cell.into()))
        .collect();
    let server = ServerInput {
        vendor: vendor(&cell(VENDOR).unwrap_or_default()),
        parameters,
        enrollment: cell(ENROLLMENT),
        tenant: None,
    };
    let input = DomainInput {
        hostname: cell(HOSTNAME).unwrap_or_default(),
        client_name: Some(cell(CLIENT).unwrap_or_default()),
        server: Some(server),
        connection: cell(CONNECTION),
        website_url: cell(WEBSITE),
        ..DomainInput::default()
    };
    Row {
        hostname: cell(HOSTNAME),
        input: match faults.is_empty() {
            true => Ok(input),
            false => Err(faults),
        },
    }
}

/// What is wrong with a cell before anything is known of its column's rules.
fn fault(cell: &str, column: Option<&'static str>) -> Option<FieldError> {
    let Some(column) = column else {
        let detail = format_args!(
            "`{}` stands in a column that has no name",
            crate::input::plain(cell, 60)
        );
        return Some(FieldError::new("", detail));
    };
    let pointer = format!("/{column}");
    if cell.contains(['\n', '\r']) {
        let detail = "holds a line break: a quotation mark may be open";
        return Some(FieldError::new(pointer, detail));
    }
    if cell.contains(char::is_control) {
        return Some(FieldError::new(pointer, "holds a control character"));
    }
    // Who opens our list in a spreadsheet should not run it.
    let is_formula = column == CLIENT && cell.starts_with(['=', '+', '-', '@']);
    is_formula.then(|| FieldError::new(pointer, "begins as a spreadsheet's formula does: give the name alone"))
}

/// Vendors go by their key or their name.
fn vendor(text: &str) -> String {
    let is_meant =
        |vendor: &Vendor| vendor.key().eq_ignore_ascii_case(text) || vendor.name().eq_ignore_ascii_case(text);
    let found = Vendor::ALL.into_iter().find(is_meant);
    found.map_or_else(|| text.to_owned(), |vendor| vendor.key().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hostnames(text: &str) -> Vec<String> {
        let lines = read(text).expect("a sheet");
        let hostname = |line: Line| line.row.input.expect("a row").hostname;
        lines.into_iter().map(hostname).collect()
    }

    fn refusal(text: &str) -> SheetError {
        read(text).err().expect("a refusal")
    }

    #[test]
    fn a_sheet_is_read_as_any_spreadsheet_writes_it() {
        for text in [
            "hostname,client,vendor\na.example,A,intune\nb.example,B,intune",
            "\u{feff}Hostname;Client;Vendor\r\na.example;A;intune\r\n;;\r\n\r\nb.example;B;intune\r\n",
            "sep=;\nhostname;client;vendor\na.example;A;intune\nb.example;B;intune",
            "hostname\tclient\tvendor\na.example\tA\tintune\nb.example\tB\tMicrosoft Intune",
            "\"domain\",\"Client name\",\"MDM\"\n\"a.example\",\" A \",\"intune\"\n\"b.example\",\"B, \"\"b\"\"\",\"INTUNE\"",
            "vendor,client,hostname,\nintune,A,a.example,\nintune,B,b.example",
        ] {
            assert_eq!(hostnames(text), ["a.example", "b.example"], "{text}");
        }
    }

    #[test]
    fn a_sheet_that_is_none_is_refused_as_a_whole() {
        let many = format!("hostname,vendor\n{}", "a.example,intune\n".repeat(MAX_ROWS + 1));
        for (text, error) in [
            ("", SheetError::Empty),
            ("\u{feff}\n\n,,\n", SheetError::Empty),
            ("hostname,client,vendor\n", SheetError::Empty),
            ("a.example,A,intune", SheetError::Unknown("a.example".into())),
            ("hostname,client\na.example,A", SheetError::Missing("vendor")),
            ("hostname,vendor,domain\na,b,c", SheetError::Twice("hostname")),
            ("hostname,vendor\nb\u{fffd}cher.example,intune", SheetError::NotUtf8),
            (&many, SheetError::TooMany),
        ] {
            assert_eq!(refusal(text), error, "{text}");
        }
    }

    #[test]
    fn a_row_that_can_not_be_meant_is_told_with_its_column_and_its_line() {
        let text = "hostname,client,vendor\nok.example,A,intune\na.example,=cmd|' /C calc'!A0,intune\nb.example,\"open,intune\nc\0.example,B,intune\n";
        let lines = read(text).expect("a sheet");
        let told = |line: &Line| {
            let errors = line.row.input.as_ref().err().cloned().unwrap_or_default();
            let pointers: Vec<_> = errors.into_iter().map(|error| error.pointer).collect();
            (line.number, pointers)
        };
        let told: Vec<_> = lines.iter().map(told).collect();
        assert_eq!(
            told,
            [
                (2, vec![]),
                (3, vec!["/client".to_owned()]),
                (4, vec!["/client".to_owned()])
            ]
        );
        let lines = read("hostname,vendor\na\0.example,intune\nb.example,intune,more").expect("a sheet");
        let told: Vec<_> = lines.iter().map(|line| line.row.input.is_err()).collect();
        assert_eq!(told, [true, true]);
    }

    #[test]
    fn what_is_left_of_a_sheet_is_a_sheet() {
        let text = "sep=;\nhostname;client;vendor\na.example;\"A; \"\"a\"\"\";intune\nb.example;B;intune\n";
        let rest = only(text, &HashSet::from([3]));
        assert_eq!(rest, "hostname,client,vendor\na.example,\"A; \"\"a\"\"\",intune\n");
        assert_eq!(hostnames(&rest), ["a.example"]);
    }

    #[test]
    fn the_template_is_a_sheet() {
        assert_eq!(hostnames(&template()), ["contoso.com", "fabrikam.com"]);
        let lines = read(&template()).expect("a sheet");
        for line in lines {
            let input = line.row.input.expect("a row");
            let configured = input.server.expect("a server").configure();
            assert!(configured.is_ok(), "{configured:?}");
        }
        for column in columns().iter().filter(|column| column.vendors.is_empty()) {
            assert_eq!(column_of(&format!("/{}", column.name)), column.name);
        }
        assert_eq!(column_of("/server/parameters/tenant_id"), "tenant_id");
        assert_eq!(column_of("/client_id"), "client");
    }
}
