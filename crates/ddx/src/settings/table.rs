//! The one table of settings. An entry here is all that a setting needs: its field in [`Settings`], its key in
//! the file, its environment variable, its flag, its line in `--help`, in `ddx config print` and in
//! docs/CONFIGURATION.md all come from it.
//!
//! An entry reads: documentation, `"key" => field: Kind = default`, then optionally `in "least".."most"` and
//! `env "NAME"` where the variable is not `DDX_` and the key in capitals. A default of `none` makes the field an
//! `Option`; its documentation says what happens then. Defaults and bounds are written as an operator would
//! write them, and are read by the same code.

use super::definition::{Definition, Origin, Problem, Reader, Resolved, measure};
use super::kinds::{
    Address, Count, FilePath, Format, LogFilter, Networks, Origins, Prefix, Size, Span, Switch, Url,
};

macro_rules! field_type {
    ($kind:ty, none) => { Option<<$kind as Reader>::Value> };
    ($kind:ty, $default:tt) => { <$kind as Reader>::Value };
}

macro_rules! field_value {
    ($kind:ty, none, $resolved:expr, $key:literal) => {
        $resolved
            .text($key)
            .map(<$kind as Reader>::read)
            .transpose()
    };
    ($kind:ty, $default:tt, $resolved:expr, $key:literal) => {
        <$kind as Reader>::read($resolved.text($key).unwrap_or($default))
    };
}

macro_rules! default_text {
    (none) => {
        None
    };
    ($default:tt) => {
        Some($default)
    };
}

macro_rules! optional {
    () => {
        None
    };
    ($value:expr) => {
        Some($value)
    };
}

macro_rules! settings {
    ($( group $group:literal { $(
        $(#[doc = $doc:literal])+
        $key:literal => $field:ident : $kind:ty = $default:tt $(in $least:literal .. $most:literal)? $(env $env:literal)? ;
    )+ } )+) => {
        /// Every setting as the program uses it: sizes in bytes, times as durations, paths and addresses parsed.
        #[derive(Debug, Clone)]
        pub(crate) struct Settings {
            $($( $(#[doc = $doc])+ pub(crate) $field: field_type!($kind, $default), )+)+
        }

        /// All definitions, in the order of the documentation.
        pub(crate) static SETTINGS: &[Definition] = &[
            $($( Definition {
                key: $key,
                env_name: optional!($($env)?),
                group: $group,
                doc: concat!($($doc),+),
                kind: <$kind as Reader>::KIND,
                default: default_text!($default),
                range: optional!($(($least, $most))?),
                measure: measure::<$kind>,
            }, )+)+
        ];

        impl Settings {
            /// Reads every field. What [`Definition::check`] accepted can be read.
            pub(super) fn from_resolved(resolved: &Resolved) -> Result<Self, Problem> {
                let refused = |key: &'static str, reason: String| Problem::unreadable(key, resolved, reason);
                Ok(Self {
                    $($( $field: field_value!($kind, $default, resolved, $key).map_err(|reason| refused($key, reason))?, )+)+
                })
            }
        }
    };
}

settings! {
    group "Network" {
        /// Address and port to listen on. Port 0 takes a free one, which is printed.
        "listen" => listen: Address = "127.0.0.1:8000";
        /// How this server is reached from outside, as `https://files.example.org`, for the links it gives. Without it
        /// links follow each request's own host.
        "public_url" => public_url: Url = none;
        /// Path under which a proxy serves this server, as `/files`; empty for the root.
        "path_prefix" => path_prefix: Prefix = "";
        /// Proxies whose `X-Forwarded-*` and `Forwarded` fields are trusted, as addresses or networks
        /// (`10.0.0.0/8`), separated by commas. From other addresses these headers are ignored.
        "trusted_proxies" => trusted_proxies: Networks = "none";
        /// Where operators ask from: metrics and the system's state are shown to these addresses
        /// and networks, and to requests with the token, not to others. A request that came through
        /// a proxy counts by its client, and only if the proxy is trusted.
        "operator_networks" => operator_networks: Networks =
            "127.0.0.0/8, ::1, 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, fc00::/7, 169.254.0.0/16, fe80::/10";
        /// File with a token of at least 16 characters, read at the start: requests with
        /// `Authorization: Bearer` and this token are an operator's, wherever they come from.
        "operator_token_file" => operator_token_file: FilePath = none;
        /// Origins of other sites whose pages may use this server, separated by commas; `*` for all, `none` for none.
        "cors_origins" => cors_origins: Origins = "*";
        /// Certificate chain in PEM. With it and `tls_key` the server speaks TLS on `listen`.
        "tls_cert" => tls_cert: FilePath = none;
        /// Private key of the certificate, in PEM.
        "tls_key" => tls_key: FilePath = none;
    }
    group "Data" {
        /// The data folder: records, files and unfinished uploads all live in it, nothing lives elsewhere.
        "data_dir" => data_dir: FilePath = "./data";
        /// Disk space that uploads never take. Without it: a hundredth of the disk, at
        /// least 64 MiB, and never more than a tenth.
        "free_space_floor" => free_space_floor_bytes: Size = none in "0".."1PiB";
        /// Disk space that is set aside so that files can be deleted, and records written, on a disk that others have filled.
        "ballast" => ballast_bytes: Size = "4MiB" in "0".."1GiB";
        /// An unfinished upload on which nothing happened for this long is given up, and its bytes are freed.
        "upload_expires" => upload_expires: Span = "24h" in "1s".."3650d";
        /// For so long the space of an upload's length stays reserved while no byte of it has come; after that it is reserved when they come.
        "reservation_expires" => reservation_expires: Span = "10m" in "1s".."3650d";
        /// A file is deleted this long after it was completed. Without it files stay.
        "file_expires" => file_expires: Span = none in "1s".."36500d";
        /// How often expired files and freed space are seen to.
        "housekeeping_every" => housekeeping_every: Span = "10s" in "100ms".."1h";
        /// By how much the time of day must jump, against the machine's other clock, for deadlines to move with it: what a wrong clock
        /// makes due is not deleted.
        "clock_jump" => clock_jump: Span = "2m" in "10s".."1d";
        /// For so long after the first start on a machine that was started anew nothing that is due is deleted: its clock may not be set yet.
        "clock_settles" => clock_settles: Span = "10m" in "1s".."7d";
        /// Whether to start with a catalog that is older than the files beside it, or with none where there are files: what
        /// no record in it names is deleted. For one start, after the newest copy was put in place.
        "accept_older_catalog" => accept_older_catalog: Switch = "false";
    }
    group "Memory" {
        /// The memory to work with, where it is less than the machine or its control group has.
        "memory_limit" => memory_limit_bytes: Size = none in "16MiB".."1PiB";
        /// The limit that is assumed where this process's control group can't be found, and `memory_limit` is not set: what is
        /// known of the machine says nothing of what a container may have of it.
        "memory_assumed" => memory_assumed_bytes: Size = "64MiB" in "16MiB".."1PiB";
        /// Memory that is never leased to uploads. Without it: an eighth of the limit, between 128 MiB and 2 GiB; a
        /// quarter where the limit is below 512 MiB.
        "memory_reserve" => memory_reserve_bytes: Size = none in "0".."1PiB";
        /// What the buffers of all uploads together may hold. Without it: half of the limit, capped by the class of the
        /// machine (see the three next).
        "memory_ceiling" => memory_ceiling_bytes: Size = none in "128KiB".."1PiB";
        /// How many buffers of 16 MiB the class of machines up to 4 GB may reach; those of 32 and 8 MiB follow (a quarter
        /// and half as many). A ceiling, never an allocation. Without it: 15.
        "parallel_upload_max_buffers_4gb" => buffers_max_4gb: Count<u32> = none in "1".."65536"
            env "PARALLEL_UPLOAD_MAX_BUFFERS_4GB";
        /// The same for machines up to 8 GB. Without it: 25.
        "parallel_upload_max_buffers_8gb" => buffers_max_8gb: Count<u32> = none in "1".."65536"
            env "PARALLEL_UPLOAD_MAX_BUFFERS_8GB";
        /// The same for larger machines. Without it: 50.
        "parallel_upload_max_buffers_16gb" => buffers_max_16gb: Count<u32> = none in "1".."65536"
            env "PARALLEL_UPLOAD_MAX_BUFFERS_16GB";
        /// How many uploads may wait for memory. Those past it are answered 503 with the time to come back.
        "waiters_max" => waiters_max: Count<usize> = "65536" in "1".."16777216";
        /// How many uploads may hold memory at once, whatever is free. Without it the ledger alone decides.
        "uploads_max" => uploads_max: Count<u64> = none in "1".."16777216";
        /// How often the machine's memory is read while uploads hold any or wait for some.
        "memory_sample_every" => memory_sample_every: Span = "200ms" in "10ms".."10s";
    }
    group "Uploads" {
        /// The largest file that is accepted. Without it the disk decides.
        "max_file_size" => max_file_size_bytes: Size = none in "1".."1EiB";
        /// How much browsers are told to send in one request. Common proxies cut requests at 100 MB.
        "request_body_max" => request_body_max_bytes: Size = "95MiB" in "64KiB".."1EiB";
        /// Files of at most this size are stored with their record instead of as a file of their own.
        "inline_max" => inline_max_bytes: Size = "16KiB" in "0".."1MiB";
        /// The largest buffer that one upload fills before it is written.
        "granule_max" => granule_max_bytes: Size = "4MiB" in "64KiB".."32MiB";
        /// An upload in progress is made durable this often: what a crash costs is sent again.
        "checkpoint_every" => checkpoint_every: Span = "5s" in "100ms".."10m";
        /// It is made durable after this many bytes, if that comes first.
        "checkpoint_bytes" => checkpoint_bytes: Size = "256MiB" in "1MiB".."1TiB";
        /// How much is read in a second for digests that could not be computed while the bytes came, as those of joined files.
        "late_digest_rate" => late_digest_rate_bytes: Size = "100MiB" in "1MiB".."1TiB";
        /// Whether every file's SHA-256 is computed too, and sent as `Repr-Digest`. It costs as much processor time as all
        /// the rest of an upload.
        "repr_digest_sha256" => repr_digest_sha256: Switch = "false";
    }
    group "Limits of requests" {
        /// The head of a request must have arrived within this time.
        "header_timeout" => header_timeout: Span = "30s" in "1s".."10m";
        /// A connection without a request is closed after this time. Longer than a proxy's own keep-alive time, or the
        /// proxy will meet closed connections.
        "idle_timeout" => idle_timeout: Span = "75s" in "1s".."1h";
        /// A body that sends nothing for this long has ended; what it sent of a resumable upload is kept.
        "body_idle_timeout" => body_idle_timeout: Span = "60s" in "1s".."1h";
        /// The body of a plain `PUT`, which can't be resumed, may pause for this long while it holds no memory, and while no other
        /// client needs its connection's place.
        "body_pause_max" => body_pause_max: Span = "6h" in "1s".."7d";
        /// A client that takes nothing of an answer for this long is given up; it continues with a range.
        "write_timeout" => write_timeout: Span = "60s" in "1s".."1h";
        /// The download of a file may rest for this long beyond that, as a film that is paused does, while its
        /// connection lives and no other client needs its place or its memory.
        "write_pause_max" => write_pause_max: Span = "6h" in "1s".."7d";
        /// How long a client may take nothing of a file while others wait for the memory that it holds.
        "write_timeout_crowded" => write_timeout_crowded: Span = "5s" in "1s".."1h";
        /// What the kernel may hold of an answer that has not been sent, for each connection, before it takes no more.
        "send_queue" => send_queue_bytes: Size = "16KiB" in "4KiB".."16MiB";
        /// The largest head of a request. What is longer than 8 KiB is charged to the ledger while the request is there.
        "header_bytes_max" => header_bytes_max: Size = "32KiB" in "8KiB".."1MiB";
        /// The longest address in a request.
        "uri_bytes_max" => uri_bytes_max: Size = "8KiB" in "1KiB".."60KiB";
        /// How many fields a head may have.
        "headers_max" => headers_max: Count<usize> = "100" in "16".."1000";
        /// How many connections may be open. Without it: as many as the ledger has memory for and the limit of open files
        /// lets in.
        "connections_max" => connections_max: Count<u64> = none in "1".."16777216";
        /// How many of these one client may have: an address, or a network of 64 bits of IPv6. Without it: half of those that there is
        /// memory for, and no limit for this machine itself. Trusted proxies have none.
        "connections_per_client_max" => connections_per_client_max: Count<u64> = none in "1".."16777216";
        /// The longest name of a file, in bytes of UTF-8.
        "name_bytes_max" => name_bytes_max: Size = "255" in "64".."4KiB";
        /// How many folders deep a path inside a share may be.
        "path_depth_max" => path_depth_max: Count<usize> = "32" in "1".."256";
        /// The longest `Upload-Metadata` of tus.
        "metadata_bytes_max" => metadata_bytes_max: Size = "4KiB" in "256".."64KiB";
        /// How many parts a multipart form may have.
        "multipart_parts_max" => multipart_parts_max: Count<usize> = "1000" in "1".."100000";
        /// From how many partial uploads one file may be joined. What a request can list is bounded by `header_bytes_max`, too.
        "parts_max" => parts_max: Count<usize> = "1000" in "1".."10000";
        /// How many ranges of a file one request may ask for.
        "ranges_max" => ranges_max: Count<usize> = "16" in "1".."1000";
        /// The buffer of one download.
        "download_buffer" => download_buffer_bytes: Size = "256KiB" in "16KiB".."16MiB";
        /// A reader of a file whose number of downloads is limited may continue for so long after its last byte. The download counts when it has had all.
        "download_lease" => download_lease: Span = "6h" in "1s".."30d";
        /// One that has had no more of such a file than this, and asks for no more now, keeps no one else from it: previews take so little.
        "preview_bytes" => preview_bytes: Size = "64KiB" in "0".."16MiB";
        /// How many readers of such files are remembered at once; each is charged 1.5 KiB until `download_lease` is over. Where all places
        /// are taken, those go first that have all or next to nothing. Together they take a 16th of the memory at most.
        "readers_max" => readers_max: Count<usize> = "16384" in "16".."1000000";
        /// How many of these may be one client's: an address, or a network of 64 bits of IPv6. Behind a proxy that is not named in
        /// `trusted_proxies` all of its clients are one.
        "readers_per_client_max" => readers_per_client_max: Count<usize> = "1024" in "1".."1000000";
        /// How many streams of events may be open.
        "sse_clients_max" => sse_clients_max: Count<usize> = "1024" in "1".."1000000";
        /// How many of these one client may have: an address, or a network of 64 bits of IPv6. Behind a proxy that is not named in
        /// `trusted_proxies` all of its clients are one.
        "sse_per_client_max" => sse_per_client_max: Count<usize> = "256" in "1".."1000000";
        /// How many requests one client may make in a second; ten times as many at once. Without it: 2,000, and no limit for this
        /// machine itself.
        "requests_per_client_max" => requests_per_client_max: Count<u64> = none in "1".."1000000";
        /// How many uploads and shares one client may make in a day. Without it: a million, and no limit for this machine itself.
        "creations_per_client_max" => creations_per_client_max: Count<u64> = none in "1".."1000000000";
        /// How many resumable uploads one client may have unfinished. Without it: 10,000, and no limit for this machine itself.
        "unfinished_per_client_max" => unfinished_per_client_max: Count<u64> = none in "1".."1000000000";
        /// What these may come to together. Without it the first may be as large as the disk allows, and the next leave a tenth of
        /// it to others; there is no limit for this machine itself.
        "reserved_per_client_max" => reserved_per_client_max_bytes: Size = none in "1".."1EiB";
    }
    group "Process" {
        /// Threads that serve connections. Without it: one for each processor.
        "workers" => workers: Count<usize> = none in "1".."1024";
        /// Threads that hash and write. Without it the server chooses by its processors.
        "writer_threads" => writer_threads: Count<usize> = none in "1".."4096";
        /// After a signal to stop, plain uploads, forms and downloads have this long to end by themselves; its last two seconds, or its
        /// second half if that is less, are for what is cut then. Resumable uploads end at once, at a checkpoint, and lose nothing.
        "shutdown_grace" => shutdown_grace: Span = "10s" in "0s".."10m";
        /// How log lines look: `human` or `json`.
        "log_format" => log_format: Format = "human";
        /// What is logged: a level, or levels by target, as `info,ddx_engine=debug`.
        "log" => log: LogFilter = "info,rusqlite_migration=warn";
    }
}

/// The definition with this key.
pub(crate) fn definition(key: &str) -> Option<&'static Definition> {
    SETTINGS.iter().find(|definition| definition.key == key)
}

/// The definition that this environment variable sets.
pub(super) fn definition_by_env(name: &str) -> Option<&'static Definition> {
    SETTINGS.iter().find(|definition| definition.env() == name)
}

impl Resolved {
    /// Checks every value that was given against its definition.
    pub(super) fn problems(&self) -> Vec<Problem> {
        let given = SETTINGS
            .iter()
            .filter_map(|definition| self.text(definition.key).map(|text| (definition, text)));
        given
            .filter_map(|(definition, text)| {
                let origin = self.origin(definition.key);
                definition.check(text, origin).err()
            })
            .collect()
    }

    /// Where a value came from.
    pub(crate) fn origin(&self, key: &str) -> &Origin {
        self.given(key)
            .map_or(&Origin::Default, |(_, origin)| origin)
    }
}
