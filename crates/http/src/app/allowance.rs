//! How many uploads one client may have unfinished, and how much space they may be promised
//! together.
//!
//! One request without a body reserves the space of a whole file, and an unfinished upload is kept
//! for a day. A client that makes many and sends nothing would have the disk to itself.

use std::time::Duration;

use ddx_engine::OwnerTotals;

use super::client::Client;
use super::state::App;
use crate::shared::engine_error::problem;
use crate::shared::problem::{Kind, Problem};
use crate::shared::size::size;

/// When some may be finished.
const RETRY_AFTER: Duration = Duration::from_secs(60);

/// Unfinished uploads of one client, where nothing is set.
const UNFINISHED_MAX: u64 = 10_000;

/// Refuses an upload of this length to a client that has too much unfinished already.
///
/// Where nothing is set, this machine itself has no limits; and the first upload of a client
/// may be as large as the disk allows, since what the machine can hold is accepted. Further
/// ones leave a tenth of what there is to others.
pub(crate) async fn allow_upload(
    app: &App,
    client: Client,
    length_bytes: Option<u64>,
) -> Result<(), Problem> {
    let Some(own) = owes(app, client).await? else {
        return Ok(());
    };
    let is_local = client.is_local();
    let set = app.config().unfinished_per_client_max;
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
    allow_bytes(
        app,
        own.promised_bytes,
        length_bytes.unwrap_or(0),
        is_first || is_local,
    )
    .await
}

/// The same for the length of an upload that is there already.
pub(crate) async fn allow_length(
    app: &App,
    client: Client,
    length_bytes: u64,
) -> Result<(), Problem> {
    let Some(own) = owes(app, client).await? else {
        return Ok(());
    };
    let is_only = own.unfinished <= 1;
    allow_bytes(
        app,
        own.promised_bytes,
        length_bytes,
        is_only || client.is_local(),
    )
    .await
}

/// What the client has unfinished; None where no limit concerns it.
async fn owes(app: &App, client: Client) -> Result<Option<OwnerTotals>, Problem> {
    let config = app.config();
    let is_set = config.unfinished_per_client_max.is_some()
        || config.reserved_per_client_bytes_max.is_some();
    if client.is_local() && !is_set {
        return Ok(None);
    }
    let own = app.engine().owner_totals(client.owner()).await;
    own.map(Some).map_err(problem)
}

/// `is_free`: held to what is set, and to nothing else.
async fn allow_bytes(
    app: &App,
    own_bytes: u64,
    more_bytes: u64,
    is_free: bool,
) -> Result<(), Problem> {
    let most = match app.config().reserved_per_client_bytes_max {
        Some(most) => most,
        None if is_free => return Ok(()),
        None => {
            let space = app.engine().space().await.map_err(problem)?;
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
