//! One row of foreign values, read as a record: what a damaged database may answer. Only for
//! fuzzing (`testing`).
//!
//! SQLite checks types and constraints when it writes, and nothing when it reads. So whatever a
//! column holds, reading it must give a record or an error that says "corrupt", never a panic and
//! never a number that has turned its sign.

use super::rows::file_from;
use crate::{Error, FileRecord};
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

/// Columns of a record's row.
pub const COLUMNS: usize = 25;

/// Reads these values as the row of a file; missing ones are NULL.
pub fn record(mut values: Vec<Value>) -> Result<FileRecord, Error> {
    values.resize(COLUMNS, Value::Null);
    let places = vec!["?"; COLUMNS].join(", ");
    let connection = Connection::open_in_memory()?;
    Ok(connection.query_row(
        &format!("SELECT {places}"),
        params_from_iter(values),
        file_from,
    )?)
}
