//! The one table of settings. An entry here is all that a setting needs: its field in [`Settings`],
//! its key in the file, its environment variable, its flag, its line in `--help`, in
//! `ddx config print` and in docs/CONFIGURATION.md all come from it.
//!
//! An entry reads: documentation, `"key" => field: Kind = default`, then optionally
//! `in "least".."most"` and `env "NAME"` where the variable is not `DDX_` and the key in capitals.
//! A default of `none` makes the field an `Option`; its documentation says what happens then.
//! Defaults and bounds are written as an operator would write them, and are read by the same code.

use super::definition::{Definition, Problem, Reader, Resolved, measure};
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
        /// Every setting as the program uses it: sizes in bytes, times as durations, paths and
        /// addresses parsed.
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
                let refused = |key: &'static str, reason: String| Problem::unreadable(key, definition(key), resolved, reason);
                Ok(Self {
                    $($( $field: field_value!($kind, $default, resolved, $key).map_err(|reason| refused($key, reason))?, )+)+
                })
            }
        }
    };
}

settings! {
    group "Network" {
        /// Address and port to listen on. `0.0.0.0` and `[::]` stand for all addresses of the
        /// machine; port 0 takes a free port, which is printed. Change it to be reached from other
        /// machines without a proxy.
        "listen" => listen: Address = "127.0.0.1:8000";
        /// Address under which people reach this server, as `https://files.example.org`; links
        /// begin with it. Without it they begin with the host of each request. Set it behind a
        /// proxy that changes the `Host` header.
        "public_url" => public_url: Url = none;
        /// Path under which a proxy serves this server, as `/files`; empty for the root. Links
        /// begin with it.
        "path_prefix" => path_prefix: Prefix = "";
        /// Addresses or networks of proxies (`10.0.0.0/8`), separated by commas, whose
        /// `X-Forwarded-*` and `Forwarded` headers are believed. From other addresses these headers
        /// are ignored. Set it behind a proxy: without it all its clients count as one.
        "trusted_proxies" => trusted_proxies: Networks = "none";
        /// Addresses and networks from which metrics and the server's state can be read. Other
        /// addresses need the token; without it they get 404. Behind a trusted proxy the address of
        /// the client counts.
        "operator_networks" => operator_networks: Networks =
            "127.0.0.0/8, ::1, 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, fc00::/7, 169.254.0.0/16, fe80::/10";
        /// File with a token of at least 16 characters, read at the start. A request with
        /// `Authorization: Bearer` and this token may read metrics and the server's state from any
        /// address.
        "operator_token_file" => operator_token_file: FilePath = none;
        /// Other sites whose pages may use this server, as `https://app.example.org`, separated by
        /// commas; `*` for all, `none` for none. Browsers refuse the pages of other sites.
        "cors_origins" => cors_origins: Origins = "*";
        /// File with the certificate and those that signed it, in PEM. With it and `tls_key` the
        /// server speaks HTTPS on `listen`. Leave it out behind a proxy that speaks HTTPS itself.
        "tls_cert" => tls_cert: FilePath = none;
        /// File with the private key of the certificate, in PEM.
        "tls_key" => tls_key: FilePath = none;
    }
    group "Data" {
        /// Folder of all data: the catalog, files and unfinished uploads. It is made if it is
        /// missing. Only one server can use it at a time.
        "data_dir" => data_dir: FilePath = "./data";
        /// Disk space that uploads leave free. An upload that does not fit above it is refused with
        /// 507; downloads and deletions go on. Without it: 1 % of the disk, at least 64 MiB, and at
        /// most a tenth of the disk. Raise it where other programs write to the same disk.
        "free_space_floor" => free_space_floor_bytes: Size = none in "0".."1PiB";
        /// Disk space that is kept so that files can be deleted, and changes saved, when other
        /// programs have filled the disk. 0 keeps none.
        "ballast" => ballast_bytes: Size = "4MiB" in "0".."1GiB";
        /// An unfinished upload that receives nothing for this long is deleted, and its disk space
        /// is freed. Raise it for clients that are offline for days.
        "upload_expires" => upload_expires: Span = "24h" in "1s".."3650d";
        /// An upload that has begun with no byte sent keeps its disk space reserved for this long.
        /// After that others may use the space, and the upload takes what is free when its bytes
        /// come.
        "reservation_expires" => reservation_expires: Span = "10m" in "1s".."3650d";
        /// A file is deleted this long after it was uploaded. Without it files stay until they are
        /// deleted.
        "file_expires" => file_expires: Span = none in "1s".."36500d";
        /// How often expired files are looked for and deleted, and freed disk space is given back.
        "housekeeping_every" => housekeeping_every: Span = "10s" in "100ms".."1h";
        /// If the time of day jumps by more than this, deadlines of uploads and files move with it,
        /// so that a wrong clock deletes nothing. The jump is written to the log.
        "clock_jump" => clock_jump: Span = "2m" in "10s".."1d";
        /// After the first start since the machine was booted, nothing that has expired is deleted
        /// for this long, since the clock may not be set yet.
        "clock_settles" => clock_settles: Span = "10m" in "1s".."7d";
        /// Starts with a catalog that is older than the files beside it, or with none. Files that
        /// it does not name are deleted. Use it for one start, after the newest copy of the catalog
        /// was put back.
        "accept_older_catalog" => accept_older_catalog: Switch = "false";
    }
    group "Memory" {
        /// Memory that the server may use. It counts where it is smaller than what the machine and
        /// its control group allow. Without it only these count. Set it where other programs need
        /// the memory; `ddx plan` shows what follows.
        "memory_limit" => memory_limit_bytes: Size = none in "16MiB".."1PiB";
        /// Memory limit that is assumed where the limit of the process's control group can't be
        /// found and `memory_limit` is not set, since the machine's memory does not tell what a
        /// container may use.
        "memory_assumed" => memory_assumed_bytes: Size = "64MiB" in "16MiB".."1PiB";
        /// Memory that is kept from the buffers of uploads, for connections and the rest of the
        /// machine. Without it: an eighth of the limit, between 128 MiB and 2 GiB, or a quarter
        /// where the limit is below 512 MiB.
        "memory_reserve" => memory_reserve_bytes: Size = none in "0".."1PiB";
        /// Memory that the buffers of all uploads may hold together. Uploads beyond it wait.
        /// Without it: half of the limit, and at most what the three next settings give.
        "memory_ceiling" => memory_ceiling_bytes: Size = none in "128KiB".."1PiB";
        /// Bound on the memory of uploads on machines of up to 4 GiB: so many buffers of 16 MiB, a
        /// quarter as many of 32 MiB and half as many of 8 MiB. It is a bound: nothing is taken in
        /// advance. Without it: 15, which is 432 MiB.
        "parallel_upload_max_buffers_4gb" => buffers_max_4gb: Count<u32> = none in "1".."65536"
            env "PARALLEL_UPLOAD_MAX_BUFFERS_4GB";
        /// The same as `parallel_upload_max_buffers_4gb` for machines of more than 4 and up to 8
        /// GiB. Without it: 25, which is 688 MiB.
        "parallel_upload_max_buffers_8gb" => buffers_max_8gb: Count<u32> = none in "1".."65536"
            env "PARALLEL_UPLOAD_MAX_BUFFERS_8GB";
        /// The same as `parallel_upload_max_buffers_4gb` for machines of more than 8 GiB. Without
        /// it: 50, which is 1,384 MiB.
        "parallel_upload_max_buffers_16gb" => buffers_max_16gb: Count<u32> = none in "1".."65536"
            env "PARALLEL_UPLOAD_MAX_BUFFERS_16GB";
        /// Uploads that may wait for memory at once. Others are answered with 503 and the time
        /// after which to try again.
        "waiters_max" => waiters_max: Count<usize> = "65536" in "1".."16777216";
        /// Uploads that may hold memory at once, however much is free; others wait. Without it only
        /// memory counts.
        "uploads_max" => uploads_max: Count<u64> = none in "1".."16777216";
        /// How often the machine's memory is read while uploads hold memory or wait for it. Shorter
        /// reacts sooner to other programs and takes more processor time.
        "memory_sample_every" => memory_sample_every: Span = "200ms" in "10ms".."10s";
    }
    group "Uploads" {
        /// The largest file that is accepted; larger ones are refused with 413, before they are
        /// sent where their length is known. Without it only the disk space counts.
        "file_bytes_max" => file_bytes_max: Size = none in "1".."1EiB";
        /// Bytes that pages send in one request; they cut larger files into several requests. Set
        /// it below the limit of your proxy: many cut requests at 100 MB.
        "request_body_bytes_max" => request_body_bytes_max: Size = "95MiB" in "64KiB".."1EiB";
        /// Files up to this size are stored in the catalog and not as a file of their own, which is
        /// faster for small ones. Larger values make the catalog larger.
        "inline_bytes_max" => inline_bytes_max: Size = "16KiB" in "0".."1MiB";
        /// The largest buffer that one upload fills before it is written to the disk. Larger
        /// buffers make single fast uploads faster and leave less memory to others.
        "upload_buffer_bytes_max" => upload_buffer_bytes_max: Size = "4MiB" in "64KiB".."32MiB";
        /// An upload in progress is saved this often. After a crash or a power cut clients send
        /// again what came since. Shorter costs more disk time.
        "checkpoint_every" => checkpoint_every: Span = "5s" in "100ms".."10m";
        /// An upload in progress is also saved each time this many bytes have come, if that is
        /// sooner.
        "checkpoint_bytes" => checkpoint_bytes: Size = "256MiB" in "1MiB".."1TiB";
        /// Bytes per second that are read from the disk for checksums that could not be computed
        /// while a file was sent, as those of joined files. Lower it if this slows down uploads and
        /// downloads.
        "late_digest_rate" => late_digest_rate_bytes: Size = "100MiB" in "1MiB".."1TiB";
        /// Computes the SHA-256 of every file and sends it as `Repr-Digest`. It takes as much
        /// processor time as all the rest of an upload.
        "repr_digest_sha256" => repr_digest_sha256: Switch = "false";
    }
    group "Limits of requests" {
        /// The headers of a request must have come within this time, or the connection is closed.
        /// Raise it for very slow links.
        "header_timeout" => header_timeout: Span = "30s" in "1s".."10m";
        /// A connection without a request is closed after this time. It must be longer than the
        /// keep-alive time of your proxy, which would otherwise use closed connections.
        "idle_timeout" => idle_timeout: Span = "75s" in "1s".."1h";
        /// A request that sends no byte for this long is ended. What a resumable upload sent is
        /// kept, and it can be continued.
        "body_idle_timeout" => body_idle_timeout: Span = "60s" in "1s".."1h";
        /// A plain `PUT`, which can't be continued, may pause for this long beyond
        /// `body_idle_timeout`, while it holds no memory and no other client needs its connection.
        "body_pause_max" => body_pause_max: Span = "6h" in "1s".."7d";
        /// A client that takes no byte of an answer for this long is disconnected. It can continue
        /// with a range request.
        "write_timeout" => write_timeout: Span = "60s" in "1s".."1h";
        /// A download may pause for this long beyond `write_timeout`, as a paused film does, while
        /// no other client needs its connection or its memory.
        "write_pause_max" => write_pause_max: Span = "6h" in "1s".."7d";
        /// The same as `write_timeout` while other clients wait for the memory of this download.
        "write_timeout_crowded" => write_timeout_crowded: Span = "5s" in "1s".."1h";
        /// Bytes of an answer that the kernel holds for each connection before they are sent.
        /// Larger values make downloads over fast and distant links faster, and take more memory
        /// for each connection.
        "send_queue" => send_queue_bytes: Size = "16KiB" in "4KiB".."16MiB";
        /// The most bytes that the headers of a request may have; more are refused with 431.
        /// Headers above 8 KiB count as memory in use while their request lasts.
        "header_bytes_max" => header_bytes_max: Size = "32KiB" in "8KiB".."1MiB";
        /// The longest address of a request, in bytes; longer ones are refused with 414.
        "uri_bytes_max" => uri_bytes_max: Size = "8KiB" in "1KiB".."60KiB";
        /// The most headers that a request may have; more are refused with 431.
        "headers_max" => headers_max: Count<usize> = "100" in "16".."1000";
        /// The rest of a request that was answered before it was all sent, as with a refusal, is
        /// read and dropped for this long, so that the client gets the answer. Then the connection
        /// is closed.
        "linger" => linger: Span = "10s" in "0s".."10m";
        /// The most bytes of such a request that are read and dropped.
        "linger_bytes_max" => linger_bytes_max: Size = "256MiB" in "0".."1TiB";
        /// Requests that one HTTP/2 connection may have open at once; the client waits with others.
        "http2_streams_max" => http2_streams_max: Count<u32> = "64" in "1".."1000";
        /// Bytes of one HTTP/2 upload that its client may send ahead. Larger values make single
        /// uploads over fast and distant links faster.
        "http2_stream_window" => http2_stream_window_bytes: Size = "256KiB" in "64KiB".."16MiB";
        /// The same for all uploads of one connection together. What comes ahead counts as memory
        /// in use.
        "http2_window" => http2_window_bytes: Size = "1MiB" in "64KiB".."64MiB";
        /// Connections that may be open at once; others wait until one ends. Without it: as many as
        /// memory and the limit of open files allow.
        "connections_max" => connections_max: Count<u64> = none in "1".."16777216";
        /// Connections that one client may have open: one IPv4 address, or one IPv6 network of 64
        /// bits. Further ones are refused with 429. Without it: half of those that memory allows,
        /// and no limit for this machine itself. Trusted proxies have no limit.
        "connections_per_client_max" => connections_per_client_max: Count<u64> = none in "1".."16777216";
        /// The longest name of a file, in bytes of UTF-8; longer names are refused with 400.
        "name_bytes_max" => name_bytes_max: Size = "255" in "64".."4KiB";
        /// The most folders that may be nested in a share; deeper paths are refused with 400.
        "path_depth_max" => path_depth_max: Count<usize> = "32" in "1".."256";
        /// The longest `Upload-Metadata` header of tus clients; longer ones are refused with 431.
        "metadata_bytes_max" => metadata_bytes_max: Size = "4KiB" in "256".."64KiB";
        /// The most fields and files that one form may have; larger forms are refused with 413.
        "multipart_parts_max" => multipart_parts_max: Count<usize> = "1000" in "1".."100000";
        /// The most partial uploads of tus that one file may be joined from; more are refused with
        /// 400. `header_bytes_max` bounds their list, too.
        "parts_max" => parts_max: Count<usize> = "1000" in "1".."10000";
        /// The most ranges of a file that one request may ask for. A request for more gets the
        /// whole file.
        "ranges_max" => ranges_max: Count<usize> = "16" in "1".."1000";
        /// Memory for one download. Larger buffers make single downloads faster and leave less
        /// memory to others.
        "download_buffer" => download_buffer_bytes: Size = "256KiB" in "16KiB".."16MiB";
        /// A client that has begun a file with a limited number of downloads may continue it for
        /// this long after its last byte. The download counts once the client has the whole file.
        "download_lease" => download_lease: Span = "6h" in "1s".."30d";
        /// A client that has read no more than this of a file with a limited number of downloads,
        /// and reads no more now, does not keep others from it. Messengers read this much for a
        /// preview.
        "preview_bytes" => preview_bytes: Size = "64KiB" in "0".."16MiB";
        /// Clients of files with a limited number of downloads that are remembered at once, at 1.5
        /// KiB of memory each, and at most a 16th of all memory. Where the limit is met, those that
        /// have the whole file, or hardly any of it, are forgotten first; if there are none, new
        /// ones are refused with 503.
        "readers_max" => readers_max: Count<usize> = "16384" in "16".."1000000";
        /// Downloads of files with a limited number of downloads that are remembered for one
        /// client: one IPv4 address, or one IPv6 network of 64 bits; more are refused with 429.
        /// Raise it where many people share an address, or name your proxy in `trusted_proxies`.
        "readers_per_client_max" => readers_per_client_max: Count<usize> = "1024" in "1".."1000000";
        /// Pages that may follow live updates at once; others are refused with 503 and ask again
        /// later.
        "sse_clients_max" => sse_clients_max: Count<usize> = "1024" in "1".."1000000";
        /// Live updates that one client may follow at once: one IPv4 address, or one IPv6 network
        /// of 64 bits; more are refused with 429. Raise it where many people share an address, or
        /// name your proxy in `trusted_proxies`.
        "sse_per_client_max" => sse_per_client_max: Count<usize> = "256" in "1".."1000000";
        /// Requests that one client may make per second, and ten times as many at once; more are
        /// refused with 429. Without it: 2,000, and no limit for this machine itself.
        "requests_per_client_max" => requests_per_client_max: Count<u64> = none in "1".."1000000";
        /// Uploads and shares that one client may create per day; more are refused with 429.
        /// Without it: 1,000,000, and no limit for this machine itself.
        "creations_per_client_max" => creations_per_client_max: Count<u64> = none in "1".."1000000000";
        /// Resumable uploads that one client may have unfinished; more are refused with 429.
        /// Without it: 10,000, and no limit for this machine itself.
        "unfinished_per_client_max" => unfinished_per_client_max: Count<u64> = none in "1".."1000000000";
        /// Bytes that the unfinished uploads of one client may have announced together; more are
        /// refused with 429. Without it the first one may take all free space, and each next one
        /// has to leave a tenth of it to others; there is no limit for this machine itself.
        "reserved_per_client_bytes_max" => reserved_per_client_bytes_max: Size = none in "1".."1EiB";
    }
    group "Process" {
        /// Threads that serve connections. Without it: one for each processor. Rarely worth a
        /// change.
        "workers" => workers: Count<usize> = none in "1".."1024";
        /// Threads that compute checksums and write to the disk. Without it: one for each
        /// processor, and at least two. Raise it for disks that are fast only with many writes at
        /// once.
        "writer_threads" => writer_threads: Count<usize> = none in "1".."4096";
        /// After a signal to stop, plain uploads, forms and downloads have this long to finish;
        /// then they are cut. The last two seconds of it (half of it, if it is shorter than four)
        /// are for saving what was cut. Resumable uploads end at once and lose nothing.
        "shutdown_grace" => shutdown_grace: Span = "10s" in "0s".."10m";
        /// Form of the log's lines: `human`, or `json` for programs that collect logs.
        "log_format" => log_format: Format = "human";
        /// What is logged: a level (`error`, `warn`, `info`, `debug`), or levels by part of the
        /// server, as `info,ddx_engine=debug`. Use `debug` to find a fault.
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
}
