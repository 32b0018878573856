//! A client that knows the protocol from its `.proto` file: any method by name, messages in the notation of the
//! transcripts. It shares no code with the framework, or both would make the same mistake.

use http::uri::PathAndQuery;
use hyper_util::rt::TokioIo;
use prost::Message as _;
use prost::bytes::{Buf as _, BufMut as _};
use prost_reflect::{DescriptorPool, DynamicMessage, MethodDescriptor};
use serde_json::Value as Json;
use strata_framework::{Provider, Registry, serve_local};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use crate::notation;

const SERVICES: [&str; 2] = ["tfplugin6.Provider", "plugin.GRPCController"];

pub(crate) struct Client {
    pool: DescriptorPool,
    channel: Channel,
}

impl Client {
    /// Starts a provider of its own and connects to it.
    pub(crate) async fn start<P: Provider>(registry: Registry<P>) -> Self {
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        tokio::spawn(async move { serve_local(registry, theirs).await });
        let mut ours = Some(ours);
        let connector = tower::service_fn(move |_| {
            let stream = ours.take().map(TokioIo::new);
            async move { stream.ok_or_else(|| std::io::Error::other("the provider has ended")) }
        });
        let endpoint = Endpoint::from_static("http://provider");
        let channel = endpoint.connect_with_connector(connector).await.unwrap();
        let protos = concat!(env!("CARGO_MANIFEST_DIR"), "/../../proto/protobuf");
        let files = protox::compile(["tfplugin6.proto", "plugin.proto"], [protos]).unwrap();
        let pool = DescriptorPool::from_file_descriptor_set(files).unwrap();
        Self { pool, channel }
    }

    fn method(&self, name: &str) -> MethodDescriptor {
        let mut all = SERVICES
            .iter()
            .map(|service| self.pool.get_service_by_name(service).unwrap())
            .flat_map(|service| service.methods().collect::<Vec<_>>());
        all.find(|method| method.name() == name)
            .unwrap_or_else(|| panic!("there is no method {name}"))
    }

    /// All messages of the answer; unary methods have one.
    pub(crate) async fn call(&self, name: &str, request: &Json) -> Result<Vec<Json>, Status> {
        let method = self.method(name);
        let path = format!("/{}/{name}", method.parent_service().full_name());
        let path: PathAndQuery = path.parse().unwrap();
        let message = notation::read(request, &method.input());
        let mut grpc = tonic::client::Grpc::new(self.channel.clone());
        grpc.ready()
            .await
            .map_err(|error| Status::unavailable(error.to_string()))?;
        let codec = Dynamic(method.clone());
        let request = Request::new(message);
        let mut answers = Vec::new();
        if method.is_server_streaming() {
            let mut stream = grpc
                .server_streaming(request, path, codec)
                .await?
                .into_inner();
            while let Some(message) = stream.message().await? {
                answers.push(notation::show(&message));
            }
        } else {
            let message = grpc.unary(request, path, codec).await?.into_inner();
            answers.push(notation::show(&message));
        }
        Ok(answers)
    }
}

/// Encodes and decodes the messages of one method.
struct Dynamic(MethodDescriptor);

impl Codec for Dynamic {
    type Encode = DynamicMessage;
    type Decode = DynamicMessage;
    type Encoder = Self;
    type Decoder = Self;
    fn encoder(&mut self) -> Self {
        Self(self.0.clone())
    }
    fn decoder(&mut self) -> Self {
        Self(self.0.clone())
    }
}

impl Encoder for Dynamic {
    type Item = DynamicMessage;
    type Error = Status;
    fn encode(&mut self, message: DynamicMessage, out: &mut EncodeBuf<'_>) -> Result<(), Status> {
        out.put_slice(&message.encode_to_vec());
        Ok(())
    }
}

impl Decoder for Dynamic {
    type Item = DynamicMessage;
    type Error = Status;
    fn decode(&mut self, bytes: &mut DecodeBuf<'_>) -> Result<Option<DynamicMessage>, Status> {
        let bytes = bytes.copy_to_bytes(bytes.remaining());
        DynamicMessage::decode(self.0.output(), bytes)
            .map(Some)
            .map_err(|error| Status::internal(error.to_string()))
    }
}
