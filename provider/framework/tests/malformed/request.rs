//! Requests: valid ones, built from the schema that the provider gives, and the same with one value replaced.

use std::collections::BTreeMap;

use prost::Message as _;
use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MethodDescriptor, ReflectMessage as _, Value,
};
use strata_proto::tfplugin6 as wire;

use crate::client::Client;

/// msgpack: null.
pub(crate) const NULL: &[u8] = &[0xc0];

/// msgpack: a text.
pub(crate) fn text(text: &str) -> Vec<u8> {
    let length = u32::try_from(text.len()).unwrap();
    [&[0xdb], &length.to_be_bytes()[..], text.as_bytes()].concat()
}

/// msgpack: a map of anything.
pub(crate) fn map(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = vec![0xdf];
    out.extend(u32::try_from(entries.len()).unwrap().to_be_bytes());
    for (key, value) in entries {
        out.extend(text(key));
        out.extend(*value);
    }
    out
}

/// msgpack: a value with its type.
pub(crate) fn dynamic(of: &str, value: &[u8]) -> Vec<u8> {
    let length = u32::try_from(of.len()).unwrap();
    [
        &[0x92, 0xc6],
        &length.to_be_bytes()[..],
        of.as_bytes(),
        value,
    ]
    .concat()
}

pub(crate) fn msgpack(msgpack: Vec<u8>) -> wire::DynamicValue {
    wire::DynamicValue {
        msgpack,
        json: Vec::new(),
    }
}

/// Makes valid requests.
pub(crate) struct Requests {
    schema: wire::get_provider_schema::Response,
}

impl Requests {
    pub(crate) async fn new(client: &Client) -> Self {
        let answer = client
            .send(client.method("GetProviderSchema"), Vec::new())
            .await
            .unwrap();
        let bytes = answer[0].encode_to_vec();
        Self {
            schema: wire::get_provider_schema::Response::decode(&bytes[..]).unwrap(),
        }
    }

    fn block(&self, kind: &str) -> wire::schema::Block {
        let schema = match kind {
            "thing" => &self.schema.resource_schemas["world_thing"],
            "look" => &self.schema.data_source_schemas["world_look"],
            "loan" => &self.schema.ephemeral_resource_schemas["world_loan"],
            _ => self.schema.provider.as_ref().unwrap(),
        };
        schema.block.clone().unwrap()
    }

    /// An object of this kind: null where nothing is given.
    pub(crate) fn object(&self, kind: &str, given: &[(&str, &[u8])]) -> Vec<u8> {
        let block = self.block(kind);
        let given: BTreeMap<_, _> = given.iter().copied().collect();
        let attributes = block.attributes.iter().map(|one| (one.name.as_str(), NULL));
        let blocks = block.block_types.iter().map(|one| {
            let empty: &[u8] = match one.nesting() {
                wire::schema::nested_block::NestingMode::List
                | wire::schema::nested_block::NestingMode::Set => &[0x90],
                wire::schema::nested_block::NestingMode::Map => &[0x80],
                _ => NULL,
            };
            (one.type_name.as_str(), empty)
        });
        let entries = attributes.chain(blocks);
        let entries: Vec<_> = entries
            .map(|(name, empty)| (name, given.get(name).copied().unwrap_or(empty)))
            .collect();
        map(&entries)
    }

    /// What a method's value fields are about.
    pub(crate) fn kind(method: &MethodDescriptor) -> &'static str {
        let name = method.name();
        if name.contains("DataSource") || name.contains("DataResource") {
            "look"
        } else if name.contains("Ephemeral") {
            "loan"
        } else if name.contains("Provider") {
            "provider"
        } else {
            "thing"
        }
    }

    /// A request that the provider answers without an error, if it offers the method at all.
    pub(crate) fn valid(&self, method: &MethodDescriptor) -> DynamicMessage {
        let kind = Self::kind(method);
        let mut message = DynamicMessage::new(method.input());
        for field in method.input().fields() {
            if let Some(value) = self.field(method, kind, &field) {
                message.set_field(&field, value);
            }
        }
        message
    }

    fn field(
        &self,
        method: &MethodDescriptor,
        kind: &str,
        field: &FieldDescriptor,
    ) -> Option<Value> {
        let named: &[u8] = &text("valid");
        let string = |text: &str| Some(Value::String(text.to_owned()));
        match field.name() {
            "type_name" | "source_type_name" | "target_type_name" | "action_type" => {
                string(&format!("world_{kind}"))
            }
            "name" => string("all"),
            "id" => string("valid"),
            "terraform_version" => string("1.11.4"),
            "source_provider_address" => string("registry.terraform.io/acme/acme"),
            // Without a version of their own, states are old and go through `upgrade`.
            "raw_state" | "source_state" => {
                let state = wire::RawState {
                    json: br#"{"name": "valid", "id": "valid", "number": "1e3", "any": null}"#
                        .to_vec(),
                    ..Default::default()
                };
                Some(self::message(field, &state))
            }
            "raw_identity" => {
                let state = wire::RawState {
                    json: br#"{"name": "valid"}"#.to_vec(),
                    ..Default::default()
                };
                Some(self::message(field, &state))
            }
            "client_capabilities" => {
                let capabilities = wire::ClientCapabilities {
                    write_only_attributes_allowed: true,
                    ..Default::default()
                };
                Some(self::message(field, &capabilities))
            }
            "private" | "prior_private" | "planned_private" => {
                let private = match method.name() {
                    "RenewEphemeralResource" | "CloseEphemeralResource" => {
                        r#"{".strata":1,"value":[1,"lease"]}"#
                    }
                    _ => r#"{".strata":1,"value":{"made":1}}"#,
                };
                Some(Value::Bytes(private.as_bytes().to_vec().into()))
            }
            // An update in which something changes; what only repeats itself is not looked at.
            "planned_state" => {
                let state =
                    self.object(kind, &[("name", named), ("id", named), ("truth", &[0xc3])]);
                Some(self::message(field, &msgpack(state)))
            }
            "config" => Some(self::message(
                field,
                &msgpack(self.object(kind, &[("name", named)])),
            )),
            "prior_state" | "proposed_new_state" | "current_state" | "state" => {
                let state = self.object(kind, &[("name", named), ("id", named)]);
                Some(self::message(field, &msgpack(state)))
            }
            "identity" | "current_identity" | "prior_identity" | "planned_identity" => {
                // An import is by id or by identity.
                let identity_data = Some(msgpack(map(&[("name", named)])));
                (method.name() != "ImportResourceState")
                    .then(|| self::message(field, &wire::ResourceIdentityData { identity_data }))
            }
            "arguments" => {
                let arguments = [
                    dynamic("\"string\"", named),
                    vec![0x01],
                    map(&[("a", &[0x91, 0xa1, b'x'])]),
                    vec![0x07],
                ];
                let all = arguments.map(|argument| self::message(field, &msgpack(argument)));
                Some(Value::List(all.into()))
            }
            _ => None,
        }
    }
}

/// A message as the value of a field.
fn message(field: &FieldDescriptor, message: &impl prost::Message) -> Value {
    let Kind::Message(descriptor) = field.kind() else {
        panic!("{} is no message", field.full_name());
    };
    let mut all = DynamicMessage::new(descriptor);
    all.merge(&message.encode_to_vec()[..]).unwrap();
    Value::Message(all)
}

/// The fields of a request that hold a value which the provider must read.
pub(crate) fn values(method: &MethodDescriptor) -> Vec<FieldDescriptor> {
    let is_value = |field: &FieldDescriptor| match field.kind() {
        Kind::Message(message) => matches!(
            message.name(),
            "DynamicValue" | "RawState" | "ResourceIdentityData"
        ),
        _ => false,
    };
    // Nothing here has a schema for provider_meta, and the identity of what is moved here is of another type.
    let unread = ["provider_meta", "source_identity"];
    let read = |field: &FieldDescriptor| is_value(field) && !unread.contains(&field.name());
    method.input().fields().filter(read).collect()
}

/// The request with this in place of one value. In a list every element is replaced.
pub(crate) fn with(
    request: &DynamicMessage,
    field: &FieldDescriptor,
    value: &wire::DynamicValue,
) -> DynamicMessage {
    let mut request = request.clone();
    let value = match field.kind() {
        Kind::Message(message) if message.name() == "RawState" => {
            // What is msgpack elsewhere is no JSON.
            let json = [&value.msgpack[..], &value.json].concat();
            self::message(
                field,
                &wire::RawState {
                    json,
                    ..Default::default()
                },
            )
        }
        Kind::Message(message) if message.name() == "ResourceIdentityData" => {
            let identity_data = Some(value.clone());
            self::message(field, &wire::ResourceIdentityData { identity_data })
        }
        _ => self::message(field, value),
    };
    let value = if field.is_list() {
        Value::List(vec![value; 4])
    } else {
        value
    };
    request.set_field(field, value);
    request
}

/// Whether an answer says that something is wrong.
pub(crate) fn complains(answer: &Result<Vec<DynamicMessage>, tonic::Status>) -> bool {
    let Ok(messages) = answer else {
        return true;
    };
    messages.iter().any(|message| {
        let error = |one: &Value| {
            let one = one.as_message().unwrap();
            one.get_field_by_name("severity").unwrap().as_enum_number() == Some(1)
        };
        let named = |name: &str| {
            let field = message.descriptor().get_field_by_name(name)?;
            message
                .has_field(&field)
                .then(|| message.get_field(&field).into_owned())
        };
        let diagnostics = named("diagnostics").or_else(|| named("diagnostic"));
        diagnostics.is_some_and(|all| all.as_list().unwrap().iter().any(error))
            || named("error").is_some()
    })
}

/// An answer in a few words: its diagnostics, and the names of its other fields.
pub(crate) fn show(answer: &Result<Vec<DynamicMessage>, tonic::Status>) -> String {
    let messages = match answer {
        Ok(messages) => messages,
        Err(status) => return format!("{:?}: {}", status.code(), status.message()),
    };
    let mut words = Vec::new();
    for (field, value) in messages.iter().flat_map(DynamicMessage::fields) {
        words.push(field.name().to_owned());
        if field.name().starts_with("diagnostic") {
            for one in value.as_list().unwrap() {
                let one = one.as_message().unwrap();
                for name in ["summary", "detail"] {
                    let text = one.get_field_by_name(name).unwrap();
                    words.push(text.as_str().unwrap().to_owned());
                }
            }
        }
    }
    words.join(" / ")
}

/// A method that is offered answers without a complaint.
pub(crate) fn is_served(
    method: &MethodDescriptor,
    answer: &Result<Vec<DynamicMessage>, tonic::Status>,
) {
    let offered = !matches!(answer, Err(status) if status.code() == tonic::Code::Unimplemented);
    assert!(
        !offered || !complains(answer),
        "{}: {}",
        method.name(),
        show(answer)
    );
}
