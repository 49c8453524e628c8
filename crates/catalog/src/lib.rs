//! Where records live: uploads, files and shares, in SQLite.
