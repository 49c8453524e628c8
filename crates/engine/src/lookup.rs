//! What is asked of uploads, files and shares.

use ddx_catalog::{FileRecord, FileSummary, OwnerTotals, ShareRecord, State};
use ddx_id::{FileId, ShareId, UploadKey};

use crate::deadline::is_over;
use crate::engine::{Core, Engine, in_catalog};
use crate::error::Error;
use crate::upload::lock::UploadLock;

impl Engine {
    /// How many files, bytes and unfinished uploads there are.
    ///
    /// # Errors
    /// If the catalog fails.
    pub async fn totals(&self) -> Result<ddx_catalog::Totals, Error> {
        self.0.catalog.totals().await.map_err(in_catalog)
    }

    /// Where an upload stands, after the request that writes to it has been told to stop and has
    /// made its bytes durable: what a client asks before it resumes.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Expired`], or if the catalog fails.
    pub async fn head(&self, upload_key: UploadKey) -> Result<FileRecord, Error> {
        let arrival = self.0.arrive();
        let record = self.0.live_upload(upload_key).await?;
        if record.state != State::Receiving {
            return Ok(record);
        }
        let file_id = record.file_id;
        match self.0.locks.acquire(file_id, arrival).await {
            Ok(lock) => self.0.locked_upload(upload_key, &lock).await,
            // A newer request has it already. What is recorded is true, and more may come at any
            // moment.
            Err(Error::Superseded) => self.0.live_upload(upload_key).await,
            Err(error) => Err(error),
        }
    }

    /// The record behind an upload's URL, without disturbing who writes to it.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Expired`], or if the catalog fails.
    pub async fn upload(&self, upload_key: UploadKey) -> Result<FileRecord, Error> {
        self.0.live_upload(upload_key).await
    }

    /// A file by its id.
    ///
    /// # Errors
    /// [`Error::NotFound`], or if the catalog fails.
    pub async fn file(&self, file_id: FileId) -> Result<FileRecord, Error> {
        self.0
            .catalog
            .file(file_id)
            .await
            .map_err(in_catalog)?
            .ok_or(Error::NotFound)
    }

    /// A share.
    ///
    /// # Errors
    /// [`Error::NotFound`], or if the catalog fails.
    pub async fn share(&self, share_id: ShareId) -> Result<ShareRecord, Error> {
        let share = self.0.catalog.share(share_id).await;
        share.map_err(in_catalog)?.ok_or(Error::NotFound)
    }

    /// What an owner ([`FileRecord::owner`]) has unfinished.
    ///
    /// # Errors
    /// If the catalog fails.
    pub async fn owner_totals(&self, owner: String) -> Result<OwnerTotals, Error> {
        let totals = self.0.catalog.owner_totals(owner).await;
        totals.map_err(in_catalog)
    }

    /// Up to `limit` of a share's files after the path `after`; none where there are no more.
    ///
    /// # Errors
    /// If the catalog fails.
    pub async fn share_files(
        &self,
        share_id: ShareId,
        after: Option<String>,
        limit: u32,
    ) -> Result<Vec<FileSummary>, Error> {
        let files = self.0.catalog.share_files(share_id, after, limit);
        files.await.map_err(in_catalog)
    }

    /// The file at a path of a share.
    ///
    /// # Errors
    /// [`Error::NotFound`], or if the catalog fails.
    pub async fn file_at(&self, share_id: ShareId, path: String) -> Result<FileRecord, Error> {
        self.0
            .catalog
            .file_by_path(share_id, path)
            .await
            .map_err(in_catalog)?
            .ok_or(Error::NotFound)
    }
}

impl Core {
    pub(crate) async fn by_upload_key(&self, upload_key: UploadKey) -> Result<FileRecord, Error> {
        self.catalog
            .file_by_upload_key(upload_key.hash())
            .await
            .map_err(in_catalog)?
            .ok_or(Error::NotFound)
    }

    /// As [`Core::by_upload_key`], unless its time is over. That of an upload which is being
    /// written to is not: the request that writes moves it on.
    pub(crate) async fn live_upload(&self, upload_key: UploadKey) -> Result<FileRecord, Error> {
        // The record may be old when it comes, and the upload have gone on since.
        let asked_at = self.now();
        let record = self.by_upload_key(upload_key).await?;
        self.check_lives(&record, asked_at)?;
        Ok(record)
    }

    /// Errs with [`Error::Expired`] for what was over `at` this time, unless bytes arrive for it.
    pub(crate) fn check_lives(&self, record: &FileRecord, at: i64) -> Result<(), Error> {
        let arrives = record.state != State::Complete && self.locks.is_locked(record.file_id);
        if is_over(record, at) && !arrives {
            return Err(Error::Expired);
        }
        Ok(())
    }

    /// Takes an upload's lock from the request that has it: for the request that made the upload,
    /// and for the one that ends it.
    pub(crate) async fn lock_upload(&self, file_id: FileId) -> Result<UploadLock, Error> {
        loop {
            match self.locks.acquire(file_id, self.arrive()).await {
                // One came between our number and our question: we are the newer one now.
                Err(Error::Superseded) => {}
                taken => return taken,
            }
        }
    }

    /// As [`Core::live_upload`], for the request that has its lock: the one before has moved its
    /// time on. An upload that was not over when the request came is taken on, however long the
    /// request has waited.
    pub(crate) async fn locked_upload(
        &self,
        upload_key: UploadKey,
        lock: &UploadLock,
    ) -> Result<FileRecord, Error> {
        let record = self.by_upload_key(upload_key).await?;
        if is_over(&record, lock.requested_at()) {
            return Err(Error::Expired);
        }
        Ok(record)
    }
}
