//! Programs that we did not write, through the front door.
//!
//! What a person types is in docs/CLIENTS.md, and the tests run it from there, so that the document
//! can't say what does not work. A program that is not installed is a failure with the remedy,
//! never a skip.

mod aria2;
mod curl;
mod manual;
mod rclone;
mod tus_clients;
mod wget;
