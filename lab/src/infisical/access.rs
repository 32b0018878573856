//! Universal Auth: one machine identity, its client secret, and the access tokens it gets.
//!
//! Rules from the server's source (github.com/Infisical/infisical, `identity-ua-service.ts`, `identity-access-token-service.ts`). Failures are
//! counted per client id and lock it; every login uses the client secret up; a renewal that would pass the maximum kills the token.

use std::collections::BTreeMap;

use axum::body::Bytes;
use data_encoding::BASE64URL_NOPAD;
use hmac::{Hmac, KeyInit, Mac};
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::Sha256;
use uuid::Uuid;

use super::error::Refusal;
use super::input::Fields;

/// What a periodic token reports as its maximum.
const FOR_EVER: i64 = 1_000_000_000;

/// How the identity's login is set up, as `POST /estate` changes it. Seconds; 0 is without end or limit.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Login {
    access_token_ttl: i64,
    access_token_max_ttl: i64,
    access_token_period: i64,
    access_token_uses: u64,
    client_secret_ttl: i64,
    client_secret_uses: u64,
    /// The caller's address is not on the list of those that may log in.
    refuses_address: bool,
    lockout_threshold: u32,
    lockout_seconds: i64,
    lockout_reset_seconds: i64,
}

impl Default for Login {
    fn default() -> Self {
        Self {
            access_token_ttl: 2_592_000,
            access_token_max_ttl: 2_592_000,
            access_token_period: 0,
            access_token_uses: 0,
            client_secret_ttl: 0,
            client_secret_uses: 0,
            refuses_address: false,
            lockout_threshold: 3,
            lockout_seconds: 300,
            lockout_reset_seconds: 30,
        }
    }
}

/// The identity and its tokens.
#[derive(Debug)]
pub(super) struct Access {
    client_id: String,
    client_secret: String,
    identity_id: String,
    secret_made: Timestamp,
    secret_uses: u64,
    secret_revoked: bool,
    pub(super) login: Login,
    failures: Option<Failures>,
    tokens: BTreeMap<String, Token>,
    signing_key: [u8; 16],
}

/// Failed logins; forgotten at `until`.
#[derive(Debug)]
struct Failures {
    count: u32,
    locked: bool,
    until: Timestamp,
}

#[derive(Debug)]
struct Token {
    made: Timestamp,
    ttl: i64,
    max_ttl: i64,
    uses: u64,
    uses_limit: u64,
}

impl Access {
    pub(super) fn new(client_id: String, client_secret: String, now: Timestamp) -> Self {
        Self {
            client_id,
            client_secret,
            identity_id: Uuid::new_v4().to_string(),
            secret_made: now,
            secret_uses: 0,
            secret_revoked: false,
            login: Login::default(),
            failures: None,
            tokens: BTreeMap::new(),
            signing_key: *Uuid::new_v4().as_bytes(),
        }
    }

    /// Another set-up; the client secret is as good as new, old tokens keep what they were given.
    pub(super) fn set_up(&mut self, login: Login, now: Timestamp) {
        self.login = login;
        self.secret_made = now;
        self.secret_uses = 0;
        self.secret_revoked = false;
        self.failures = None;
    }

    /// `POST /api/v1/auth/universal-auth/login`.
    pub(super) fn login(&mut self, body: &Bytes, now: Timestamp) -> Result<Value, Refusal> {
        let mut fields = Fields::of_body(body)?;
        let (id, secret) = (fields.required("clientId"), fields.required("clientSecret"));
        let organization = fields.text("organizationSlug");
        fields.check()?;
        if let Some(slug) = organization.filter(|slug| slug != super::ORGANIZATION) {
            let message = format!("Sub organization with slug '{slug}' not found");
            return Err(Refusal::missing("NotFound", message));
        }
        let wrong = Refusal::unauthorized("Invalid credentials");
        if id != self.client_id {
            return Err(wrong);
        }
        if self.login.refuses_address {
            return Err(Refusal::unauthorized(
                "You are not allowed to access this resource from the current IP address",
            ));
        }
        if self.failures.as_ref().is_some_and(|seen| seen.until <= now) {
            self.failures = None;
        }
        if self.failures.as_ref().is_some_and(|seen| seen.locked) {
            return Err(Refusal::unauthorized(
                "This identity auth method is temporarily locked, please try again later",
            ));
        }
        if secret != self.client_secret || self.secret_revoked {
            self.count_failure(now);
            return Err(wrong);
        }
        self.failures = None;
        let age = now.duration_since(self.secret_made).as_secs();
        if self.login.client_secret_ttl > 0 && age > self.login.client_secret_ttl {
            self.secret_revoked = true;
            return Err(Refusal::unauthorized(
                "Access denied due to expired client secret",
            ));
        }
        let limit = self.login.client_secret_uses;
        if limit > 0 && self.secret_uses >= limit {
            self.secret_revoked = true;
            return Err(Refusal::unauthorized(
                "Access denied due to client secret usage limit reached",
            ));
        }
        self.secret_uses += 1;
        let (ttl, max_ttl) = match self.login.access_token_period {
            0 => (self.login.access_token_ttl, self.login.access_token_max_ttl),
            period => (period, FOR_EVER),
        };
        let token_id = Uuid::new_v4().to_string();
        let token = Token {
            made: now,
            ttl,
            max_ttl,
            uses: 0,
            uses_limit: self.login.access_token_uses,
        };
        self.tokens.insert(token_id.clone(), token);
        Ok(self.granted(&token_id, ttl, max_ttl, now))
    }

    fn count_failure(&mut self, now: Timestamp) {
        let count = self.failures.as_ref().map_or(0, |seen| seen.count) + 1;
        let locked = count >= self.login.lockout_threshold;
        let seconds = if locked {
            self.login.lockout_seconds
        } else {
            self.login.lockout_reset_seconds
        };
        self.failures = Some(Failures {
            count,
            locked,
            until: after(now, seconds),
        });
    }

    fn granted(&self, token_id: &str, ttl: i64, max_ttl: i64, now: Timestamp) -> Value {
        json!({
            "accessToken": self.sign(token_id, ttl, now), "expiresIn": ttl, "accessTokenMaxTTL": max_ttl, "tokenType": "Bearer",
        })
    }

    /// A JWT as the server makes them; one without a life has no `exp`.
    fn sign(&self, token_id: &str, ttl: i64, now: Timestamp) -> String {
        let mut claims = json!({
            "identityId": self.identity_id, "identityAccessTokenId": token_id, "authTokenType": "identityAccessToken", "iat": now.as_second(),
        });
        if ttl > 0 {
            claims["exp"] = after(now, ttl).as_second().into();
        }
        let encode = |value: &Value| BASE64URL_NOPAD.encode(value.to_string().as_bytes());
        let head = encode(&json!({ "alg": "HS256", "typ": "JWT" }));
        let text = format!("{head}.{}", encode(&claims));
        let signature = BASE64URL_NOPAD.encode(&self.mac(&text).finalize().into_bytes());
        format!("{text}.{signature}")
    }

    fn mac(&self, text: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.signing_key)
            .expect("HMAC takes keys of any length");
        mac.update(text.as_bytes());
        mac
    }

    /// The id in a token that this server signed and that has not run out.
    fn verify(&self, token: &str, now: Timestamp) -> Result<String, Refusal> {
        let malformed = || {
            Refusal::token_error(
                "The provided access token is malformed. Please use a valid token or generate a new one and try again.",
            )
        };
        let (text, signature) = token.rsplit_once('.').ok_or_else(malformed)?;
        let (_, claims) = text.split_once('.').ok_or_else(malformed)?;
        let decode = |part: &str| {
            BASE64URL_NOPAD
                .decode(part.as_bytes())
                .map_err(|_| malformed())
        };
        if self.mac(text).verify_slice(&decode(signature)?).is_err() {
            return Err(Refusal::token_error("invalid signature"));
        }
        let claims: Value = serde_json::from_slice(&decode(claims)?).map_err(|_| malformed())?;
        if claims["exp"]
            .as_i64()
            .is_some_and(|end| end <= now.as_second())
        {
            return Err(Refusal::token_error(
                "Your token has expired. Please re-authenticate.",
            ));
        }
        Ok(claims["identityAccessTokenId"]
            .as_str()
            .unwrap_or_default()
            .to_owned())
    }

    /// Whoever calls with this header is the identity, or is refused.
    pub(super) fn authenticate(
        &mut self,
        header: Option<&str>,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        let token = header.and_then(|header| header.strip_prefix("Bearer "));
        let token = token.ok_or_else(|| Refusal::unauthorized("Token missing"))?;
        let id = self.verify(token, now)?;
        let found = self.tokens.get_mut(&id);
        let found = found.ok_or_else(unknown)?;
        if found.uses_limit > 0 && found.uses >= found.uses_limit {
            self.tokens.remove(&id);
            return Err(used_up());
        }
        found.uses += 1;
        Ok(())
    }

    /// `POST /api/v1/auth/token/renew`.
    pub(super) fn renew(&mut self, body: &Bytes, now: Timestamp) -> Result<Value, Refusal> {
        let mut fields = Fields::of_body(body)?;
        let token = fields.required("accessToken");
        fields.check()?;
        let id = self.verify(&token, now)?;
        let found = self.tokens.get(&id).ok_or_else(unknown)?;
        let (ttl, max_ttl) = (found.ttl, found.max_ttl);
        if found.uses_limit > 0 && found.uses >= found.uses_limit {
            self.tokens.remove(&id);
            return Err(used_up());
        }
        let end = after(found.made, max_ttl);
        let refused = match max_ttl {
            0 => None,
            _ if now > end => Some("Failed to renew MI access token due to Max TTL expiration"),
            _ if after(now, ttl) > end => {
                Some("Failed to renew MI access token past its Max TTL expiration")
            }
            _ => None,
        };
        if let Some(message) = refused {
            self.tokens.remove(&id);
            return Err(Refusal::unauthorized(message));
        }
        Ok(self.granted(&id, ttl, max_ttl, now))
    }

    /// `POST /api/v1/auth/token/revoke`.
    pub(super) fn revoke(&mut self, body: &Bytes, now: Timestamp) -> Result<Value, Refusal> {
        let mut fields = Fields::of_body(body)?;
        let token = fields.required("accessToken");
        fields.check()?;
        let id = self.verify(&token, now)?;
        self.tokens.remove(&id).ok_or_else(unknown)?;
        Ok(json!({ "message": "Successfully revoked access token" }))
    }
}

fn unknown() -> Refusal {
    Refusal::unauthorized("You are not allowed to access this resource")
}

fn used_up() -> Refusal {
    Refusal::bad("Unable to renew because access token number of uses limit reached")
}

fn after(from: Timestamp, seconds: i64) -> Timestamp {
    from.checked_add(SignedDuration::from_secs(seconds))
        .unwrap_or(Timestamp::MAX)
}
