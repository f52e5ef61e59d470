//! The cookies that carry sealed sessions, one for each consent that is under way (RFC 6265bis).

use std::time::Duration;

use axum::http::{HeaderMap, header};

const NAME: &str = "liaison-consent-";

/// A browser keeps a cookie of this prefix for one host and only over TLS.
const HOST_PREFIX: &str = "__Host-";

/// Cookies of ours that are looked at; a browser that brings more brings the newest first or last, and not all fit.
const LIMIT: usize = 16;

/// How cookies are set: with TLS, or without it where the public address is this very machine.
#[derive(Clone, Copy)]
pub(super) struct Cookies {
    /// Whether the public address is https.
    pub(super) secure: bool,
}

impl Cookies {
    fn prefix(self) -> String {
        format!("{}{NAME}", if self.secure { HOST_PREFIX } else { "" })
    }

    /// Sets the session of the request with this uid.
    pub(super) fn set(self, uid: &str, sealed: &str, max_age: Duration) -> String {
        self.header(uid, sealed, max_age.as_secs())
    }

    /// Takes it away.
    pub(super) fn remove(self, uid: &str) -> String {
        self.header(uid, "", 0)
    }

    // Lax: the way back from the provider is a navigation from another site.
    fn header(self, uid: &str, value: &str, max_age: u64) -> String {
        let secure = if self.secure { "; Secure" } else { "" };
        format!("{}{uid}={value}; Path=/; Max-Age={max_age}; HttpOnly; SameSite=Lax{secure}", self.prefix())
    }

    /// Sealed sessions that a browser brings, by the uid of their request.
    pub(super) fn of(self, headers: &HeaderMap) -> Vec<(String, String)> {
        let prefix = self.prefix();
        headers
            .get_all(header::COOKIE)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(';'))
            .filter_map(|pair| {
                let (name, value) = pair.trim().split_once('=')?;
                Some((name.strip_prefix(&prefix)?.to_owned(), value.to_owned()))
            })
            .take(LIMIT)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_stays_with_one_host_out_of_reach_of_scripts() {
        let set = Cookies { secure: true }.set("uid-1", "1~abc", Duration::from_mins(10));
        assert_eq!(
            set,
            "__Host-liaison-consent-uid-1=1~abc; Path=/; Max-Age=600; HttpOnly; SameSite=Lax; Secure"
        );
        assert!(Cookies { secure: true }.remove("uid-1").contains("=; Path=/; Max-Age=0;"));
        let plain = Cookies { secure: false }.set("uid-1", "1~abc", Duration::from_mins(10));
        assert!(plain.starts_with("liaison-consent-") && !plain.contains("Secure"));
    }

    #[test]
    fn only_ones_own_cookies_are_read() {
        let mut headers = HeaderMap::new();
        headers
            .append("cookie", "a=b; __Host-liaison-consent-u1=1~x; liaison-consent-u2=1~y".parse().unwrap());
        headers.append("cookie", "__Host-liaison-consent-u3=z=".parse().unwrap());
        let own = |uid: &str, value: &str| (uid.to_owned(), value.to_owned());
        assert_eq!(Cookies { secure: true }.of(&headers), [own("u1", "1~x"), own("u3", "z=")]);
        assert_eq!(Cookies { secure: false }.of(&headers), [own("u2", "1~y")]);
    }
}
