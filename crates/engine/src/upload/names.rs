//! A name for a file whose own is taken in its share.

use ddx_id::ShareId;

use crate::engine::{Core, in_catalog};
use crate::error::Error;

/// The largest number, or less than twice of it.
const NAME_NUMBER_MAX: u32 = 1 << 20;

impl Core {
    /// The name with a number under which the share has no file. Numbers are given in their order,
    /// so the first free one is found by halves: a client that sends one name over and over costs a
    /// few looks each time.
    pub(super) async fn free_name(&self, share_id: ShareId, wanted: &str) -> Result<String, Error> {
        let (mut taken, mut free) = (1, 2);
        while self.is_taken(share_id, numbered(wanted, free)).await? {
            if free >= NAME_NUMBER_MAX {
                return Err(Error::NameTaken);
            }
            (taken, free) = (free, free * 2);
        }
        while free - taken > 1 {
            let middle = u32::midpoint(taken, free);
            match self.is_taken(share_id, numbered(wanted, middle)).await? {
                true => taken = middle,
                false => free = middle,
            }
        }
        Ok(numbered(wanted, free))
    }

    async fn is_taken(&self, share_id: ShareId, path: String) -> Result<bool, Error> {
        let file = self.catalog.file_by_path(share_id, path).await;
        Ok(file.map_err(in_catalog)?.is_some())
    }
}

/// `dir/a.tar.gz` becomes `dir/a (2).tar.gz`: the number goes before the first dot of the name, if
/// it does not start with it.
fn numbered(path: &str, number: u32) -> String {
    let name_at = path.rfind('/').map_or(0, |slash| slash + 1);
    let name = &path[name_at..];
    let dot = name
        .char_indices()
        .skip(1)
        .find(|(_, character)| *character == '.')
        .map_or(name.len(), |(at, _)| at);
    format!(
        "{}{} ({number}){}",
        &path[..name_at],
        &name[..dot],
        &name[dot..]
    )
}

#[cfg(test)]
mod tests {
    use super::numbered;

    #[test]
    fn a_taken_name_gets_a_number() {
        assert_eq!(numbered("a.txt", 2), "a (2).txt");
        assert_eq!(numbered("d.d/a.tar.gz", 3), "d.d/a (3).tar.gz");
        assert_eq!(numbered("d/.profile", 2), "d/.profile (2)");
        assert_eq!(numbered("名前", 2), "名前 (2)");
    }
}
