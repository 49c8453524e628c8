//! The table of refusals. A kind and its line are written once, by the macro, so that neither can
//! be without the other.
//!
//! Statuses that look odd and why they are so:
//!
//! - `taken-over` is 400, as tusd answers it: tus clients try again after 409 and 423, and two
//!   clients that retry would take the upload from each other for ever.
//! - `body-stalled` and `shutting-down` are 5xx although the first is the client's doing: tus
//!   clients give up on every other 4xx (408 included), and here they are to resume.
//! - `no-space` is 507: 413 would say that this file is too large for any disk, and clients would
//!   not try again.

/// One line of the table.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The kind that this line is about.
    pub kind: Kind,
    /// Last segment of the problem's `type`. Never changed once released.
    pub slug: &'static str,
    /// Status code of the answer. Not an [`http::StatusCode`], so that the table is a constant.
    pub status: u16,
    /// The kind in a few words; the same for every occurrence.
    pub title: &'static str,
    /// When it occurs; for the documentation, and the `detail` of a kind with [`Detail::Fixed`].
    pub about: &'static str,
    /// What to do, unless the place of refusal knows better.
    pub remedy: &'static str,
    /// Whether an occurrence may have a text of its own.
    pub detail: Detail,
}

/// Whether an occurrence of a kind may explain itself in its own words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// The text is about the request, and is shown to who sent it.
    Open,
    /// The text would be about the server's inside: every occurrence shows the same one.
    Fixed,
}

macro_rules! kinds {
    ($($(#[$detail:ident])? $kind:ident $status:literal $slug:literal $title:literal, $about:literal, $remedy:literal;)+) => {
        /// Every refusal that this server knows.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Kind {
            $(#[doc = $about] $kind,)+
        }

        /// The table, in the order of [`Kind`].
        pub const TABLE: &[Entry] = &[
            $(Entry {
                kind: Kind::$kind,
                slug: $slug,
                status: $status,
                title: $title,
                about: $about,
                remedy: $remedy,
                detail: kinds!(@detail $($detail)?),
            },)+
        ];
    };
    (@detail) => { Detail::Open };
    (@detail fixed) => { Detail::Fixed };
}

impl Kind {
    /// The table's line for this kind.
    #[must_use]
    pub const fn entry(self) -> &'static Entry {
        &TABLE[self as usize]
    }
}

kinds! {
    // What any request can meet.
    HeaderInvalid 400 "header-invalid" "Invalid header",
        "A header is missing, sent twice, or invalid.",
        "Send the header once, in the format that the protocol defines.";
    HeadInvalid 400 "head-invalid" "Invalid request",
        "The request line or a header is not valid HTTP/1.1.",
        "Send a valid request, as RFC 9112 defines it.";
    BodyInvalid 400 "body-invalid" "Invalid request body",
        "The body does not match its content type, or it ended early.",
        "Send the complete body with the right content type.";
    HostRefused 400 "host-refused" "Invalid Host header",
        "The Host header is missing, sent twice, or not a valid host name.",
        "Send one Host header with a valid host name, and a port if needed.";
    TransferCoding 501 "transfer-coding" "Transfer encoding not supported",
        "The only supported Transfer-Encoding is chunked.",
        "Send the body uncompressed, either chunked or with Content-Length.";
    FramingInvalid 400 "framing-invalid" "Unclear body length",
        "Transfer-Encoding is invalid, or was sent together with Content-Length.",
        "Send either Transfer-Encoding: chunked or Content-Length, once.";
    NotFound 404 "not-found" "Not found",
        "This link has expired or doesn't exist.",
        "Check the link, or ask the sender for a new one.";
    MethodRefused 405 "method-refused" "Method not allowed",
        "This address does not support the request's method.",
        "Use a method listed in the Allow header. To delete a file, use its delete link.";
    UriTooLong 414 "uri-too-long" "Address too long",
        "The address of the request is too long.",
        "Use a shorter file name in the address, or send the name in the upload's metadata.";
    ContentTypeRefused 415 "content-type-refused" "Content type not supported",
        "The Content-Type header is missing or not supported here.",
        "Send the content type given as the limit.";
    HeadersTooLarge 431 "headers-too-large" "Headers too large",
        "The request headers are too large.",
        "Send fewer or shorter headers. Metadata is for names, not for content.";
    CrossSite 403 "cross-site" "Request from another site",
        "The browser reports that this request comes from another website.",
        "Use this server's own page, or a program such as curl.";

    // Uploads.
    UploadNotFound 404 "upload-not-found" "Upload not found",
        "This upload doesn't exist or was deleted.",
        "Start a new upload.";
    UploadExpired 410 "upload-expired" "Upload expired",
        "The upload received no data for too long and was removed.",
        "Start a new upload.";
    UploadFailed 410 "upload-failed" "Upload failed",
        "The upload cannot be completed, for example because one of its partial uploads was deleted.",
        "Start a new upload.";
    WrongOffset 409 "wrong-offset" "Wrong upload offset",
        "The offset in the request is not the number of bytes on the server.",
        "Get the offset with HEAD and continue there.";
    TakenOver 400 "taken-over" "Upload continued elsewhere",
        "A newer request is now sending this upload.",
        "No data is lost. Get the offset with HEAD before you send more.";
    LengthInvalid 400 "length-invalid" "Invalid upload length",
        "The request needs either Upload-Length or Upload-Defer-Length: 1. The length can be set only once.",
        "Send the length in bytes as a whole number, or Upload-Defer-Length: 1 if it is unknown.";
    BeyondLength 413 "beyond-length" "Upload longer than announced",
        "The request sends more bytes than the upload's length.",
        "Create a new upload with the right length.";
    TooLarge 413 "too-large" "File too large",
        "The file is larger than this server allows.",
        "Send a smaller file, or ask the operator to raise the limit.";
    NoSpace 507 "no-space" "Not enough space",
        "The server does not have enough free disk space for this file.",
        "Try again later, send a smaller file, or ask the operator to free some space.";
    MetadataInvalid 400 "metadata-invalid" "Invalid upload metadata",
        "Upload-Metadata must be a list of unique ASCII keys, each followed by a space and a Base64 value.",
        "Encode every value as Base64 and send every key once.";
    MetadataTooLarge 431 "metadata-too-large" "Upload metadata too large",
        "Upload-Metadata is too long or has too many keys.",
        "Send fewer or shorter entries.";
    TusVersion 412 "tus-version" "Unsupported tus version",
        "The Tus-Resumable header is missing or not 1.0.0.",
        "Send Tus-Resumable: 1.0.0.";
    ConcatInvalid 400 "concat-invalid" "Invalid Upload-Concat header",
        "Upload-Concat must be partial, or final; followed by the URLs of partial uploads on this server.",
        "List the URLs of the partial uploads, separated by spaces.";
    ConcatPart 400 "concat-part" "Invalid partial upload",
        "One of the listed uploads doesn't exist, is not a partial upload, or is listed twice.",
        "Create each part with Upload-Concat: partial, and list each part once.";
    TooManyParts 400 "too-many-parts" "Too many partial uploads",
        "The list has more partial uploads than allowed.",
        "Use fewer, larger parts, or ask the operator to raise the limit.";
    FinalUpload 403 "final-upload" "Final uploads take no data",
        "This upload is joined from partial uploads and takes no data of its own.",
        "Send the data to the partial uploads.";
    ChecksumInvalid 400 "checksum-invalid" "Invalid checksum",
        "Upload-Checksum must be an algorithm, a space and a Base64 value of the right size, and an announced trailer must arrive.",
        "Encode the raw checksum (not its hexadecimal text) as Base64.";
    ChecksumAlgorithm 400 "checksum-algorithm" "Unsupported checksum algorithm",
        "The server does not support this checksum algorithm.",
        "Use one of the algorithms given as the limit.";
    ChecksumMismatch 460 "checksum-mismatch" "Checksum mismatch",
        "The received data does not match its checksum and was discarded.",
        "Send this part again from the same offset.";
    DigestInvalid 400 "digest-invalid" "Invalid digest header",
        "Content-Digest or Repr-Digest is not valid (RFC 9530).",
        "Send the raw digest as a byte sequence, for example sha-256=:…:.";
    DigestMismatch 400 "digest-mismatch" "Digest mismatch",
        "The received data does not match Content-Digest or Repr-Digest. The file was not kept.",
        "Send the file again.";
    BodyStalled 503 "body-stalled" "Upload stalled",
        "No data arrived within the time limit. Resumable uploads keep what was received; other uploads are discarded.",
        "Get the offset of a resumable upload with HEAD and continue there. Send other uploads again.";

    // Names, shares, forms.
    NameRefused 400 "name-refused" "Invalid file name",
        "The name is empty, has control characters, or is not a relative path.",
        "Rename the file, or send another name.";
    NameTooLong 400 "name-too-long" "File name too long",
        "The name, or one part of the path, is too long.",
        "Use a shorter name.";
    NameTaken 409 "name-taken" "Name already in use",
        "The share already has a file with this name.",
        "Use another name, or delete the other file first.";
    ShareNotFound 404 "share-not-found" "Share not found",
        "This share doesn't exist, was deleted, or the key is wrong.",
        "Check the link or the key, or create a new share.";
    OptionInvalid 400 "option-invalid" "Invalid option",
        "Max-Downloads or Max-Days is not a whole number in the allowed range.",
        "Send a whole number in the allowed range.";
    FormInvalid 400 "form-invalid" "Invalid form",
        "The form has no boundary, ends early, or has an invalid part.",
        "Send multipart/form-data (RFC 7578), for example with curl -F file=@FILE.";
    FormTooLarge 413 "form-too-large" "Form too large",
        "The form has too many parts, or its part headers or text fields are too long.",
        "Send fewer files at once, or each file by itself.";

    // Downloads.
    NotComplete 409 "not-complete" "File not complete",
        "The file is still being uploaded.",
        "Try again when the upload is complete.";
    DownloadsUsedUp 410 "downloads-used-up" "Download limit reached",
        "The file has already been downloaded as often as the sender allowed.",
        "Ask the sender to send it again.";
    DownloadTaken 409 "download-taken" "Download in progress",
        "All remaining downloads of this file are in use.",
        "Try again later. A download that is not continued becomes available again.";
    FileExpired 410 "file-expired" "File expired",
        "This file has expired.",
        "Ask the sender to send it again.";
    #[fixed] FileDamaged 500 "file-damaged" "File damaged",
        "Part of the file is missing or wrong on the server, so it cannot be downloaded.",
        "Ask the sender to send it again. Operators: see the log.";
    RangeUnsatisfiable 416 "range-unsatisfiable" "Range not satisfiable",
        "The requested range is outside the file. Content-Range has the file's size.",
        "Request a range within the file.";
    PreconditionFailed 412 "precondition-failed" "Precondition failed",
        "The file does not match If-Match or If-Unmodified-Since.",
        "Download the file again from the start.";

    // The server's own state.
    QueueFull 503 "queue-full" "Server is busy",
        "Too many uploads are waiting.",
        "Try again after the time in Retry-After.";
    NoMemory 503 "no-memory" "Server is busy",
        "The server has no free memory for this request. Uploads in progress continue.",
        "Try again after the time in Retry-After.";
    TooManyStreams 503 "too-many-streams" "Too many event streams",
        "The limit of open event streams is reached.",
        "Try again after the time in Retry-After, or poll the state instead.";
    TooManyOfOne 429 "too-many-of-one" "Too many requests",
        "Your address has reached the limit for one client.",
        "Wait until something is finished, or ask the operator to raise the limit.";
    Starting 503 "starting" "Server is starting",
        "The server is starting and checking its data. No data is lost.",
        "Try again after the time in Retry-After, and continue at the offset from HEAD.";
    ShuttingDown 503 "shutting-down" "Server is shutting down",
        "The server is about to stop and takes no new requests. Resumable uploads keep what was received; other uploads are kept if they finish in time.",
        "Try again after the time in Retry-After. Resumable uploads continue at the offset from HEAD.";
    ReadOnly 503 "read-only" "Server is read-only",
        "The server's disk is read-only: files can be downloaded, but not uploaded, changed or deleted.",
        "Try again later. Operators: mount the disk writable and restart the server.";
    #[fixed] StorageUnavailable 503 "storage-unavailable" "Storage unavailable",
        "The server's disk or database could not complete the request.",
        "Try again after the time in Retry-After. Operators: see the log.";
    #[fixed] Internal 500 "internal" "Internal server error",
        "Something went wrong on the server. No confirmed data is lost.",
        "Try again. Operators: search the log for the request id.";
}
