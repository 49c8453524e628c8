//! Bodies: of requests as the engine takes them, and of answers on their way out.

mod direct;
mod frames;
mod request;
mod response;

pub(crate) use direct::DirectBody;
pub(crate) use request::RequestBody;
pub(crate) use response::ResponseBody;
