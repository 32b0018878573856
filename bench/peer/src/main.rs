//! The null provider of the framework's examples, written with tf-provider 0.2.2: same resource, same behaviour.
//!
//! `peer_data` remembers a value. Nothing is tuned and nothing held back: this is what that crate does as published.

use std::collections::HashMap;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tf_provider::schema::{
    Attribute, AttributeConstraint, AttributeType, Block, Description, Schema,
};
use tf_provider::value::{Value, ValueEmpty, ValueMap, ValueString};
use tf_provider::{
    AttributePath, Diagnostics, DynamicDataSource, DynamicResource, Provider, Resource, map, serve,
};

#[derive(Debug, Clone, Serialize, Deserialize, Default)]
struct Data<'a> {
    #[serde(borrow = "'a")]
    input: ValueString<'a>,
    output: ValueString<'a>,
    triggers_replace: ValueMap<'a, ValueString<'a>>,
    id: ValueString<'a>,
}

fn attribute(
    attr_type: AttributeType,
    constraint: AttributeConstraint,
    description: &str,
) -> Attribute {
    Attribute {
        attr_type,
        constraint,
        description: Description::plain(description),
        ..Attribute::default()
    }
}

#[derive(Debug)]
struct DataResource;

#[async_trait]
impl Resource for DataResource {
    type State<'a> = Data<'a>;
    type PrivateState<'a> = ValueEmpty;
    type ProviderMetaState<'a> = ValueEmpty;

    fn schema(&self, _: &mut Diagnostics) -> Option<Schema> {
        let text = || AttributeType::String;
        Some(Schema {
            version: 0,
            block: Block {
                description: Description::plain("A value that is remembered."),
                attributes: map! {
                    "input" => attribute(text(), AttributeConstraint::Optional, "What to remember."),
                    "output" => attribute(text(), AttributeConstraint::Computed, "What was remembered."),
                    "triggers_replace" => attribute(
                        AttributeType::Map(AttributeType::String.into()),
                        AttributeConstraint::Optional,
                        "Anything. A change replaces the object.",
                    ),
                    "id" => attribute(text(), AttributeConstraint::Computed, "Made from what is remembered."),
                },
                ..Block::default()
            },
        })
    }

    async fn read<'a>(
        &self,
        _: &mut Diagnostics,
        state: Data<'a>,
        private: ValueEmpty,
        _: ValueEmpty,
    ) -> Option<(Data<'a>, ValueEmpty)> {
        Some((state, private))
    }

    async fn plan_create<'a>(
        &self,
        _: &mut Diagnostics,
        mut proposed: Data<'a>,
        _: Data<'a>,
        _: ValueEmpty,
    ) -> Option<(Data<'a>, ValueEmpty)> {
        proposed.id = Value::Unknown;
        proposed.output = Value::Unknown;
        Some((proposed, ValueEmpty::default()))
    }

    async fn plan_update<'a>(
        &self,
        _: &mut Diagnostics,
        prior: Data<'a>,
        mut proposed: Data<'a>,
        _: Data<'a>,
        private: ValueEmpty,
        _: ValueEmpty,
    ) -> Option<(Data<'a>, ValueEmpty, Vec<AttributePath>)> {
        if proposed.input != prior.input {
            proposed.output = Value::Unknown;
        }
        let mut replace = Vec::new();
        if proposed.triggers_replace != prior.triggers_replace {
            replace.push(AttributePath::new("triggers_replace"));
        }
        Some((proposed, private, replace))
    }

    async fn plan_destroy<'a>(
        &self,
        _: &mut Diagnostics,
        _: Data<'a>,
        private: ValueEmpty,
        _: ValueEmpty,
    ) -> Option<ValueEmpty> {
        Some(private)
    }

    async fn create<'a>(
        &self,
        _: &mut Diagnostics,
        mut planned: Data<'a>,
        _: Data<'a>,
        private: ValueEmpty,
        _: ValueEmpty,
    ) -> Option<(Data<'a>, ValueEmpty)> {
        planned.id = ValueString::from(format!(
            "id of {}",
            planned.input.as_deref_option().unwrap_or_default()
        ));
        planned.output = planned.input.clone();
        Some((planned, private))
    }

    async fn update<'a>(
        &self,
        _: &mut Diagnostics,
        _: Data<'a>,
        mut planned: Data<'a>,
        _: Data<'a>,
        private: ValueEmpty,
        _: ValueEmpty,
    ) -> Option<(Data<'a>, ValueEmpty)> {
        planned.output = planned.input.clone();
        Some((planned, private))
    }

    async fn destroy<'a>(
        &self,
        _: &mut Diagnostics,
        _: Data<'a>,
        _: ValueEmpty,
        _: ValueEmpty,
    ) -> Option<()> {
        Some(())
    }
}

struct Peer;

#[async_trait]
impl Provider for Peer {
    type Config<'a> = ValueEmpty;
    type MetaState<'a> = ValueEmpty;

    fn schema(&self, _: &mut Diagnostics) -> Option<Schema> {
        Some(Schema {
            version: 0,
            block: Block {
                description: Description::plain("Remembers values."),
                ..Block::default()
            },
        })
    }

    fn get_resources(
        &self,
        _: &mut Diagnostics,
    ) -> Option<HashMap<String, Box<dyn DynamicResource>>> {
        Some(map! { "data" => DataResource })
    }

    fn get_data_sources(
        &self,
        _: &mut Diagnostics,
    ) -> Option<HashMap<String, Box<dyn DynamicDataSource>>> {
        Some(HashMap::new())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // anyhow's error, which tf-provider returns, is no std error: its text is enough here.
    serve("peer", Peer)
        .await
        .map_err(|error| error.to_string().into())
}
