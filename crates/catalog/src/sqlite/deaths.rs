//! Threads that end in a panic, told to who can end the process.
//!
//! A change or a read that panics is caught and answered. What is left is a mistake in the threads
//! themselves: their queues then answer no one, and a server without its writer would turn every
//! upload away for ever while it looks sound.

use std::sync::Arc;

use tokio::sync::watch;

/// Who has died.
#[derive(Debug, Clone, Default)]
pub(super) struct Deaths(Arc<watch::Sender<Option<&'static str>>>);

/// Lives as long as its thread.
pub(super) struct Watched {
    name: &'static str,
    deaths: Deaths,
}

impl Deaths {
    /// To be kept by the thread of this name until its end.
    pub(super) fn watch(&self, name: &'static str) -> Watched {
        Watched {
            name,
            deaths: self.clone(),
        }
    }

    /// The name of one that has died, when one has.
    pub(super) async fn next(&self) -> &'static str {
        let mut told = self.0.subscribe();
        match told.wait_for(Option::is_some).await.map(|name| *name) {
            Ok(Some(name)) => name,
            // The sender is ours, and what was waited for is there.
            _ => std::future::pending().await,
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(
                thread = self.name,
                "a thread of the catalog crashed; the server stops, and its supervisor has to start it again; please report this"
            );
            self.deaths.0.send_replace(Some(self.name));
        }
    }
}
