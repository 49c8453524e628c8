//! The public address of this server as who asks knows it, and the links that answers name.
//!
//! It is found before a handler runs: a request whose host is no host is refused before anything is
//! done for it.

use axum::extract::{FromRequestParts, Request};
use ddx_engine::Created;
use ddx_id::{DeleteKey, ShareId};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::client::peer;
use super::state::App;
use crate::shared::names;
use crate::shared::origin::Base;
use crate::shared::problem::{Kind, Problem};

/// The file's public link.
const X_URL_SHARE: HeaderName = HeaderName::from_static("x-url-share");
/// The secret address that deletes it.
const X_URL_DELETE: HeaderName = HeaderName::from_static("x-url-delete");
const X_FILE_ID: HeaderName = HeaderName::from_static("x-file-id");
const X_SHARE_ID: HeaderName = HeaderName::from_static("x-share-id");

/// The fields of [`PublicBase::tell_created`], for pages of other origins.
pub(crate) const CREATED_FIELDS: &[&str] =
    &["X-Url-Share", "X-Url-Delete", "X-File-Id", "X-Share-Id"];

/// What all links of one answer begin with.
#[derive(Debug, Clone)]
pub(crate) struct PublicBase {
    base: Base,
    /// Clients know the server by the base.
    is_public: bool,
}

impl FromRequestParts<App> for PublicBase {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let peer = peer(&parts.extensions).ok_or_else(|| Problem::new(Kind::Internal))?;
        let origin = &app.config().origin;
        Ok(Self {
            base: origin.base(peer, &parts.uri, &parts.headers)?,
            is_public: origin.is_public(peer, &parts.headers),
        })
    }
}

impl PublicBase {
    /// What stands before the server's own paths for who asks, also where the request has no host
    /// that links could begin with.
    pub(crate) fn prefix_of(app: &App, request: &Request) -> String {
        let origin = &app.config().origin;
        peer(request.extensions())
            .and_then(|peer| origin.base(peer, request.uri(), request.headers()).ok())
            .map_or_else(
                || origin.path_prefix.clone(),
                |base| base.prefix().to_owned(),
            )
    }

    /// This path of the server as links name it, its prefix included.
    pub(crate) fn path(&self, path: &str) -> String {
        format!("{}{path}", self.base.prefix())
    }

    /// What all links begin with.
    pub(crate) fn base(&self) -> &Base {
        &self.base
    }

    /// A share's link: a page for people, the bytes for programs.
    pub(crate) fn share(&self, share_id: ShareId) -> String {
        self.base.link(&format!("/d/{share_id}"))
    }

    /// The link of one file of a share.
    pub(crate) fn file(&self, share_id: ShareId, path: &str) -> String {
        self.base
            .link(&format!("/d/{share_id}/{}", names::encode_path(path)))
    }

    /// An address for the program that asks. A path where the public address is not known: the
    /// program knows by which one it asked (RFC 9110 §10.2.2).
    pub(crate) fn location(&self, path: &str) -> String {
        match self.is_public {
            true => self.base.link(path),
            false => self.path(path),
        }
    }

    /// The address that deletes a file; who knows it may.
    pub(crate) fn delete(&self, delete_key: DeleteKey) -> String {
        self.base.link(&format!("/delete/{}", delete_key.reveal()))
    }

    /// The fields that tell who made a file all that he can do with it.
    pub(crate) fn tell_created(&self, headers: &mut HeaderMap, created: &Created) {
        let share_id = created.record.share_id;
        let told = [
            (X_URL_SHARE, self.share(share_id)),
            (X_URL_DELETE, self.delete(created.delete_key)),
            (X_FILE_ID, created.record.file_id.to_string()),
            (X_SHARE_ID, share_id.to_string()),
        ];
        for (name, value) in told {
            // A base is ASCII (it was parsed), and ids are base32.
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        }
    }
}
