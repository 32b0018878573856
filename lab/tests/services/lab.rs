//! One lab per test with a clock that stands still, and a client that speaks JSON to it.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use strata_lab::{Lab, Options};

/// A lab and a client for it.
pub(crate) struct Bench {
    pub(crate) lab: Lab,
    client: reqwest::Client,
}

impl Bench {
    pub(crate) async fn start() -> Self {
        // Fails when another test of this process was first, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let options = Options {
            speed: 0.001,
            ..Options::default()
        };
        Self {
            lab: Lab::start(options).await.unwrap(),
            client: reqwest::Client::builder().no_proxy().build().unwrap(),
        }
    }

    pub(crate) fn env(&self, name: &str) -> &str {
        &self.lab.env()[name]
    }

    async fn send(
        &self,
        request: reqwest::RequestBuilder,
        body: Option<Value>,
    ) -> reqwest::Result<(StatusCode, Value)> {
        let request = match body {
            Some(body) => request
                .header("content-type", "application/json")
                .body(body.to_string()),
            None => request,
        };
        let response = request.send().await?;
        let status = response.status();
        let text = response.text().await?;
        Ok((
            status,
            serde_json::from_str(&text).unwrap_or(Value::String(text)),
        ))
    }

    /// A call to the control API.
    pub(crate) async fn control(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> (StatusCode, Value) {
        let request = self
            .client
            .request(method, format!("{}{path}", self.lab.url()));
        self.send(request, body).await.unwrap()
    }

    /// A call to Scaleway, below the version of the product.
    pub(crate) async fn try_scaleway(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> reqwest::Result<(StatusCode, Value)> {
        let url = format!("{}{path}", self.env("SCW_API_URL"));
        self.send(
            self.client
                .request(method, url)
                .header("X-Auth-Token", self.env("SCW_SECRET_KEY")),
            body,
        )
        .await
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
        self.send(
            self.client
                .request(method, url)
                .bearer_auth(self.env("CLOUDFLARE_API_TOKEN")),
            body,
        )
        .await
        .unwrap()
    }

    /// A request with headers of the test's choice.
    pub(crate) async fn raw(&self, url: &str, headers: &[(&str, &str)]) -> reqwest::Response {
        let mut request = self.client.get(url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
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
