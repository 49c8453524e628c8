//! Digests of files that arrive in pieces: resumable BLAKE3, joinable CRC-64/NVME, checksums that clients ask for.
