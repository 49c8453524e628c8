//! What each crate takes from the settings. The crates have defaults of their own for everything
//! that is no operator's business; only what has an entry in the table is set here.

use super::Settings;

/// What a connection with a slow upload was measured to hold (16 KB with 4,000 of them): its task
/// and its request (6 KB), the engine's task with the record and the digest's state (7 KB), and the
/// allocator's part. One with a short request has hyper's two buffers of 8 KiB instead; an idle one
/// holds 3 KB.
const CONNECTION_BYTES: u64 = 18 << 10;

/// What a connection with a slow upload was measured to hold beside that where it is encrypted (47
/// KB in all, with 500 of them).
const TLS_BYTES: u64 = 30 << 10;

/// A window of HTTP/2, which is below 2 GiB.
fn window(bytes: u64) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX >> 1)
}

impl Settings {
    /// The ledger's part.
    pub(crate) fn memory(&self) -> ddx_memory::Config {
        ddx_memory::Config {
            memory_limit_bytes: self.memory_limit_bytes,
            assumed_limit_bytes: self.memory_assumed_bytes,
            reserve_bytes: self.memory_reserve_bytes,
            ceiling_bytes: self.memory_ceiling_bytes,
            class_buffers: ddx_memory::ClassBuffers {
                max_4gb: self.buffers_max_4gb,
                max_8gb: self.buffers_max_8gb,
                max_16gb: self.buffers_max_16gb,
            },
            waiters_max: self.waiters_max,
            uploads_max: self.uploads_max,
            connection_bytes: CONNECTION_BYTES + self.tls_cert.as_ref().map_or(0, |_| TLS_BYTES),
            buffer_bytes_min: ddx_engine::Config::default().buffer_bytes_min,
            buffer_bytes_max: self.upload_buffer_bytes_max,
            sample_every: self.memory_sample_every,
            ..ddx_memory::Config::default()
        }
    }

    /// The segment store's part.
    pub(crate) fn storage(&self) -> ddx_storage::LocalDiskConfig {
        ddx_storage::LocalDiskConfig {
            free_floor_bytes: self.free_space_floor_bytes,
            ..ddx_storage::LocalDiskConfig::default()
        }
    }

    /// The catalog's part.
    pub(crate) fn catalog(&self) -> ddx_catalog::sqlite::Config {
        ddx_catalog::sqlite::Config {
            inline_bytes_max: self.inline_bytes_max.max(64 << 10),
            accept_older: self.accept_older_catalog,
            ballast_bytes: self.ballast_bytes,
            ..ddx_catalog::sqlite::Config::default()
        }
    }

    /// The ways in.
    ///
    /// # Errors
    /// The public address can't be the base of links, or the operators' token can't be read.
    pub(crate) fn http(&self) -> anyhow::Result<ddx_http::Config> {
        let names = ddx_http::shared::names::Limits {
            name_bytes_max: usize::try_from(self.name_bytes_max)?,
            path_bytes_max: 4 * usize::try_from(self.name_bytes_max)?,
            depth_max: self.path_depth_max,
        };
        let origins = &self.cors_origins;
        Ok(ddx_http::Config {
            names,
            origin: self.origin()?,
            form_parts_max: self.multipart_parts_max,
            form_idle_timeout: self.body_idle_timeout,
            metadata_bytes_max: usize::try_from(self.metadata_bytes_max)?,
            ranges_max: self.ranges_max,
            sse_clients_max: self.sse_clients_max,
            sse_per_client_max: self.sse_per_client_max,
            requests_per_client_max: self.requests_per_client_max,
            creations_per_client_max: self.creations_per_client_max,
            unfinished_per_client_max: self.unfinished_per_client_max,
            reserved_per_client_bytes_max: self.reserved_per_client_bytes_max,
            request_body_bytes_max: self.request_body_bytes_max,
            cross_origin: if origins.iter().any(|origin| origin == "*") {
                ddx_http::CrossOrigin::Any
            } else {
                ddx_http::CrossOrigin::Listed(origins.clone())
            },
            operators: ddx_http::shared::operators::Operators {
                networks: self.operator_networks.clone().into(),
                token: self.operator_token()?,
            },
            uploads_max: self.uploads_max,
            version: env!("CARGO_PKG_VERSION"),
        })
    }

    /// The operators' token, where a file has one.
    ///
    /// # Errors
    /// The file can't be read, or has no token. What it holds is never told.
    pub(crate) fn operator_token(
        &self,
    ) -> anyhow::Result<Option<ddx_http::shared::operators::Token>> {
        let Some(path) = &self.operator_token_file else {
            return Ok(None);
        };
        let read = || anyhow::Ok(std::fs::read_to_string(path)?.parse()?);
        let refused = |error: anyhow::Error| {
            anyhow::anyhow!(
                "operator_token_file, {}, can't be used: {error}\nwhat to do: write a token of {} letters and digits or more into it: \
                 `openssl rand -hex 16`",
                path.display(),
                ddx_http::shared::operators::TOKEN_CHARS_MIN
            )
        };
        Ok(Some(read().map_err(refused)?))
    }

    fn origin(&self) -> anyhow::Result<ddx_http::shared::origin::Config> {
        Ok(ddx_http::shared::origin::Config {
            public_url: self.public_url.as_deref().map(str::parse).transpose()?,
            trusted_proxies: self.trusted_proxies.clone().into(),
            path_prefix: self.path_prefix.clone(),
            ..ddx_http::shared::origin::Config::default()
        })
    }

    /// Limits of connections, where `files_max` files may be open: an upload needs its connection
    /// and its file, and some files are the server's own.
    pub(crate) fn server(&self, files_max: u64) -> ddx_http::server::Limits {
        let allowed = files_max.saturating_sub(128).max(16) / 2;
        let connections = self
            .connections_max
            .map_or(allowed, |max| max.min(files_max));
        ddx_http::server::Limits {
            header_timeout: self.header_timeout,
            idle_timeout: self.idle_timeout,
            write_timeout: self.write_timeout,
            write_pause_max: self.write_pause_max,
            write_timeout_crowded: self.write_timeout_crowded,
            send_queue_bytes: self.send_queue_bytes,
            header_bytes_max: usize::try_from(self.header_bytes_max).unwrap_or(usize::MAX),
            uri_bytes_max: usize::try_from(self.uri_bytes_max).unwrap_or(usize::MAX),
            headers_max: self.headers_max,
            linger: self.linger,
            linger_bytes_max: self.linger_bytes_max,
            http2_streams_max: self.http2_streams_max,
            http2_stream_window_bytes: window(self.http2_stream_window_bytes),
            http2_window_bytes: window(self.http2_window_bytes),
            connections_max: usize::try_from(connections)
                .unwrap_or(usize::MAX)
                .min(1 << 24),
            connections_per_client_max: self.connections_per_client_max,
            ..ddx_http::server::Limits::default()
        }
    }

    /// Threads that hash and write bulk. As many as there are processors keep a disk busy, and its
    /// queue short: with 8 of them on 2 processors uploads were no faster, and a commit waited 16
    /// ms behind each of their writes.
    pub(crate) fn writers(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        self.writer_threads.unwrap_or(cores.clamp(2, 64))
    }

    /// The engine's part.
    pub(crate) fn engine(&self) -> ddx_engine::Config {
        ddx_engine::Config {
            inline_bytes_max: self.inline_bytes_max,
            protocols: ddx_http::protocols::spoken(),
            buffer_bytes_max: self.upload_buffer_bytes_max,
            checkpoint_every: self.checkpoint_every,
            checkpoint_bytes: self.checkpoint_bytes,
            body_idle: self.body_idle_timeout,
            body_pause: self.body_pause_max,
            upload_expires: self.upload_expires,
            reservation_expires: self.reservation_expires,
            file_expires: self.file_expires,
            file_bytes_max: self.file_bytes_max,
            parts_max: self.parts_max,
            download_lease: self.download_lease,
            preview_bytes: self.preview_bytes,
            readers_max: self.readers_max,
            readers_per_client_max: self.readers_per_client_max,
            late_digest_bytes_per_second: self.late_digest_rate_bytes,
            sha256_always: self.repr_digest_sha256,
            housekeeping_every: self.housekeeping_every,
            download_bytes: self.download_buffer_bytes,
            send_queue_bytes: self.send_queue_bytes,
            writer_threads: self.writers(),
            ..ddx_engine::Config::default()
        }
    }
}
