//! Who asks, and the absolute links that the answer names.
//!
//! Both rest on the same rules (`origin`), so they are found together, once per request, before a
//! handler runs: a request whose host is no host is refused before anything is done for it.

use std::net::IpAddr;

use axum::extract::{FromRequestParts, Request};
use ddx_engine::{Created, Id};
use http::request::Parts;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue};

use crate::app::App;
use crate::names;
use crate::origin::{Base, Peer, client_of};
use crate::problem::{Kind, Problem};
use crate::server::Connection;

/// The file's public link.
const X_URL_SHARE: HeaderName = HeaderName::from_static("x-url-share");
/// The secret address that deletes it.
const X_URL_DELETE: HeaderName = HeaderName::from_static("x-url-delete");
const X_FILE_ID: HeaderName = HeaderName::from_static("x-file-id");
const X_SHARE_ID: HeaderName = HeaderName::from_static("x-share-id");

/// The base of links and the client of one request.
#[derive(Debug, Clone)]
pub(crate) struct Links {
    base: Base,
    /// Clients know the server by the base.
    is_public: bool,
    client: IpAddr,
}

impl FromRequestParts<App> for Links {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let peer = peer(&parts.extensions).ok_or_else(|| Problem::new(Kind::Internal))?;
        let origin = &app.config().origin;
        Ok(Self {
            base: origin.base(peer, &parts.uri, &parts.headers)?,
            is_public: origin.is_public(peer, &parts.headers),
            client: origin.client(peer, &parts.headers),
        })
    }
}

pub(crate) fn peer(extensions: &Extensions) -> Option<Peer> {
    let connection = extensions.get::<Connection>()?;
    Some(Peer {
        address: connection.peer.ip(),
        tls: connection.is_tls,
    })
}

/// The client of a request.
pub(crate) fn client(app: &App, request: &Request) -> Option<IpAddr> {
    let peer = peer(request.extensions())?;
    Some(app.config().origin.client(peer, request.headers()))
}

/// What stands before the server's own paths for who asks.
pub(crate) fn prefix(app: &App, request: &Request) -> String {
    let origin = &app.config().origin;
    peer(request.extensions())
        .and_then(|peer| origin.base(peer, request.uri(), request.headers()).ok())
        .map_or_else(
            || origin.path_prefix.clone(),
            |base| base.prefix().to_owned(),
        )
}

/// Whether a page of this origin is one of the server's own.
pub(crate) fn is_own_origin(app: &App, request: &Request, origin: &str) -> bool {
    peer(request.extensions()).is_some_and(|peer| {
        let config = &app.config().origin;
        config.is_own(peer, request.uri(), request.headers(), origin)
    })
}

impl Links {
    /// This path of the server as links name it, its prefix included.
    pub(crate) fn path(&self, path: &str) -> String {
        format!("{}{path}", self.base.prefix())
    }

    /// The client's address.
    pub(crate) fn client(&self) -> IpAddr {
        self.client
    }

    /// What all links begin with.
    pub(crate) fn base(&self) -> &Base {
        &self.base
    }

    /// Among whom memory is shared fairly: an address, or the network of 64 bits that one IPv6
    /// customer has alone.
    pub(crate) fn owner(&self) -> String {
        match client_of(self.client) {
            IpAddr::V4(address) => format!("ip:{address}"),
            IpAddr::V6(network) => format!("ip:{network}/64"),
        }
    }

    /// A share's link: a page for people, the bytes for programs.
    pub(crate) fn share(&self, share_id: Id) -> String {
        self.base.link(&format!("/d/{share_id}"))
    }

    /// The link of one file of a share.
    pub(crate) fn file(&self, share_id: Id, path: &str) -> String {
        self.base
            .link(&format!("/d/{share_id}/{}", names::encode_path(path)))
    }

    /// An upload's own address, by which any client may write, for the program that made it. A path
    /// where the public address is not known: the program knows by which one it asked (RFC 9110
    /// §10.2.2).
    pub(crate) fn upload(&self, upload_key: Id) -> String {
        let path = format!("/files/{upload_key}");
        match self.is_public {
            true => self.base.link(&path),
            false => self.path(&path),
        }
    }

    /// The address that deletes a file; who knows it may.
    pub(crate) fn delete(&self, delete_key: Id) -> String {
        self.base.link(&format!("/delete/{delete_key}"))
    }

    /// The fields that tell who made a file all that he can do with it.
    pub(crate) fn tell_created(&self, headers: &mut HeaderMap, created: &Created) {
        let share_id = Id(created.record.share_id);
        let told = [
            (X_URL_SHARE, self.share(share_id)),
            (X_URL_DELETE, self.delete(created.delete_key)),
            (X_FILE_ID, Id(created.record.file_id).to_string()),
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
