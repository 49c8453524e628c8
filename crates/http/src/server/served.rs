//! What connections are served: the answers of a start until there is more.

use std::sync::OnceLock;

use axum::Router;

type MayBeFile = Box<dyn Fn(&str) -> bool + Send + Sync>;

/// A router that is exchanged once, while connections are served.
pub struct Served {
    starting: Router,
    ready: OnceLock<Router>,
    may_be_file: MayBeFile,
}

impl std::fmt::Debug for Served {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Served").finish_non_exhaustive()
    }
}

impl Served {
    /// Serves `starting` at first. `may_be_file` tells of a path whether a file may lie there:
    /// its reader may rest longer than others.
    pub(crate) fn new(
        starting: Router,
        may_be_file: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self {
            starting,
            ready: OnceLock::new(),
            may_be_file: Box::new(may_be_file),
        }
    }

    /// From now on this is served. Requests that are under way end as they began.
    pub fn is_ready(&self, app: Router) {
        // A second call would change nothing, and there is none.
        let _ = self.ready.set(app);
    }

    /// Whether a file may lie at this path, with the prefix or without it.
    pub(super) fn may_have_file(&self, path: &str) -> bool {
        (self.may_be_file)(path)
    }

    /// What the next request gets.
    pub(crate) fn router(&self) -> Router {
        self.ready.get().unwrap_or(&self.starting).clone()
    }
}
