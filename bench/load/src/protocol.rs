//! By which protocol files are sent, and where they are fetched again.

/// How files are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// `PUT` to a name.
    Put,
    /// tus 1.0.0: creation, then the bytes.
    Tus,
    /// tus 1.0.0 with creation-with-upload: one request.
    TusWithUpload,
    /// A form, as browsers send it.
    Post,
}

/// Where a file is fetched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fetch {
    /// Where it was `PUT`.
    Same,
    /// At the answer's `Location`, or the upload's URL.
    Location,
    /// At the link in the first line of the answer's content.
    Answer,
}
