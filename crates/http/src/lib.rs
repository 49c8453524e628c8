//! The ways in: tus, plain HTTP, downloads, status and the pages.
