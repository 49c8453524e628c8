//! A form's boundary, and the head of one part.

use crate::shared::fields::{self, Disposition};
use crate::shared::problem::{Kind, Problem};

/// The head of one part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// The form field's name.
    pub name: String,
    /// The file's name as the client gave it, not cleaned; `None` for a text field.
    pub filename: Option<String>,
    /// The part's media type, in lower case without parameters.
    pub content_type: Option<String>,
}

/// RFC 2046 has 70.
const BOUNDARY_BYTES_MAX: usize = 70;

/// Lines in one part's head. Clients send two or three.
const LINES_MAX: usize = 32;

/// The boundary of a form's `Content-Type`.
pub(super) fn boundary(content_type: &str) -> Result<String, Problem> {
    if fields::media_type(content_type) != "multipart/form-data" {
        return Err(Problem::new(Kind::ContentTypeRefused)
            .limit("multipart/form-data")
            .remedy("Upload with curl -T FILE, or send a form: curl -F file=@FILE.")
            .value(content_type));
    }
    let boundary = fields::parameters(content_type)
        .skip(1)
        .find(|(name, _)| name == "boundary")
        .map(|(_, value)| value.into_owned())
        .ok_or_else(|| refused("The content type has no boundary."))?;
    let is_usable = (1..=BOUNDARY_BYTES_MAX).contains(&boundary.len())
        && boundary.bytes().all(|b| (b' '..=b'~').contains(&b));
    if !is_usable {
        return Err(
            refused("The boundary must have 1 to 70 visible characters.")
                .limit(BOUNDARY_BYTES_MAX)
                .value(boundary.len()),
        );
    }
    Ok(boundary)
}

/// Reads a part's head: lines without the empty one that ends it.
pub(super) fn part(head: &[u8]) -> Result<Part, Problem> {
    let mut disposition: Option<Disposition> = None;
    let mut content_type = None;
    for (at, line) in lines(head).enumerate() {
        if at == LINES_MAX {
            return Err(Problem::new(Kind::FormTooLarge)
                .detail("A part has too many headers.")
                .limit(LINES_MAX));
        }
        let (name, value) = split(line).ok_or_else(|| refused("A part has an invalid header."))?;
        if name.eq_ignore_ascii_case(b"content-disposition") {
            if disposition.is_some() {
                return Err(refused("A part has two Content-Disposition headers."));
            }
            disposition = Some(Disposition::parse(value));
        } else if name.eq_ignore_ascii_case(b"content-type") {
            content_type = std::str::from_utf8(value).ok().map(fields::media_type);
        } else if name.eq_ignore_ascii_case(b"content-transfer-encoding") {
            transfer_encoding(value)?;
        }
    }
    let disposition = disposition
        .filter(|disposition| disposition.kind == "form-data")
        .ok_or_else(|| refused("A part has no Content-Disposition: form-data."))?;
    Ok(Part {
        name: disposition
            .name
            .ok_or_else(|| refused("A part has no name."))?,
        filename: disposition.filename,
        content_type: content_type.filter(|text| !text.is_empty()),
    })
}

/// RFC 7578 did away with these; a part that is really encoded would be stored as its code.
fn transfer_encoding(value: &[u8]) -> Result<(), Problem> {
    let value = String::from_utf8_lossy(value).to_ascii_lowercase();
    match value.trim() {
        "" | "7bit" | "8bit" | "binary" => Ok(()),
        _ => Err(refused("A part has a Content-Transfer-Encoding.").value(value.trim())),
    }
}

/// The lines of a head, each without its line break.
fn lines(head: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = head;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = memchr::memmem::find(rest, b"\r\n").unwrap_or(rest.len());
        let line = &rest[..end];
        rest = rest.get(end + 2..).unwrap_or_default();
        Some(line)
    })
}

/// Name and value of a line. The name is a token, so a folded line (it begins with a space) is
/// none.
fn split(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr::memchr(b':', line)?;
    let name = &line[..colon];
    let is_name = std::str::from_utf8(name).is_ok_and(fields::is_token);
    is_name.then(|| (name, line[colon + 1..].trim_ascii()))
}

pub(super) fn refused(detail: &str) -> Problem {
    Problem::new(Kind::FormInvalid).detail(detail)
}
