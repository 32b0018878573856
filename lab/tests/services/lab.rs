//! One lab per test with a clock that stands still, and a client that speaks JSON to it.

use http::{Method, StatusCode};
use serde_json::{Value, json};
use strata_lab::{Lab, Options};

use crate::client::{Answer, Client, Failed};

/// A lab and a client for it.
pub(crate) struct Bench {
    pub(crate) lab: Lab,
    client: Client,
}

/// Status and body, as JSON when it is that.
async fn ask(
    client: &Client,
    method: Method,
    url: &str,
    body: Option<Value>,
) -> Result<(StatusCode, Value), Failed> {
    let Answer { status, text, .. } = client.send(method, url, body.as_ref()).await?;
    Ok((
        status,
        serde_json::from_str(&text).unwrap_or(Value::String(text)),
    ))
}

impl Bench {
    pub(crate) async fn start() -> Self {
        let options = Options {
            speed: 0.001,
            ..Options::default()
        };
        Self {
            lab: Lab::start(options).await.unwrap(),
            client: Client::default(),
        }
    }

    pub(crate) fn env(&self, name: &str) -> &str {
        &self.lab.env()[name]
    }

    /// A call to the control API.
    pub(crate) async fn control(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        let url = format!("{}{path}", self.lab.url());
        ask(&self.client, method, &url, body).await.unwrap()
    }

    /// A call to Scaleway, below the version of the product.
    pub(crate) async fn try_scaleway(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> Result<(StatusCode, Value), Failed> {
        let url = format!("{}{path}", self.env("SCW_API_URL"));
        let client = self.client.with("x-auth-token", self.env("SCW_SECRET_KEY"));
        ask(&client, method, &url, body).await
    }

    pub(crate) async fn scaleway(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        self.try_scaleway(method, path, body).await.unwrap()
    }

    /// A call to Cloudflare, below its base address.
    pub(crate) async fn cloudflare(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        let url = format!("{}{path}", self.env("CLOUDFLARE_BASE_URL"));
        let client = self.client.with_bearer(self.env("CLOUDFLARE_API_TOKEN"));
        ask(&client, method, &url, body).await.unwrap()
    }

    /// A call to Infisical, logged in once per call.
    pub(crate) async fn infisical(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        let (status, login) = self.login().await;
        assert_eq!(status, StatusCode::OK, "{login}");
        let token = login["accessToken"].as_str().unwrap();
        self.infisical_as(token, method, path, body).await
    }

    /// A call to Infisical with this token.
    pub(crate) async fn infisical_as(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        let url = format!("{}{path}", self.env("INFISICAL_HOST"));
        let client = self.client.with_bearer(token);
        ask(&client, method, &url, body).await.unwrap()
    }

    /// Logs in to Infisical with the lab's identity.
    pub(crate) async fn login(&self) -> (StatusCode, Value) {
        self.login_with(self.env("INFISICAL_UNIVERSAL_AUTH_CLIENT_SECRET"))
            .await
    }

    /// Logs in to Infisical with this client secret.
    pub(crate) async fn login_with(&self, secret: &str) -> (StatusCode, Value) {
        let url = format!(
            "{}/api/v1/auth/universal-auth/login",
            self.env("INFISICAL_HOST")
        );
        let id = self.env("INFISICAL_UNIVERSAL_AUTH_CLIENT_ID");
        let body = json!({ "clientId": id, "clientSecret": secret });
        ask(&self.client, Method::POST, &url, Some(body))
            .await
            .unwrap()
    }

    /// A call to Vault, below `/v1/`, with the root token.
    pub(crate) async fn vault(
        &self,
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        let headers = [("x-vault-token", self.env("VAULT_TOKEN"))];
        self.vault_with(&headers, method, path, body).await
    }

    /// A call to Vault with these headers.
    pub(crate) async fn vault_with(
        &self,
        headers: &[(&str, &str)],
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        self.try_vault(headers, method, path, body).await.unwrap()
    }

    pub(crate) async fn try_vault(
        &self,
        headers: &[(&str, &str)],
        method: &str,
        path: &str,
        body: Option<Value>,
    ) -> Result<(StatusCode, Value), Failed> {
        let url = format!("{}/v1/{path}", self.env("VAULT_ADDR"));
        let add = |client: Client, (name, value): &(&str, &str)| client.with(name, value);
        let client = headers.iter().fold(self.client.clone(), add);
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        ask(&client, method, &url, body).await
    }

    /// A change behind everyone's back.
    pub(crate) async fn change(&self, change: Value) {
        let (status, answer) = self.control(Method::POST, "/estate", Some(change)).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
    }

    /// A request with headers of the test's choice.
    pub(crate) async fn raw(&self, url: &str, headers: &[(&str, &str)]) -> Answer {
        let client = headers
            .iter()
            .fold(self.client.clone(), |client, (name, value)| {
                client.with(name, value)
            });
        client.get(url).await.unwrap()
    }

    pub(crate) async fn advance(&self, seconds: u64) {
        let (status, _) = self
            .control(
                Method::POST,
                "/clock/advance",
                Some(json!({ "seconds": seconds })),
            )
            .await;
        assert_eq!(status, StatusCode::OK);
    }

    pub(crate) async fn fault(&self, fault: Value) {
        let (status, answer) = self.control(Method::POST, "/faults", Some(fault)).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
    }

    pub(crate) async fn calls(&self) -> Value {
        self.control(Method::GET, "/calls", None).await.1
    }
}
