//! What each room takes from the settings. The rooms have defaults of their own for everything that is no
//! operator's business; only what has an entry in the table is set here.

use super::Settings;

impl Settings {
    /// The ledger's part.
    pub(crate) fn memory(&self) -> ddx_memory::Config {
        ddx_memory::Config {
            memory_limit_bytes: self.memory_limit_bytes,
            reserve_bytes: self.memory_reserve_bytes,
            ceiling_bytes: self.memory_ceiling_bytes,
            class_buffers: ddx_memory::ClassBuffers {
                max_4gb: self.buffers_max_4gb,
                max_8gb: self.buffers_max_8gb,
                max_16gb: self.buffers_max_16gb,
            },
            waiters_max: self.waiters_max,
            uploads_max: self.uploads_max,
            granule_bytes_max: self.granule_max_bytes,
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

    /// The engine's part.
    pub(crate) fn engine(&self) -> ddx_engine::Config {
        ddx_engine::Config {
            inline_max_bytes: self.inline_max_bytes,
            granule_max_bytes: self.granule_max_bytes,
            checkpoint_every: self.checkpoint_every,
            checkpoint_bytes: self.checkpoint_bytes,
            body_idle: self.body_idle_timeout,
            upload_expires: self.upload_expires,
            file_expires: self.file_expires,
            file_max_bytes: self.max_file_size_bytes,
            sha256_always: self.repr_digest_sha256,
            housekeeping_every: self.housekeeping_every,
            download_bytes: self.download_buffer_bytes,
            ..ddx_engine::Config::default()
        }
    }
}
