//! The auth service behind the proxy, as far as join tokens go: gRPC `proto.AuthService/CreateTokenV2` and `DeleteToken` over HTTP/2, for users whose certificate names
//! a role that may (Teleport writes roles into the organisation).
//!
//! Guaranteed: what a token says of itself is checked as Teleport checks it (kind, version, roles, join method), a name is taken once, an expired token lets nobody in.
//! Messages are read field by field by their numbers in Teleport's public API; a field that is not known here is `LAB-UNKNOWN`. Invented: the sentences.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use futures::stream;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};

/// The role that may make tokens.
pub(super) const EDITOR: &str = "editor";
const OK: u8 = 0;
const INVALID_ARGUMENT: u8 = 3;
const NOT_FOUND: u8 = 5;
const ALREADY_EXISTS: u8 = 6;
const PERMISSION_DENIED: u8 = 7;
const UNIMPLEMENTED: u8 = 12;

/// A join token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    /// What it lets one join as.
    pub roles: Vec<String>,
    /// Until when.
    pub expires: SystemTime,
}

/// Why nobody was let in.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NoJoin {
    /// There is none of this name.
    #[error("token is not found")]
    Unknown,
    /// There was one.
    #[error("token is expired")]
    Expired,
    /// It is for something else.
    #[error("token does not allow role Kube")]
    Role,
}

/// The tokens there are.
#[derive(Default)]
pub(super) struct Tokens(Mutex<BTreeMap<String, Token>>);

type Answer = Result<(), (u8, String)>;

impl Tokens {
    pub(super) fn all(&self) -> BTreeMap<String, Token> {
        self.0.lock().expect("no panic while held").clone()
    }

    /// Whether an agent for Kubernetes may join with this token at this time.
    pub(super) fn admits(&self, name: &str, now: SystemTime) -> Result<(), NoJoin> {
        let tokens = self.0.lock().expect("no panic while held");
        let token = tokens.get(name).ok_or(NoJoin::Unknown)?;
        if token.expires <= now {
            return Err(NoJoin::Expired);
        }
        if !token.roles.iter().any(|role| role == "Kube") {
            return Err(NoJoin::Role);
        }
        Ok(())
    }

    /// Answers one call.
    pub(super) async fn call(
        &self,
        request: Request<Incoming>,
        roles: &[String],
    ) -> Response<impl hyper::body::Body<Data = Bytes, Error = std::convert::Infallible> + use<>>
    {
        let path = request.uri().path().to_owned();
        let body = request.into_body().collect().await;
        let bytes = body.map(http_body_util::Collected::to_bytes);
        let answer = match bytes.ok().as_deref().and_then(unframed) {
            None => Err((INVALID_ARGUMENT, "no message".to_owned())),
            Some(_) if !roles.iter().any(|role| role == EDITOR) => Err((
                PERMISSION_DENIED,
                "access denied to perform action on \"token\"".into(),
            )),
            Some(message) => match path.as_str() {
                "/proto.AuthService/CreateTokenV2" => self.create(message),
                "/proto.AuthService/DeleteToken" => self.delete(message),
                _ => Err((
                    UNIMPLEMENTED,
                    format!("LAB-UNKNOWN: the lab's Teleport does not answer {path}"),
                )),
            },
        };
        respond(answer)
    }

    fn create(&self, message: &[u8]) -> Answer {
        let unreadable = || (INVALID_ARGUMENT, "LAB-UNKNOWN: a field".to_owned());
        let (name, token) = token(message).ok_or_else(unreadable)??;
        let mut tokens = self.0.lock().expect("no panic while held");
        if tokens.contains_key(&name) {
            return Err((ALREADY_EXISTS, format!("token {name} already exists")));
        }
        tokens.insert(name, token);
        Ok(())
    }

    fn delete(&self, message: &[u8]) -> Answer {
        let fields = fields(message).ok_or((INVALID_ARGUMENT, "no message".to_owned()))?;
        let name = text(&fields, 1).unwrap_or_default();
        let mut tokens = self.0.lock().expect("no panic while held");
        match tokens.remove(&name) {
            Some(_) => Ok(()),
            None => Err((NOT_FOUND, format!("token {name} not found"))),
        }
    }
}

/// `CreateTokenV2Request{v2 = 1: {kind = 1, version = 3, metadata = 4, spec = 5}}`. `None`: it is not read whole.
fn token(message: &[u8]) -> Option<Result<(String, Token), (u8, String)>> {
    let outer = known(fields(message)?, &[1])?;
    let token = known(fields(bytes(&outer, 1)?)?, &[1, 3, 4, 5])?;
    let metadata = known(fields(bytes(&token, 4)?)?, &[1, 3, 6])?;
    let spec = known(fields(bytes(&token, 5)?)?, &[1, 4])?;
    let wrong = |what: &str| Some(Err((INVALID_ARGUMENT, what.to_owned())));
    if text(&token, 1)? != "token" || text(&token, 3)? != "v2" {
        return wrong("not a provision token of version v2");
    }
    let name = text(&metadata, 1)?;
    let roles: Vec<String> = spec
        .iter()
        .filter(|(number, _)| *number == 1)
        .filter_map(|(_, value)| value.text())
        .collect();
    if name.is_empty() || roles.is_empty() || roles.iter().any(String::is_empty) {
        return wrong("a token needs a name and at least one role");
    }
    if text(&spec, 4)? != "token" {
        return wrong("the lab knows the join method token alone");
    }
    let expires = known(fields(bytes(&metadata, 6)?)?, &[1, 2])?;
    let seconds = expires
        .iter()
        .find(|(number, _)| *number == 1)?
        .1
        .number()?;
    let expires = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    Some(Ok((name, Token { roles, expires })))
}

/// A field's value on the wire.
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl Value<'_> {
    fn text(&self) -> Option<String> {
        match self {
            Self::Bytes(bytes) => String::from_utf8(bytes.to_vec()).ok(),
            Self::Number(_) => None,
        }
    }

    fn number(&self) -> Option<u64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::Bytes(_) => None,
        }
    }
}

type Fields<'a> = Vec<(u64, Value<'a>)>;

/// The fields if all of them are of these numbers.
fn known<'a>(fields: Fields<'a>, numbers: &[u64]) -> Option<Fields<'a>> {
    fields
        .iter()
        .all(|(number, _)| numbers.contains(number))
        .then_some(fields)
}

fn bytes<'a>(fields: &Fields<'a>, wanted: u64) -> Option<&'a [u8]> {
    fields.iter().find_map(|(number, value)| match value {
        Value::Bytes(bytes) if *number == wanted => Some(*bytes),
        _ => None,
    })
}

fn text(fields: &Fields<'_>, wanted: u64) -> Option<String> {
    String::from_utf8(bytes(fields, wanted)?.to_vec()).ok()
}

/// Splits a protobuf message into its fields; numbers and lengths alone, for nothing here has other types.
fn fields(mut rest: &[u8]) -> Option<Fields<'_>> {
    let mut fields = Vec::new();
    while !rest.is_empty() {
        let key = varint(&mut rest)?;
        let value = match key & 7 {
            0 => Value::Number(varint(&mut rest)?),
            2 => {
                let length = usize::try_from(varint(&mut rest)?).ok()?;
                let (value, after) = rest.split_at_checked(length)?;
                rest = after;
                Value::Bytes(value)
            }
            _ => return None,
        };
        fields.push((key >> 3, value));
    }
    Some(fields)
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// The message in a gRPC frame that is not compressed.
fn unframed(body: &[u8]) -> Option<&[u8]> {
    let (head, message) = body.split_at_checked(5)?;
    let length = u32::from_be_bytes(head[1..].try_into().ok()?);
    (head[0] == 0 && message.len() == length as usize).then_some(message)
}

/// An empty message and the status after it.
fn respond(
    answer: Answer,
) -> Response<impl hyper::body::Body<Data = Bytes, Error = std::convert::Infallible> + use<>> {
    let (code, sentence) = answer.err().unwrap_or((OK, String::new()));
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from(u16::from(code)));
    if let Ok(sentence) = HeaderValue::from_str(&sentence.replace('"', "'")) {
        trailers.insert("grpc-message", sentence);
    }
    let message = (code == OK).then(|| Ok(Frame::data(Bytes::from_static(&[0; 5]))));
    let frames = message.into_iter().chain([Ok(Frame::trailers(trailers))]);
    Response::builder()
        .header("content-type", "application/grpc")
        .body(StreamBody::new(stream::iter(frames)))
        .expect("constant headers")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `{number: bytes}`.
    fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
        let length = u8::try_from(bytes.len()).unwrap();
        [&[number << 3 | 2, length], bytes].concat()
    }

    fn request(kind: &str, role: &str, extra: &[u8]) -> Vec<u8> {
        let expires = [0x08, 0x64]; // seconds = 100
        let metadata = [field(1, b"abc"), field(6, &expires)].concat();
        let spec = [field(1, role.as_bytes()), field(4, b"token")].concat();
        let token = [
            field(1, kind.as_bytes()),
            field(3, b"v2"),
            field(4, &metadata),
            field(5, &spec),
            extra.to_vec(),
        ];
        field(1, &token.concat())
    }

    #[test]
    fn a_token_lets_in_whom_it_is_for_until_it_ends() {
        let tokens = Tokens::default();
        tokens.create(&request("token", "Kube", &[])).unwrap();
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(tokens.admits("abc", at(99)), Ok(()));
        assert_eq!(tokens.admits("abc", at(100)), Err(NoJoin::Expired));
        assert_eq!(tokens.admits("abd", at(99)), Err(NoJoin::Unknown));
        let again = tokens.create(&request("token", "Kube", &[]));
        assert_eq!(again.unwrap_err().0, ALREADY_EXISTS);
        tokens.delete(&field(1, b"abc")).unwrap();
        assert_eq!(tokens.delete(&field(1, b"abc")).unwrap_err().0, NOT_FOUND);
        tokens.create(&request("token", "Node", &[])).unwrap();
        assert_eq!(tokens.admits("abc", at(99)), Err(NoJoin::Role));
    }

    #[test]
    fn what_is_no_token_is_refused() {
        let tokens = Tokens::default();
        for request in [
            request("role", "Kube", &[]),
            request("token", "", &[]),
            request("token", "Kube", &field(7, b"status")),
            b"\x0a".to_vec(),
            Vec::new(),
        ] {
            assert_eq!(tokens.create(&request).unwrap_err().0, INVALID_ARGUMENT);
        }
        assert!(tokens.all().is_empty());
    }
}
