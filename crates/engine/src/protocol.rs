//! How uploads come, as far as it matters to what is kept of them.

/// A protocol by which uploads come. Those of a server stand in its
/// [`Config`](crate::Config::protocols).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protocol {
    /// Its name in records and in metrics. Never changed once released.
    pub name: &'static str,
    /// Whether a client can go on with an upload that was cut. Where it can't, nothing of that
    /// upload is kept.
    pub is_resumable: bool,
}

impl Protocol {
    /// That of a record whose protocol this server does not speak: what came by it stays, and
    /// expires like any other.
    pub const OTHER: Self = Self {
        name: "other",
        is_resumable: true,
    };
}
