//! Bearer tokens: the administrator's, and those of service accounts.
//!
//! A service account's token is a JWT with the claims that Kubernetes uses, signed with a key that only
//! this server knows (HS256).

use std::fs;
use std::io;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::files::write_private;

/// Issuer and default audience of tokens.
pub(crate) const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

/// The server's secrets.
pub(crate) struct Tokens {
    admin: String,
    key: hmac::Key,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Tokens")
    }
}

/// What a service account's token says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    pub(crate) iss: String,
    pub(crate) sub: String,
    pub(crate) aud: Vec<String>,
    pub(crate) iat: i64,
    pub(crate) nbf: i64,
    pub(crate) exp: i64,
    #[serde(rename = "kubernetes.io")]
    pub(crate) kubernetes: Bound,
}

/// Which objects a token is bound to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Bound {
    pub(crate) namespace: String,
    pub(crate) serviceaccount: Reference,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) pod: Option<Reference>,
}

/// An object by name and identity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reference {
    pub(crate) name: String,
    pub(crate) uid: String,
}

impl Tokens {
    /// Reads the secrets from `directory`, making those that are missing; without a directory they live
    /// as long as the server.
    pub(crate) fn open(directory: Option<&Path>) -> io::Result<Self> {
        let secret = |name: &str| match directory {
            None => random_text(),
            Some(directory) => keep(&directory.join(name)),
        };
        let admin = secret("admin.token")?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret("service-account.key")?.as_bytes());
        Ok(Self { admin, key })
    }

    pub(crate) fn admin(&self) -> &str {
        &self.admin
    }

    /// Returns whether a token is the administrator's, compared in constant time.
    pub(crate) fn is_admin(&self, token: &str) -> bool {
        let tag = hmac::sign(&self.key, self.admin.as_bytes());
        hmac::verify(&self.key, token.as_bytes(), tag.as_ref()).is_ok()
    }

    /// Signs claims into a JWT.
    pub(crate) fn sign(&self, claims: &Claims) -> String {
        let header = URL_SAFE_NO_PAD.encode(json!({ "alg": "HS256", "typ": "JWT" }).to_string());
        let claims = URL_SAFE_NO_PAD.encode(serde_json::to_vec(claims).unwrap_or_default());
        let signed = format!("{header}.{claims}");
        let tag = hmac::sign(&self.key, signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
    }

    /// The claims of a JWT that this server signed and that is valid at `now` (Unix seconds).
    pub(crate) fn verify(&self, token: &str, now: i64) -> Option<Claims> {
        let (signed, tag) = token.rsplit_once('.')?;
        let tag = URL_SAFE_NO_PAD.decode(tag).ok()?;
        hmac::verify(&self.key, signed.as_bytes(), &tag).ok()?;
        let (_, claims) = signed.split_once('.')?;
        let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
        (claims.iss == ISSUER && claims.nbf <= now && now < claims.exp).then_some(claims)
    }
}

/// The content of a secret file, made if it is not there.
fn keep(path: &Path) -> io::Result<String> {
    match fs::read_to_string(path) {
        Ok(text) if !text.trim().is_empty() => Ok(text.trim().to_owned()),
        Ok(_) => make(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(path),
        Err(error) => Err(error),
    }
}

fn make(path: &Path) -> io::Result<String> {
    let secret = random_text()?;
    write_private(path, secret.as_bytes())?;
    Ok(secret)
}

fn random_text() -> io::Result<String> {
    let mut bytes = [0_u8; 32];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| io::Error::other("the system gives no random bytes"))?;
    Ok(URL_SAFE_NO_PAD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claims() -> Claims {
        Claims {
            iss: ISSUER.to_owned(),
            sub: "system:serviceaccount:default:app".to_owned(),
            aud: vec![ISSUER.to_owned()],
            iat: 100,
            nbf: 100,
            exp: 200,
            kubernetes: Bound {
                namespace: "default".to_owned(),
                serviceaccount: Reference {
                    name: "app".to_owned(),
                    uid: "u".to_owned(),
                },
                pod: None,
            },
        }
    }

    #[test]
    fn a_signed_token_is_good_for_its_time_and_for_this_server() {
        let tokens = Tokens::open(None).unwrap();
        let token = tokens.sign(&claims());
        assert_eq!(tokens.verify(&token, 150), Some(claims()));
        assert_eq!(tokens.verify(&token, 99), None);
        assert_eq!(tokens.verify(&token, 200), None);
        assert_eq!(Tokens::open(None).unwrap().verify(&token, 150), None);
    }

    #[test]
    fn a_changed_token_is_refused() {
        let tokens = Tokens::open(None).unwrap();
        let token = tokens.sign(&claims());
        let mut parts: Vec<&str> = token.split('.').collect();
        let forged = URL_SAFE_NO_PAD.encode(
            serde_json::to_string(&claims())
                .unwrap()
                .replace("default:app", "kube-system:root"),
        );
        parts[1] = &forged;
        assert_eq!(tokens.verify(&parts.join("."), 150), None);
        assert!(tokens.is_admin(tokens.admin()) && !tokens.is_admin("") && !tokens.is_admin("x"));
    }

    #[test]
    fn secrets_are_kept_and_private() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let first = Tokens::open(Some(directory.path())).unwrap();
        let second = Tokens::open(Some(directory.path())).unwrap();
        assert_eq!(first.admin(), second.admin());
        assert!(second.verify(&first.sign(&claims()), 150).is_some());
        let mode = fs::metadata(directory.path().join("admin.token"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
