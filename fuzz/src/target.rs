//! What a target is: a function that any bytes are thrown at, and how.

/// One place where foreign bytes are read.
#[derive(Debug, Clone, Copy)]
pub struct Target {
    /// Its name, and the name of its folder in `corpus`.
    pub name: &'static str,
    /// Reads the bytes; panics if a promise is broken.
    pub run: fn(&[u8]),
    /// How often the ordinary test mutates the corpus: fewer for those that touch files.
    pub mutations: u32,
    /// Words of the format, which mutations put in.
    pub words: &'static [&'static str],
}
