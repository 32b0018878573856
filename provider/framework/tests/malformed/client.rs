//! A client that sends any bytes as any call, on one connection to a provider of its own.

use http::uri::PathAndQuery;
use http_body_util::Full;
use hyper_util::rt::TokioIo;
use prost::bytes::{Buf as _, BufMut as _, Bytes};
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor};
use strata_framework::serve_local;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};
use tower::ServiceExt as _;

use crate::world;

pub(crate) struct Client {
    channel: Channel,
    methods: Vec<MethodDescriptor>,
}

impl Client {
    pub(crate) async fn start() -> Self {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        tokio::spawn(async move { serve_local(world::registry(), theirs).await });
        let mut ours = Some(ours);
        let connector = tower::service_fn(move |_| {
            let stream = ours.take().map(TokioIo::new);
            async move { stream.ok_or_else(|| std::io::Error::other("the provider has ended")) }
        });
        let endpoint = Endpoint::from_static("http://provider");
        let channel = endpoint.connect_with_connector(connector).await.unwrap();
        let protos = concat!(env!("CARGO_MANIFEST_DIR"), "/../../proto/protobuf");
        let files = protox::compile(["tfplugin6.proto"], [protos]).unwrap();
        let pool = DescriptorPool::from_file_descriptor_set(files).unwrap();
        let service = pool.get_service_by_name("tfplugin6.Provider").unwrap();
        let methods = service.methods().collect();
        Self { channel, methods }
    }

    /// Every method of the provider's service that takes one message.
    pub(crate) fn methods(&self) -> impl Iterator<Item = &MethodDescriptor> {
        let all = self.methods.iter();
        all.filter(|method| !method.is_client_streaming())
    }

    pub(crate) fn method(&self, name: &str) -> &MethodDescriptor {
        self.methods
            .iter()
            .find(|method| method.name() == name)
            .unwrap_or_else(|| panic!("there is no method {name}"))
    }

    /// All messages of the answer, which are of the method's type.
    pub(crate) async fn send(
        &self,
        method: &MethodDescriptor,
        message: Vec<u8>,
    ) -> Result<Vec<DynamicMessage>, Status> {
        let path: PathAndQuery = path(method).parse().unwrap();
        let mut grpc = tonic::client::Grpc::new(self.channel.clone())
            .max_decoding_message_size(usize::MAX)
            .max_encoding_message_size(usize::MAX);
        grpc.ready()
            .await
            .map_err(|error| Status::unavailable(error.to_string()))?;
        let answer = grpc
            .server_streaming(Request::new(message), path, Raw)
            .await?;
        let (mut stream, mut all) = (answer.into_inner(), Vec::new());
        while let Some(bytes) = stream.message().await? {
            let message = DynamicMessage::decode(method.output(), &bytes[..]);
            all.push(message.expect("an answer of the method's type"));
        }
        Ok(all)
    }

    /// Sends a body as it is, with its framing; gives the status of the answer.
    pub(crate) async fn send_body(&self, method: &MethodDescriptor, body: Vec<u8>) -> Status {
        let request = http::Request::post(format!("http://provider{}", path(method)))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(tonic::body::Body::new(Full::new(Bytes::from(body))))
            .unwrap();
        let answer = self.channel.clone().oneshot(request).await.unwrap();
        if let Some(status) = Status::from_header_map(answer.headers()) {
            return status;
        }
        let body = http_body_util::BodyExt::collect(answer.into_body()).await;
        let body = match body {
            Ok(body) => body,
            Err(status) => return status,
        };
        let trailers = body.trailers().cloned().unwrap_or_default();
        Status::from_header_map(&trailers).expect("a status at the end")
    }
}

fn path(method: &MethodDescriptor) -> String {
    format!("/{}/{}", method.parent_service().full_name(), method.name())
}

/// Bytes in, bytes out.
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;
    fn encoder(&mut self) -> Self {
        Self
    }
    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;
    fn encode(&mut self, message: Vec<u8>, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put_slice(&message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;
    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut all = vec![0; bytes.remaining()];
        bytes.copy_to_slice(&mut all);
        Ok(Some(all))
    }
}
