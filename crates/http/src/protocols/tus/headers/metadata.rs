//! `Upload-Metadata`: the raw text, which HEAD gives back as it came, and its decoded pairs.
//!
//! Only the share's key is not given back, since it is not kept: it opens more than this upload,
//! and a record is read by others than the sender.
//!
//! The raw text is kept because a client may compare what it gets back with what it sent, and
//! because a pair that this server does not know is still the client's.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::HeaderMap;

use super::limits::Limits;
use super::names::UPLOAD_METADATA;
use crate::shared::fields;
use crate::shared::problem::{Kind, Problem};

/// Base64 with or without padding. Bits left over in the last character are ignored, as most
/// decoders do.
pub(super) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The name of the pair that has the share's key.
const SHARE: &str = "share";

/// An upload's metadata.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    raw: String,
    pairs: Vec<(String, Vec<u8>)>,
}

impl Metadata {
    /// Reads the field; no field is no metadata.
    ///
    /// # Errors
    /// [`Kind::MetadataInvalid`], [`Kind::MetadataTooLarge`].
    pub fn read(headers: &HeaderMap, limits: &Limits) -> Result<Self, Problem> {
        match fields::joined(headers, &UPLOAD_METADATA) {
            Ok(None) => Ok(Self::default()),
            Ok(Some(raw)) => Self::parse(&raw, limits),
            Err(_) => Err(refused("Upload-Metadata has non-ASCII characters.")),
        }
    }

    /// Reads the field's value.
    ///
    /// # Errors
    /// [`Kind::MetadataInvalid`], [`Kind::MetadataTooLarge`].
    pub fn parse(raw: &str, limits: &Limits) -> Result<Self, Problem> {
        if raw.len() > limits.metadata_bytes_max {
            return Err(Problem::new(Kind::MetadataTooLarge)
                .limit(limits.metadata_bytes_max)
                .value(raw.len()));
        }
        if !raw
            .bytes()
            .all(|b| b == b'\t' || (b' '..=b'~').contains(&b))
        {
            return Err(refused(
                "Upload-Metadata has characters that are not visible ASCII.",
            ));
        }
        let mut pairs: Vec<(String, Vec<u8>)> = Vec::new();
        for pair in raw
            .split(',')
            .map(|pair| pair.trim_matches(fields::is_space))
        {
            if pair.is_empty() {
                continue;
            }
            if pairs.len() == limits.metadata_pairs_max {
                return Err(Problem::new(Kind::MetadataTooLarge)
                    .detail("Upload-Metadata has too many keys.")
                    .limit(limits.metadata_pairs_max));
            }
            let (key, value) = pair.split_once(fields::is_space).unwrap_or((pair, ""));
            if pairs.iter().any(|(other, _)| other == key) {
                return Err(refused("A key is listed twice.").value(key));
            }
            match BASE64.decode(value.trim_matches(fields::is_space)) {
                Ok(value) => pairs.push((key.to_owned(), value)),
                Err(_) => return Err(refused("A value is not Base64.").value(key)),
            }
        }
        Ok(Self {
            raw: raw.trim_matches(fields::is_space).to_owned(),
            pairs,
        })
    }

    /// The field's value as it came; visible ASCII only, so that it can be sent back.
    #[must_use]
    pub fn raw(&self) -> &str {
        &self.raw
    }

    /// [`Metadata::raw`] without the pair of the share's key: what may be kept.
    #[must_use]
    pub fn without_share(&self) -> String {
        if self.get(SHARE).is_none() {
            return self.raw.clone();
        }
        let is_share = |pair: &&str| {
            let pair = pair.trim_matches(fields::is_space);
            pair.split(fields::is_space).next() == Some(SHARE)
        };
        let kept: Vec<&str> = self.raw.split(',').filter(|pair| !is_share(pair)).collect();
        kept.join(",").trim_matches(fields::is_space).to_owned()
    }

    /// All pairs, in order.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.pairs
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_slice()))
    }

    /// The bytes of one value.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&[u8]> {
        self.pairs()
            .find_map(|(other, value)| (other == key).then_some(value))
    }

    /// One value as text; bytes that are not UTF-8 become U+FFFD. An empty value, and the `null`
    /// and `undefined` that JavaScript clients encode for a field that they do not have, are no
    /// value.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<String> {
        let text = String::from_utf8_lossy(self.get(key)?);
        (!matches!(text.as_ref(), "" | "null" | "undefined")).then(|| text.into_owned())
    }

    /// The file's name: `filename`, or `name`, which Uppy sends. A file may be called `null`, so
    /// that is a name here.
    #[must_use]
    pub fn filename(&self) -> Option<String> {
        ["filename", "name"].into_iter().find_map(|key| {
            let text = String::from_utf8_lossy(self.get(key)?);
            (!text.is_empty()).then(|| text.into_owned())
        })
    }

    /// The file's media type: `filetype`, or `type`, which Uppy sends.
    #[must_use]
    pub fn filetype(&self) -> Option<String> {
        self.text("filetype").or_else(|| self.text("type"))
    }

    /// The file's path inside its share. Uppy sends `null` for a file that is in no folder.
    #[must_use]
    pub fn relative_path(&self) -> Option<String> {
        self.text("relativePath")
    }

    /// The key of the share that the file goes to.
    #[must_use]
    pub fn share(&self) -> Option<String> {
        self.text(SHARE)
    }
}

fn refused(detail: &str) -> Problem {
    Problem::new(Kind::MetadataInvalid).detail(detail)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn the_share_key_is_not_kept() {
        for (raw, kept) in [
            ("", ""),
            ("filename YQ==", "filename YQ=="),
            ("filename YQ==,share S0VZ", "filename YQ=="),
            ("share S0VZ,filename YQ==", "filename YQ=="),
            ("a YQ==, share S0VZ , b Yg==", "a YQ==, b Yg=="),
            ("share S0VZ", ""),
            ("share\tS0VZ,a", "a"),
            ("a,share", "a"),
            ("a,,\tshare S0VZ,", "a,,"),
            (
                "shares eA==,Share eA==,share S0VZ",
                "shares eA==,Share eA==",
            ),
            ("myshare eA==,x eA==", "myshare eA==,x eA=="),
            (
                "filename c2hhcmU=,share2 eA==",
                "filename c2hhcmU=,share2 eA==",
            ),
        ] {
            let metadata = Metadata::parse(raw, &Limits::default()).unwrap();
            assert_eq!(metadata.without_share(), kept, "of {raw:?}");
        }
    }
}
