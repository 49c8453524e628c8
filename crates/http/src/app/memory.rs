//! Memory of answers that last, from the ledger.

use ddx_memory::{Account, Charge, Refusal};

use super::state::App;
use crate::shared::problem::{Kind, Problem};

/// Books memory for an answer that lasts, until the charge is dropped.
pub(crate) fn charge_answer(app: &App, bytes: u64) -> Result<Charge, Problem> {
    let charge = app.engine().ledger().charge(Account::Answers, bytes);
    charge.map_err(|refusal| no_memory(bytes, &refusal))
}

/// What a client is told whose request needs so much more memory than there is.
pub(crate) fn no_memory(bytes: u64, refusal: &Refusal) -> Problem {
    let problem = Problem::new(Kind::NoMemory).value(bytes);
    match refusal {
        Refusal::NoMemory {
            free_bytes,
            retry_after,
            ..
        } => problem.limit(*free_bytes).retry_after(*retry_after),
        _ => problem,
    }
}
