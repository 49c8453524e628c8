//! Giving space back to the disk.
//!
//! Pages of deleted rows are free for new ones, but the file keeps its length, and a catalog that
//! once held many inline files would hold their space for ever. So when nothing waits and more than
//! a quarter of the file is free, some pages are cut off its end, a few at a time, so that a change
//! that comes meanwhile waits for milliseconds. A quarter stays: a catalog whose files come and go
//! would otherwise be cut and grow all day.

use rusqlite::Connection;

/// Pages cut off in one go: a change that arrives meanwhile waits for as long as these take.
const PAGES_AT_ONCE: u32 = 64;
/// Free pages that are not worth giving back: 4 MiB.
const FREE_PAGES_MIN: i64 = 1_024;

/// Cuts some free pages off, if there are too many. `true` if there is more to do.
pub(super) fn give_back(connection: &Connection) -> bool {
    match cut(connection) {
        Ok(more) => more,
        Err(error) => {
            tracing::warn!(%error, "free space inside the catalog can't be given back to the disk; it is tried again; uploads go on");
            false
        }
    }
}

fn cut(connection: &Connection) -> rusqlite::Result<bool> {
    if !too_many_free(connection)? {
        return Ok(false);
    }
    // Each step of the statement frees one page.
    let mut statement =
        connection.prepare(&format!("PRAGMA incremental_vacuum({PAGES_AT_ONCE})"))?;
    let mut freed = statement.raw_query();
    while freed.next()?.is_some() {}
    drop(freed);
    too_many_free(connection)
}

fn too_many_free(connection: &Connection) -> rusqlite::Result<bool> {
    let number = |sql| {
        connection
            .prepare_cached(sql)?
            .query_row([], |row| row.get::<_, i64>(0))
    };
    let free = number("PRAGMA freelist_count")?;
    Ok(free >= FREE_PAGES_MIN && free > number("PRAGMA page_count")? / 4)
}
