//! Plain HTTP: `PUT /{name}` and the form at `POST /`.

pub mod multipart;
pub mod wire;
