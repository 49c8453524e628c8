//! How many uploads one client may have unfinished, and how much space they may be promised
//! together.
//!
//! One request without a body reserves the space of a whole file, and an unfinished upload is kept
//! for a day. A client that makes many and sends nothing would have the disk to itself.

use std::time::Duration;

use ddx_engine::OwnerTotals;

use crate::app::App;
use crate::links::Links;
use crate::problem::{Kind, Problem, size};
use crate::refusal::problem;

/// When some may be finished.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// Unfinished uploads of one client, where nothing is set.
const UNFINISHED_MAX: u64 = 10_000;

impl App {
    /// Refuses an upload of this length to a client that has too much unfinished already.
    ///
    /// Where nothing is set, this machine itself has no limits; and the first upload of a client
    /// may be as large as the disk allows, since what the machine can hold is accepted. Further
    /// ones leave a tenth of what there is to others.
    pub(crate) async fn allow_upload(
        &self,
        links: &Links,
        length_bytes: Option<u64>,
    ) -> Result<(), Problem> {
        let Some(own) = self.owes(links).await? else {
            return Ok(());
        };
        let is_local = is_local(links);
        let set = self.config().unfinished_per_client_max;
        let most = set.unwrap_or(if is_local { u64::MAX } else { UNFINISHED_MAX });
        if own.unfinished >= most {
            return Err(Problem::new(Kind::TooManyOfOne)
                .detail(format!(
                    "Your address has {} unfinished uploads (limit {most}).",
                    own.unfinished
                ))
                .limit(most)
                .value(own.unfinished + 1)
                .retry_after(RETRY_AFTER)
                .remedy("Finish or delete some of them, or wait until they expire."));
        }
        let is_first = own.unfinished == 0;
        self.allow_bytes(
            own.promised_bytes,
            length_bytes.unwrap_or(0),
            is_first || is_local,
        )
        .await
    }

    /// The same for the length of an upload that is there already.
    pub(crate) async fn allow_length(
        &self,
        links: &Links,
        length_bytes: u64,
    ) -> Result<(), Problem> {
        let Some(own) = self.owes(links).await? else {
            return Ok(());
        };
        let is_only = own.unfinished <= 1;
        self.allow_bytes(own.promised_bytes, length_bytes, is_only || is_local(links))
            .await
    }

    /// What the client has unfinished; None where no limit concerns it.
    async fn owes(&self, links: &Links) -> Result<Option<OwnerTotals>, Problem> {
        let config = self.config();
        let is_set = config.unfinished_per_client_max.is_some()
            || config.reserved_per_client_max_bytes.is_some();
        if is_local(links) && !is_set {
            return Ok(None);
        }
        let own = self.engine().owner_totals(links.owner()).await;
        own.map(Some).map_err(problem)
    }

    /// `is_free`: held to what is set, and to nothing else.
    async fn allow_bytes(
        &self,
        own_bytes: u64,
        more_bytes: u64,
        is_free: bool,
    ) -> Result<(), Problem> {
        let most = match self.config().reserved_per_client_max_bytes {
            Some(most) => most,
            None if is_free => return Ok(()),
            None => {
                let space = self.engine().space().await.map_err(problem)?;
                space.available_bytes().saturating_add(own_bytes) / 10 * 9
            }
        };
        let promised_bytes = own_bytes.saturating_add(more_bytes);
        if promised_bytes <= most {
            return Ok(());
        }
        Err(Problem::new(Kind::TooManyOfOne)
            .detail(format!(
                "The unfinished uploads of your address would be too large (limit {}).",
                size(most)
            ))
            .limit(most)
            .value(promised_bytes)
            .retry_after(RETRY_AFTER)
            .remedy("Finish or delete some of them, or ask the operator to raise the limit."))
    }
}

fn is_local(links: &Links) -> bool {
    links.client().to_canonical().is_loopback()
}
