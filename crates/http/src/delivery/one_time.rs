//! Links that can be used a few times only: who reads, and who only looks.
//!
//! A reader is known by a cookie, which browsers keep, or by its address and program. A program
//! that only makes previews of links, as chats and mail servers do, is shown the page: bytes that
//! it would take are bytes that a reader does not get.

use std::time::Duration;

use ddx_engine::Reader;
use ddx_id::{FileId, LeaseId};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, header};

/// The cookie's name: one for each file, so that none is sent in the place of another.
fn cookie_of(file_id: FileId) -> String {
    format!("ddx-reader-{file_id}")
}

/// Parts of the names by which preview makers and crawlers call themselves, in lower case.
const LOOKERS: [&str; 17] = [
    "bot",
    "crawler",
    "spider",
    "preview",
    "facebookexternalhit",
    "facebookcatalog",
    "whatsapp",
    "skypeuri",
    "embedly",
    "iframely",
    "vkshare",
    "viber",
    "slack-imgproxy",
    "mattermost",
    "rocket.chat",
    "synapse",
    "snapchat",
];

fn agent(headers: &HeaderMap) -> String {
    let agent = headers.get(header::USER_AGENT);
    let agent = agent.map(|agent| String::from_utf8_lossy(agent.as_bytes()));
    agent.unwrap_or_default().chars().take(256).collect()
}

/// Whether the request comes from a program that shows links and reads no files.
pub(crate) fn only_looks(headers: &HeaderMap) -> bool {
    // There are telephones of this name.
    let agent = agent(headers).to_ascii_lowercase().replace("cubot", "");
    LOOKERS.iter().any(|name| agent.contains(name))
}

/// Who asks for this file; `from` is the address, or the network that one client has to itself.
pub(crate) fn reader(request: &Parts, file_id: FileId, from: &str) -> Reader {
    let own = cookie_of(file_id);
    let cookies = request.headers.get_all(header::COOKIE).iter();
    let lease = cookies
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(name, _)| *name == own)
        .find_map(|(_, value)| value.parse().ok());
    Reader::new(lease, from, &agent(&request.headers))
}

/// Gives the reader's lease a name that it brings along.
pub(crate) fn tell_lease(
    fields: &mut HeaderMap,
    file_id: FileId,
    reader: &Reader,
    lease: LeaseId,
    lasts: Duration,
) {
    if reader.lease == Some(lease) {
        return;
    }
    let seconds = lasts.as_secs();
    let name = cookie_of(file_id);
    let cookie = format!("{name}={lease}; Max-Age={seconds}; HttpOnly; SameSite=Lax");
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        fields.append(header::SET_COOKIE, cookie);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_only_looks_is_known_by_its_name() {
        for (agent, expected) in [
            (
                "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
                true,
            ),
            ("TelegramBot (like TwitterBot)", true),
            ("WhatsApp/2.23.20.0 A", true),
            ("facebookexternalhit/1.1 Facebot Twitterbot/1.0", true),
            (
                "Mozilla/5.0 (compatible; Discordbot/2.0; +https://discordapp.com)",
                true,
            ),
            (
                "Mozilla/5.0 (Windows NT 6.1; WOW64) SkypeUriPreview Preview/0.5",
                true,
            ),
            (
                "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
                false,
            ),
            (
                "Mozilla/5.0 (Linux; Android 9; CUBOT_X19) AppleWebKit/537.36",
                false,
            ),
            ("curl/8.5.0", false),
            ("aria2/1.37.0", false),
            ("", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::USER_AGENT, agent.parse().unwrap());
            assert_eq!(only_looks(&headers), expected, "{agent}");
        }
    }
}
