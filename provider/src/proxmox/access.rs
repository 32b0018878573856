//! Roles, users, tokens and the access control list. All writes share one lock of the cluster, so this process makes them one after the other.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

use super::Proxmox;
use super::client::{Parameters, absent};
use super::error::Error;
use crate::http::client::escape;
use crate::secret::Secret;

/// A user.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct User {
    /// What people wrote about it.
    #[serde(default)]
    pub comment: Option<String>,
}

/// A token, without its value.
#[derive(Debug, Clone, Deserialize)]
pub struct Token {
    /// Whether it has rights of its own only.
    #[serde(default)]
    pub privsep: Option<Value>,
    /// What people wrote about it.
    #[serde(default)]
    pub comment: Option<String>,
    /// When it ends, in seconds since 1970; 0 never.
    #[serde(default)]
    pub expire: Option<Value>,
}

impl Token {
    /// When it ends, in seconds since 1970, if ever. Numbers may come as texts.
    pub fn ends_at(&self) -> Option<i64> {
        let text = self.expire.as_ref()?.to_string();
        let seconds = text.trim_matches('"').parse().ok()?;
        (seconds > 0).then_some(seconds)
    }

    /// Whether it has rights of its own only; that is the default.
    pub fn is_separate(&self) -> bool {
        let text = self.privsep.as_ref().map(ToString::to_string);
        text.is_none_or(|text| text.trim_matches('"') == "1")
    }
}

/// A line of the access control list.
#[derive(Debug, Clone, Deserialize)]
pub struct Line {
    /// What it is about, `/vms/100`.
    pub path: String,
    /// `user`, `group` or `token`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Who.
    pub ugid: String,
    /// Which role.
    pub roleid: String,
    /// Whether it holds below the path, too.
    #[serde(default)]
    pub propagate: u8,
}

/// Who gets a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// On what.
    pub path: String,
    /// `user@realm`, or `user@realm!token`.
    pub who: String,
    /// The role.
    pub role: String,
}

impl Grant {
    fn kind(&self) -> &'static str {
        if self.who.contains('!') {
            "token"
        } else {
            "user"
        }
    }

    fn is(&self, line: &Line) -> bool {
        line.path == self.path
            && line.kind == self.kind()
            && line.ugid == self.who
            && line.roleid == self.role
    }
}

impl Proxmox {
    /// Privileges of a role.
    pub async fn role(&self, name: &str) -> Result<Option<BTreeSet<String>>, Error> {
        let path = format!("access/roles/{}", escape(name));
        let role: Option<BTreeMap<String, Value>> =
            self.client.get(&path).await.map(Some).or_else(absent)?;
        Ok(role.map(|role| role.into_keys().collect()))
    }

    /// Makes a role.
    pub async fn create_role(
        &self,
        name: &str,
        privileges: &BTreeSet<String>,
    ) -> Result<(), Error> {
        let _turn = self.access.lock().await;
        let body = Parameters::from([("roleid", name.to_owned()), ("privs", list(privileges))]);
        self.client
            .create_once("access/roles", &body)
            .await
            .map(drop)
    }

    /// Gives a role exactly these privileges.
    pub async fn change_role(
        &self,
        name: &str,
        privileges: &BTreeSet<String>,
    ) -> Result<(), Error> {
        let _turn = self.access.lock().await;
        let path = format!("access/roles/{}", escape(name));
        let body = Parameters::from([("privs", list(privileges))]);
        self.client.put(&path, &body).await.map(drop)
    }

    /// Deletes a role with all it was given for; one that is not there is success.
    pub async fn delete_role(&self, name: &str) -> Result<(), Error> {
        self.remove(&format!("access/roles/{}", escape(name))).await
    }

    /// A user.
    pub async fn user(&self, name: &str) -> Result<Option<User>, Error> {
        let path = format!("access/users/{}", escape(name));
        self.client.get(&path).await.map(Some).or_else(absent)
    }

    /// Makes a user, who cannot log in: it is for tokens.
    pub async fn create_user(&self, name: &str, comment: &str) -> Result<(), Error> {
        let _turn = self.access.lock().await;
        let body = Parameters::from([("userid", name.to_owned()), ("comment", comment.to_owned())]);
        self.client
            .create_once("access/users", &body)
            .await
            .map(drop)
    }

    /// Changes what is written about a user.
    pub async fn change_user(&self, name: &str, comment: &str) -> Result<(), Error> {
        let _turn = self.access.lock().await;
        let path = format!("access/users/{}", escape(name));
        let body = Parameters::from([("comment", comment.to_owned())]);
        self.client.put(&path, &body).await.map(drop)
    }

    /// Deletes a user with tokens and rights; one that is not there is success.
    pub async fn delete_user(&self, name: &str) -> Result<(), Error> {
        self.remove(&format!("access/users/{}", escape(name))).await
    }

    /// A token; its value is told to nobody.
    pub async fn token(&self, user: &str, name: &str) -> Result<Option<Token>, Error> {
        self.client
            .get(&token_path(user, name))
            .await
            .map(Some)
            .or_else(absent)
    }

    /// Makes a token. The value is in this answer and nowhere else.
    pub async fn create_token(
        &self,
        user: &str,
        name: &str,
        separate: bool,
        comment: &str,
    ) -> Result<Secret<String>, Error> {
        #[derive(Deserialize)]
        struct Made {
            value: String,
        }
        let _turn = self.access.lock().await;
        let body = Parameters::from([
            ("privsep", u8::from(separate).to_string()),
            ("comment", comment.to_owned()),
        ]);
        let made = self
            .client
            .create_once(&token_path(user, name), &body)
            .await?;
        let made: Made =
            serde_json::from_value(made).map_err(|_| Error::Unexpected("POST token"))?;
        Ok(Secret::new(made.value))
    }

    /// Changes whether a token has rights of its own only.
    pub async fn change_token(&self, user: &str, name: &str, separate: bool) -> Result<(), Error> {
        let _turn = self.access.lock().await;
        let body = Parameters::from([("privsep", u8::from(separate).to_string())]);
        self.client
            .put(&token_path(user, name), &body)
            .await
            .map(drop)
    }

    /// Deletes a token; one that is not there is success.
    pub async fn delete_token(&self, user: &str, name: &str) -> Result<(), Error> {
        self.remove(&token_path(user, name)).await
    }

    /// Whether a role is given, and whether it holds below the path.
    pub async fn grant(&self, grant: &Grant) -> Result<Option<bool>, Error> {
        let lines: Vec<Line> = self.client.get("access/acl").await?;
        let line = lines.into_iter().find(|line| grant.is(line));
        Ok(line.map(|line| line.propagate == 1))
    }

    /// Gives a role; the same again changes nothing.
    pub async fn give(&self, grant: &Grant, propagate: bool) -> Result<(), Error> {
        self.change_acl(grant, "propagate", u8::from(propagate))
            .await
    }

    /// Takes a role away; one that was not given is success.
    pub async fn take(&self, grant: &Grant) -> Result<(), Error> {
        match self.change_acl(grant, "delete", 1).await {
            // Role or user are gone, and the line with them.
            Err(error) if error.is_not_found() => Ok(()),
            answer => answer,
        }
    }

    async fn change_acl(&self, grant: &Grant, how: &'static str, value: u8) -> Result<(), Error> {
        let _turn = self.access.lock().await;
        let whom = if grant.kind() == "token" {
            "tokens"
        } else {
            "users"
        };
        let body = Parameters::from([
            ("path", grant.path.clone()),
            ("roles", grant.role.clone()),
            (whom, grant.who.clone()),
            (how, value.to_string()),
        ]);
        self.client.put("access/acl", &body).await.map(drop)
    }

    async fn remove(&self, path: &str) -> Result<(), Error> {
        let _turn = self.access.lock().await;
        self.client
            .delete(path)
            .await
            .map(Some)
            .or_else(absent)
            .map(drop)
    }
}

fn list(names: &BTreeSet<String>) -> String {
    names
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(",")
}

fn token_path(user: &str, name: &str) -> String {
    format!("access/users/{}/token/{}", escape(user), escape(name))
}
