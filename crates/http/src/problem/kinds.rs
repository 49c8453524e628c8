//! The table of refusals. A kind and its line are written once, by the macro, so that neither can be without the other.
//!
//! Statuses that look odd and why they are so:
//!
//! - `taken-over` is 400, as tusd answers it: tus clients try again after 409 and 423, and two clients that retry would
//!   take the upload from each other for ever.
//! - `body-stalled` and `shutting-down` are 5xx although the first is the client's doing: tus clients give up on every
//!   other 4xx (408 included), and here they shall resume.
//! - `no-space` is 507: 413 would say that this file is too large for anybody, and clients would not try again.

use super::{Detail, Entry};

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
    HeaderInvalid 400 "header-invalid" "A header field is malformed",
        "A header field is missing, given twice, or not of its form.",
        "Send the field once, in the form that the protocol gives it.";
    HeadInvalid 400 "head-invalid" "The request can not be read",
        "The request line or a header field is not of the form that HTTP/1.1 gives it.",
        "Send a request line and fields as RFC 9112 has them, each on one line.";
    BodyInvalid 400 "body-invalid" "The body is malformed",
        "The body is not what the content type says, or ends too early.",
        "Send a complete body of the announced type.";
    HostRefused 400 "host-refused" "The host name is not usable",
        "The request has no Host field, several, or one that is not a host name with an optional port.",
        "Send one plain host name, with a port if it has one.";
    TransferCoding 501 "transfer-coding" "This transfer coding is not known here",
        "Transfer-Encoding names another coding than chunked; the body would be stored as it is packed.",
        "Send the body as it is, in chunks or with Content-Length.";
    FramingInvalid 400 "framing-invalid" "Where the body ends is not clear",
        "Transfer-Encoding names chunked more than once, does not end with it, or stands beside Content-Length.",
        "Send exactly one of Transfer-Encoding: chunked and Content-Length.";
    NotFound 404 "not-found" "Nothing is here",
        "The link is wrong, or what it led to was deleted or has expired.",
        "Check the link; ask the sender for a new one.";
    MethodRefused 405 "method-refused" "This method is not allowed here",
        "The address exists, but does not take this method; the Allow field names those it takes.",
        "Use one of the methods in the Allow field.";
    UriTooLong 414 "uri-too-long" "The address is too long",
        "The request's path and query are longer than the limit.",
        "Shorten the name in the address; a name can also be given in the upload's metadata.";
    ContentTypeRefused 415 "content-type-refused" "This content type is not taken here",
        "The Content-Type field is missing or is not the one that this request needs.",
        "Send the content type that is named as the limit.";
    HeadersTooLarge 431 "headers-too-large" "The header fields are too large",
        "One header field or all of them together are larger than the limit.",
        "Send fewer or shorter fields; metadata is meant for names, not for content.";
    CrossSite 403 "cross-site" "A page of another site sent this",
        "A browser says that a page of another site sent a request that changes something here.",
        "Do it from this server's own page, or from a program.";

    // Uploads.
    UploadNotFound 404 "upload-not-found" "There is no such upload",
        "The upload was never created here, or was deleted.",
        "Create a new upload and send the file from its start.";
    UploadExpired 410 "upload-expired" "The upload has expired",
        "Nothing arrived for longer than unfinished uploads are kept, and its bytes were removed.",
        "Create a new upload and send the file from its start.";
    UploadFailed 410 "upload-failed" "The upload can not be completed",
        "The upload has failed for good, for example because one of its partial uploads was deleted.",
        "Create a new upload and send the file from its start.";
    WrongOffset 409 "wrong-offset" "The bytes do not continue where the upload stands",
        "The offset in the request is not the number of bytes that the server holds.",
        "Ask for the offset with HEAD and continue there.";
    TakenOver 400 "taken-over" "A newer request continues this upload",
        "Another request for the same upload came while this one was under way; the newer one has the upload now.",
        "Nothing is lost. Ask for the offset with HEAD before sending more.";
    LengthInvalid 400 "length-invalid" "The upload's length is missing or contradictory",
        "Exactly one of Upload-Length and Upload-Defer-Length: 1 is needed, and a length can be told only once.",
        "Send the length in bytes as a whole number, or Upload-Defer-Length: 1 if it is not known yet.";
    BeyondLength 413 "beyond-length" "More bytes than were announced",
        "The request would go past the length that the upload was created with.",
        "Create an upload with the right length.";
    TooLarge 413 "too-large" "The file is too large",
        "The file is larger than the largest that this server takes.",
        "Send a smaller file, or ask the operator to raise the limit.";
    NoSpace 507 "no-space" "The disk has no room for this file",
        "The file's length, together with what is promised to other uploads, does not fit the disk above its free-space floor.",
        "Try later, send a smaller file, or ask the operator for room.";
    MetadataInvalid 400 "metadata-invalid" "Upload-Metadata is malformed",
        "The metadata is not a list of unique ASCII keys, each followed by a space and a Base64 value.",
        "Encode every value with Base64 and give every key once.";
    MetadataTooLarge 431 "metadata-too-large" "Upload-Metadata is too large",
        "The metadata is larger, or has more keys, than the limit.",
        "Send fewer or shorter entries.";
    TusVersion 412 "tus-version" "This version of tus is not spoken here",
        "The Tus-Resumable field is missing or names another version than 1.0.0.",
        "Send Tus-Resumable: 1.0.0.";
    ConcatInvalid 400 "concat-invalid" "Upload-Concat is malformed",
        "The field is neither partial nor final followed by a semicolon and the URLs of partial uploads on this server.",
        "List the URLs that the server gave when the partial uploads were created, separated by spaces.";
    ConcatPart 400 "concat-part" "A part can not be joined",
        "One of the listed uploads does not exist, is not a partial upload, or is listed twice.",
        "Create each part with Upload-Concat: partial and list each once, by its URL.";
    TooManyParts 400 "too-many-parts" "The file is joined from too many parts",
        "The field lists more partial uploads than a file may be joined from.",
        "Send fewer, larger parts, or ask the operator to raise the limit.";
    FinalUpload 403 "final-upload" "A joined upload takes no bytes",
        "The upload is joined from partial uploads; bytes go to these.",
        "Send the bytes to the partial uploads.";
    ChecksumInvalid 400 "checksum-invalid" "The checksum is malformed",
        "The field is not an algorithm, a space and a Base64 value of the algorithm's size, or an announced trailer did not come.",
        "Encode the raw checksum, not its hexadecimal text, with Base64.";
    ChecksumAlgorithm 400 "checksum-algorithm" "This checksum is not known here",
        "The checksum's algorithm is not one of those that the server knows.",
        "Use one of the algorithms that are named as the limit.";
    ChecksumMismatch 460 "checksum-mismatch" "The bytes are not those that were sent",
        "The checksum of the bytes that arrived is not the one that came with them; the bytes were discarded.",
        "Send this piece again from the same offset.";
    DigestInvalid 400 "digest-invalid" "The digest field is malformed",
        "Content-Digest or Repr-Digest is not a dictionary of algorithms with byte sequences (RFC 9530).",
        "Send the raw digest as a structured byte sequence, such as sha-256=:…:.";
    DigestMismatch 400 "digest-mismatch" "The file is not the one that was announced",
        "The digest of what arrived is not the one in Content-Digest or Repr-Digest; the file was not kept.",
        "Send the file again.";
    BodyStalled 503 "body-stalled" "The body stopped arriving",
        "No byte of the body arrived for the time limit. What arrived of a resumable upload is kept, of others nothing is.",
        "Ask for the offset of a resumable upload with HEAD and continue there; send others again.";

    // Names, shares, forms.
    NameRefused 400 "name-refused" "This name can not be used",
        "The name is empty, has control characters, or is not a plain relative path.",
        "Rename the file, or give another name.";
    NameTooLong 400 "name-too-long" "The name is too long",
        "The name, or one part of the path, is longer than the limit in bytes of UTF-8.",
        "Shorten the name.";
    NameTaken 409 "name-taken" "The share has a file of this name",
        "A share holds each path once.",
        "Choose another name, or delete the other file first.";
    ShareNotFound 404 "share-not-found" "There is no such share",
        "The share does not exist, was deleted, or the key is wrong.",
        "Check the link or the key; create a new share.";
    OptionInvalid 400 "option-invalid" "An option is out of range",
        "Max-Downloads or Max-Days is not a whole number within the limits.",
        "Send a whole number within the limits.";
    FormInvalid 400 "form-invalid" "The form is malformed",
        "The multipart body has no boundary, ends before its last boundary, or has a malformed part.",
        "Send multipart/form-data as RFC 7578 has it, such as curl -F file=@name.";
    FormTooLarge 413 "form-too-large" "The form has too many or too large parts",
        "The form has more parts, longer part headers, or longer text fields than the limit.",
        "Send fewer parts, or every file by itself.";

    // Downloads.
    NotComplete 409 "not-complete" "The file is still arriving",
        "The file is not complete yet.",
        "Try again when the upload has finished.";
    DownloadsUsedUp 410 "downloads-used-up" "The file was downloaded as often as allowed",
        "The sender limited how often the file can be downloaded, and that number is reached.",
        "Ask the sender to send it again.";
    DownloadTaken 409 "download-taken" "Another reader downloads the file",
        "The sender limited how often the file can be downloaded, and readers that have begun have all that is left.",
        "Try again later; a download that is not continued is given free.";
    FileExpired 410 "file-expired" "The file has expired",
        "The time for which the file was kept is over.",
        "Ask the sender to send it again.";
    #[fixed] FileDamaged 500 "file-damaged" "The file is damaged",
        "Bytes of the file are missing on the server, or are not those that arrived; none are delivered as if they were.",
        "Ask the sender to send it again; the operator finds the file in the log.";
    RangeUnsatisfiable 416 "range-unsatisfiable" "The range lies outside of the file",
        "None of the requested ranges touches the file; Content-Range has its size.",
        "Ask for a range within the file.";
    PreconditionFailed 412 "precondition-failed" "The file is not the one that was asked for",
        "If-Match or If-Unmodified-Since does not hold.",
        "Fetch the file again from its start.";

    // The server's own state.
    QueueFull 503 "queue-full" "Too many uploads are waiting",
        "The queue for memory is as long as it may be.",
        "Try again after the time in Retry-After.";
    NoMemory 503 "no-memory" "The server has no memory for this now",
        "What this request needs does not fit beside what the server holds already; uploads that were accepted go on.",
        "Try again after the time in Retry-After.";
    TooManyStreams 503 "too-many-streams" "Too many event streams are open",
        "As many event streams are open as there may be.",
        "Try again after the time in Retry-After, or ask for the state now and then.";
    TooManyOfOne 429 "too-many-of-one" "One client has too much open",
        "The address has as much open at the same time as one client may have.",
        "End what is not needed any more, or ask the operator to raise the limit.";
    Starting 503 "starting" "The server is starting",
        "The server has been started and compares its disk with its records before it takes requests; nothing is lost.",
        "Try again after the time in Retry-After, and continue at the offset that HEAD tells.";
    ShuttingDown 503 "shutting-down" "The server is shutting down",
        "The server takes nothing new because it is about to stop. What arrived of a resumable upload is kept; others are kept if they end in time.",
        "Try again after the time in Retry-After; a resumable upload continues at the offset that HEAD tells.";
    ReadOnly 503 "read-only" "The server can only be read from",
        "The server's disk takes no changes at the moment; files can be fetched, and nothing can be sent, changed or deleted.",
        "Try again later; the operator mounts the disk for writing and starts the server again.";
    #[fixed] StorageUnavailable 503 "storage-unavailable" "The storage does not answer",
        "The disk or the catalog could not do what was asked; it may be able to later.",
        "Try again after the time in Retry-After; the operator finds the reason in the log.";
    #[fixed] Internal 500 "internal" "The server failed",
        "Something went wrong inside the server; nothing that was confirmed is lost.",
        "Try again; the operator finds the reason in the log under the request's id.";
}
