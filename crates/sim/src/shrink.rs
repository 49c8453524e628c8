//! From a failing life to the smallest that still fails.

use crate::life::live;
use crate::plan::Plan;

/// Lives spent on making one plan smaller.
const LIVES_MAX: u32 = 600;

/// Leaves out whatever can be left out while the life stays wrong.
#[must_use]
pub fn shrink(plan: &Plan) -> Plan {
    let mut smallest = plan.clone();
    let sought = live(plan, false).wrong.as_deref().map(kind);
    let mut lives = 0;
    loop {
        let smaller = smallest.smaller().into_iter().find(|plan| {
            lives += 1;
            lives <= LIVES_MAX && live(plan, false).wrong.as_deref().map(kind) == sought
        });
        match smaller {
            Some(smaller) => smallest = smaller,
            None => return smallest,
        }
    }
}

/// What is wrong without the figures: a smaller plan has to fail in the same way.
fn kind(wrong: &str) -> String {
    let words = wrong.split(|character: char| !character.is_alphabetic());
    words.filter(|word| word.len() > 3).take(8).collect()
}
