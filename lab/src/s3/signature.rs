//! Signature version 4 as the server sees it: <https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html>.
//!
//! Time here is the wall's, not the lab's: whoever signs looks at the wall's clock.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, Method};
use jiff::Timestamp;
use sha2::{Digest as _, Sha256};

use super::answer::Refusal;
use super::{Credentials, REGION};

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// A clock may be off by so much.
const SKEW: i64 = 15 * 60;
/// The longest life of a signed address.
const LONGEST: i64 = 7 * 24 * 60 * 60;

/// What of a request is signed.
pub(super) struct Asked<'a> {
    pub(super) method: &'a Method,
    /// As it came, percent-encoded.
    pub(super) path: &'a str,
    /// Decoded, in the order they came.
    pub(super) query: &'a [(String, String)],
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a [u8],
}

/// What a signature says of itself.
struct Claim {
    credential: String,
    signed: Vec<String>,
    signature: String,
    date: String,
    /// `x-amz-content-sha256`, or the word for a body that is not signed.
    payload: String,
    /// Seconds that a signed address lives.
    life: Option<i64>,
}

/// Percent-encodes as signatures do. `slash`: keep `/` as it is.
pub(super) fn encode(text: &str, slash: bool) -> String {
    text.bytes().fold(String::new(), |mut encoded, byte| {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || (slash && byte == b'/') {
            encoded.push(char::from(byte));
        } else {
            let _infallible = write!(encoded, "%{byte:02X}");
        }
        encoded
    })
}

/// Percent-decodes; `None` when it is no text.
pub(super) fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let pair = [rest.next()?, rest.next()?];
            let pair = std::str::from_utf8(&pair).ok()?;
            bytes.push(u8::from_str_radix(pair, 16).ok()?);
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

fn mac(key: &[u8], text: &str) -> Hmac<Sha256> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
    mac.update(text.as_bytes());
    mac
}

fn hash(bytes: &[u8]) -> String {
    HEXLOWER.encode(&Sha256::digest(bytes))
}

fn denied(message: &str) -> Refusal {
    Refusal::new(403, "AccessDenied", message)
}

impl Claim {
    fn of(asked: &Asked<'_>) -> Result<Self, Refusal> {
        let query: BTreeMap<&str, &str> = asked
            .query
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        if query.contains_key("X-Amz-Algorithm") {
            return Self::of_query(&query);
        }
        let header = |name: &str| {
            asked
                .headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned)
        };
        let text = header("authorization").ok_or_else(|| denied("Access Denied"))?;
        let malformed =
            |what: &str| Refusal::new(400, "AuthorizationHeaderMalformed", what.to_owned());
        let rest = text
            .strip_prefix(ALGORITHM)
            .ok_or_else(|| malformed("only AWS4-HMAC-SHA256 is supported"))?;
        let fields: BTreeMap<&str, &str> = rest
            .split(',')
            .filter_map(|field| field.trim().split_once('='))
            .collect();
        let field = |name: &str| {
            fields
                .get(name)
                .map(|value| (*value).to_owned())
                .ok_or_else(|| malformed(&format!("{name} is missing")))
        };
        let payload = header("x-amz-content-sha256").ok_or_else(|| {
            Refusal::new(
                400,
                "InvalidRequest",
                "Missing required header for this request: x-amz-content-sha256",
            )
        })?;
        if payload.starts_with("STREAMING-") {
            return Err(Refusal::unknown("bodies in signed chunks"));
        }
        if payload != "UNSIGNED-PAYLOAD" && payload != hash(asked.body) {
            return Err(Refusal::new(
                400,
                "XAmzContentSHA256Mismatch",
                "The provided 'x-amz-content-sha256' header does not match what was computed.",
            ));
        }
        Ok(Self {
            credential: field("Credential")?,
            signed: field("SignedHeaders")?
                .split(';')
                .map(str::to_owned)
                .collect(),
            signature: field("Signature")?,
            date: header("x-amz-date").ok_or_else(|| {
                denied("AWS authentication requires a valid Date or x-amz-date header")
            })?,
            payload,
            life: None,
        })
    }

    fn of_query(query: &BTreeMap<&str, &str>) -> Result<Self, Refusal> {
        let malformed = |what: String| Refusal::new(400, "AuthorizationQueryParametersError", what);
        let field = |name: &str| {
            query.get(name).map(|value| (*value).to_owned()).ok_or_else(|| {
                malformed("Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.".into())
            })
        };
        if query["X-Amz-Algorithm"] != ALGORITHM {
            return Err(malformed(
                "X-Amz-Algorithm only supports \"AWS4-HMAC-SHA256\"".into(),
            ));
        }
        let life = field("X-Amz-Expires")?
            .parse()
            .ok()
            .filter(|life| (1..=LONGEST).contains(life))
            .ok_or_else(|| {
                malformed("X-Amz-Expires must be between 1 and 604800 seconds".into())
            })?;
        Ok(Self {
            credential: field("X-Amz-Credential")?,
            signed: field("X-Amz-SignedHeaders")?
                .split(';')
                .map(str::to_owned)
                .collect(),
            signature: field("X-Amz-Signature")?,
            date: field("X-Amz-Date")?,
            payload: "UNSIGNED-PAYLOAD".into(),
            life: Some(life),
        })
    }

    /// Whether it was signed in these minutes.
    fn check_time(&self, now: Timestamp) -> Result<(), Refusal> {
        let parsed = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", &self.date)
            .ok()
            .and_then(|moment| moment.to_zoned(jiff::tz::TimeZone::UTC).ok())
            .ok_or_else(|| denied("the date of the signature cannot be read"))?;
        let age = now.as_second() - parsed.timestamp().as_second();
        match self.life {
            None if age.abs() > SKEW => Err(Refusal::new(
                403,
                "RequestTimeTooSkewed",
                "The difference between the request time and the current time is too large.",
            )),
            Some(_) if age < -SKEW => Err(Refusal::new(
                403,
                "AccessDenied",
                "Request is not valid yet",
            )),
            Some(life) if age > life => Err(denied("Request has expired")),
            _ => Ok(()),
        }
    }
}

fn canonical(asked: &Asked<'_>, claim: &Claim) -> Result<String, Refusal> {
    let path = decode(asked.path)
        .ok_or_else(|| Refusal::new(400, "InvalidURI", "Couldn't parse the specified URI."))?;
    let mut query: Vec<String> = asked
        .query
        .iter()
        .filter(|(name, _)| name != "X-Amz-Signature")
        .map(|(name, value)| format!("{}={}", encode(name, false), encode(value, false)))
        .collect();
    query.sort();
    let mut headers = String::new();
    for name in &claim.signed {
        let values: Vec<String> = asked
            .headers
            .get_all(name)
            .iter()
            .map(|value| {
                let text = String::from_utf8_lossy(value.as_bytes());
                text.split_whitespace().collect::<Vec<_>>().join(" ")
            })
            .collect();
        let _infallible = writeln!(headers, "{name}:{}", values.join(","));
    }
    Ok(format!(
        "{}\n{}\n{}\n{headers}\n{}\n{}",
        asked.method,
        encode(&path, true),
        query.join("&"),
        claim.signed.join(";"),
        claim.payload
    ))
}

/// Whether the request was signed by this key, just now.
pub(super) fn verify(
    asked: &Asked<'_>,
    credentials: &Credentials,
    now: Timestamp,
) -> Result<(), Refusal> {
    let claim = Claim::of(asked)?;
    let parts: Vec<&str> = claim.credential.split('/').collect();
    let &[id, day, region, service, end] = parts.as_slice() else {
        return Err(Refusal::new(
            400,
            "AuthorizationHeaderMalformed",
            "the Credential is malformed; expecting \"<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request\"",
        ));
    };
    if id != credentials.access_key_id {
        return Err(Refusal::new(
            403,
            "InvalidAccessKeyId",
            "The AWS Access Key Id you provided does not exist in our records.",
        ));
    }
    if (region, service, end) != (REGION, "s3", "aws4_request") {
        return Err(Refusal::new(
            400,
            "AuthorizationHeaderMalformed",
            format!(
                "The authorization header is malformed; the region '{region}' is wrong; expecting '{REGION}'"
            ),
        ));
    }
    claim.check_time(now)?;
    let unsigned = asked.headers.keys().find(|name| {
        name.as_str().starts_with("x-amz-") && !claim.signed.iter().any(|one| one == name.as_str())
    });
    if unsigned.is_some() || !claim.signed.iter().any(|name| name == "host") {
        return Err(denied(
            "There were headers present in the request which were not signed",
        ));
    }
    if !claim.date.starts_with(day) {
        return Err(denied("the credential is of another day than the date"));
    }
    let text = format!(
        "{ALGORITHM}\n{}\n{day}/{region}/{service}/{end}\n{}",
        claim.date,
        hash(canonical(asked, &claim)?.as_bytes())
    );
    let first = format!("AWS4{}", credentials.secret_access_key);
    let key = [day, region, service, end]
        .iter()
        .fold(first.into_bytes(), |key, part| {
            mac(&key, part).finalize().into_bytes().to_vec()
        });
    let signature = HEXLOWER
        .decode(claim.signature.as_bytes())
        .unwrap_or_default();
    mac(&key, &text).verify_slice(&signature).map_err(|_| {
        Refusal::new(
            403,
            "SignatureDoesNotMatch",
            "The request signature we calculated does not match the signature you provided. Check your key and signing method.",
        )
    })
}

#[cfg(test)]
mod tests {
    use jiff::Span;

    use super::*;

    /// The example of the public reference: "GET Object" with a signature in headers.
    #[test]
    fn the_example_of_the_reference_has_the_signature_of_the_reference() {
        let example = |signature: &str, range: &str| {
            let mut headers = HeaderMap::new();
            let authorization = format!(
                "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,Signature={signature}"
            );
            for (name, value) in [
                ("host", "examplebucket.s3.amazonaws.com"),
                ("range", range),
                ("x-amz-content-sha256", &hash(b"")),
                ("x-amz-date", "20130524T000000Z"),
                ("authorization", &authorization),
            ] {
                headers.insert(
                    http::HeaderName::from_bytes(name.as_bytes()).unwrap(),
                    value.parse().unwrap(),
                );
            }
            let asked = Asked {
                method: &Method::GET,
                path: "/test.txt",
                query: &[],
                headers: &headers,
                body: b"",
            };
            let claim = Claim::of(&asked).unwrap();
            let text = format!(
                "{ALGORITHM}\n{}\n20130524/us-east-1/s3/aws4_request\n{}",
                claim.date,
                hash(canonical(&asked, &claim).unwrap().as_bytes())
            );
            let first = b"AWS4wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY".to_vec();
            let key = ["20130524", "us-east-1", "s3", "aws4_request"]
                .iter()
                .fold(first, |key, part| {
                    mac(&key, part).finalize().into_bytes().to_vec()
                });
            HEXLOWER.encode(&mac(&key, &text).finalize().into_bytes()) == claim.signature
        };
        let signature = "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41";
        assert!(example(signature, "bytes=0-9"));
        assert!(!example(signature, "bytes=0-8"));
    }

    #[test]
    fn a_signature_has_its_time() {
        let claim = |life| Claim {
            credential: String::new(),
            signed: vec![],
            signature: String::new(),
            date: "20261126T100000Z".into(),
            payload: String::new(),
            life,
        };
        let at = |seconds: i64| {
            let then: Timestamp = "2026-11-26T10:00:00Z".parse().unwrap();
            then + Span::new().seconds(seconds)
        };
        let code = |life, seconds| {
            claim(life)
                .check_time(at(seconds))
                .err()
                .map(|refusal| refusal.message)
        };
        assert_eq!(code(None, 899), None);
        assert!(code(None, 901).unwrap().contains("too large"));
        assert!(code(None, -901).unwrap().contains("too large"));
        assert_eq!(code(Some(60), 60), None);
        assert!(code(Some(60), 61).unwrap().contains("expired"));
        assert!(code(Some(60), -901).unwrap().contains("not valid yet"));
    }
}
