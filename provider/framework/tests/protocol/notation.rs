//! Messages as JSON that a person can read: the notation of the transcripts.
//!
//! | message | notation |
//! | --- | --- |
//! | `DynamicValue` | the value itself; `"<unknown>"`; `{"<type>": .., "<value>": ..}` where the type is dynamic |
//! | `RawState`, private bytes, types | the JSON they hold |
//! | `AttributePath` | `parts[0].name` |
//! | `Timestamp` | `"<time>"` |
//! | anything else | its fields, as far as they are set |

use std::borrow::Cow;

use prost_reflect::{
    DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, ReflectMessage as _,
    Value as Field,
};
use serde_json::{Map, Value as Json, json};

const UNKNOWN: &str = "<unknown>";

pub(crate) fn show(message: &DynamicMessage) -> Json {
    let bytes = |name: &str| match message.get_field_by_name(name).map(Cow::into_owned) {
        Some(Field::Bytes(bytes)) => bytes,
        other => panic!("{name} is {other:?}"),
    };
    match message.descriptor().full_name() {
        "tfplugin6.DynamicValue" => {
            assert!(bytes("json").is_empty(), "values are sent as msgpack");
            let packed = bytes("msgpack");
            let mut rest = &packed[..];
            let value = unpack(&mut rest);
            assert!(rest.is_empty(), "something follows the value");
            value
        }
        "tfplugin6.RawState" => show_bytes(&bytes("json")),
        "tfplugin6.AttributePath" => Json::String(show_path(message)),
        "google.protobuf.Timestamp" => json!("<time>"),
        _ => {
            let one = |(field, value): (FieldDescriptor, &Field)| {
                (field.name().to_owned(), show_field(&field.kind(), value))
            };
            Json::Object(message.fields().map(one).collect())
        }
    }
}

fn show_field(kind: &Kind, value: &Field) -> Json {
    match (value, kind) {
        (Field::Bool(truth), _) => json!(truth),
        (Field::I32(number), _) => json!(number),
        (Field::I64(number), _) => json!(number),
        (Field::String(text), _) => json!(text),
        (Field::Bytes(bytes), _) => show_bytes(bytes),
        (Field::EnumNumber(number), Kind::Enum(of)) => json!(of.get_value(*number).unwrap().name()),
        (Field::Message(message), _) => show(message),
        (Field::List(all), kind) => all.iter().map(|one| show_field(kind, one)).collect(),
        (Field::Map(all), Kind::Message(entry)) => {
            let kind = entry.map_entry_value_field().kind();
            let one = |(key, value): (&MapKey, &Field)| match key {
                MapKey::String(key) => (key.clone(), show_field(&kind, value)),
                other => panic!("a map by {other:?}"),
            };
            let sorted: std::collections::BTreeMap<_, _> = all.iter().map(one).collect();
            Json::Object(sorted.into_iter().collect())
        }
        (other, _) => panic!("no notation for {other:?}"),
    }
}

fn show_bytes(bytes: &[u8]) -> Json {
    serde_json::from_slice(bytes).unwrap_or_else(|_| json!(format!("<{} bytes>", bytes.len())))
}

fn show_path(message: &DynamicMessage) -> String {
    let mut path = String::new();
    let steps = message.get_field_by_name("steps").unwrap();
    for step in steps.as_list().unwrap() {
        let (field, value) = step.as_message().unwrap().fields().next().unwrap();
        let step = match (field.name(), value) {
            ("attribute_name", Field::String(name)) if path.is_empty() => name.clone(),
            ("attribute_name", Field::String(name)) => format!(".{name}"),
            ("element_key_string", Field::String(key)) => format!("[{key:?}]"),
            (_, Field::I64(index)) => format!("[{index}]"),
            other => panic!("no step is {other:?}"),
        };
        path.push_str(&step);
    }
    path
}

pub(crate) fn read(json: &Json, of: &MessageDescriptor) -> DynamicMessage {
    let mut message = DynamicMessage::new(of.clone());
    match of.full_name() {
        "tfplugin6.DynamicValue" => {
            let mut packed = Vec::new();
            pack(json, &mut packed);
            message.set_field_by_name("msgpack", Field::Bytes(packed.into()));
        }
        "tfplugin6.RawState" => {
            message.set_field_by_name("json", Field::Bytes(json.to_string().into()));
        }
        name => {
            let fields = json
                .as_object()
                .unwrap_or_else(|| panic!("{name} is an object"));
            for (key, value) in fields {
                let field = of.get_field_by_name(key);
                let field = field.unwrap_or_else(|| panic!("{name} has no field {key}"));
                message.set_field(&field, read_field(value, &field));
            }
        }
    }
    message
}

fn read_field(json: &Json, field: &FieldDescriptor) -> Field {
    if field.is_list() {
        let all = json.as_array().expect("a list");
        return Field::List(all.iter().map(|one| read_one(one, &field.kind())).collect());
    }
    read_one(json, &field.kind())
}

fn read_one(json: &Json, kind: &Kind) -> Field {
    match kind {
        Kind::Bool => Field::Bool(json.as_bool().expect("a bool")),
        Kind::Int64 => Field::I64(json.as_i64().expect("a number")),
        Kind::String => Field::String(json.as_str().expect("a text").to_owned()),
        Kind::Bytes => Field::Bytes(json.to_string().into()),
        Kind::Message(of) => Field::Message(read(json, of)),
        other => panic!("no notation for {other:?}"),
    }
}

/// As core writes: integers where exact, decimal text elsewhere.
fn pack(json: &Json, out: &mut Vec<u8>) {
    match json {
        Json::Null => rmp::encode::write_nil(out).unwrap(),
        Json::Bool(truth) => rmp::encode::write_bool(out, *truth).unwrap(),
        Json::Number(number) => match number.as_i64() {
            Some(number) => drop(rmp::encode::write_sint(out, number).unwrap()),
            None => rmp::encode::write_str(out, &number.to_string()).unwrap(),
        },
        Json::String(text) if text == UNKNOWN => out.extend([0xd4, 0, 0]),
        Json::String(text) => rmp::encode::write_str(out, text).unwrap(),
        Json::Array(elements) => {
            rmp::encode::write_array_len(out, u32::try_from(elements.len()).unwrap()).unwrap();
            for element in elements {
                pack(element, out);
            }
        }
        Json::Object(fields) => {
            if let (Some(of), Some(value)) = (fields.get("<type>"), fields.get("<value>")) {
                rmp::encode::write_array_len(out, 2).unwrap();
                rmp::encode::write_bin(out, of.to_string().as_bytes()).unwrap();
                return pack(value, out);
            }
            rmp::encode::write_map_len(out, u32::try_from(fields.len()).unwrap()).unwrap();
            for (name, value) in fields {
                rmp::encode::write_str(out, name).unwrap();
                pack(value, out);
            }
        }
    }
}

fn take<'a>(rest: &mut &'a [u8], length: u32) -> &'a [u8] {
    let (taken, left) = rest.split_at(length as usize);
    *rest = left;
    taken
}

fn unpack(rest: &mut &[u8]) -> Json {
    use rmp::Marker;
    let Some(first) = rest.first() else {
        return json!("<empty>");
    };
    match Marker::from_u8(*first) {
        Marker::Null => {
            take(rest, 1);
            Json::Null
        }
        Marker::True | Marker::False => json!(rmp::decode::read_bool(rest).unwrap()),
        Marker::F64 => json!(rmp::decode::read_f64(rest).unwrap()),
        Marker::FixStr(_) | Marker::Str8 | Marker::Str16 | Marker::Str32 => {
            let length = rmp::decode::read_str_len(rest).unwrap();
            json!(std::str::from_utf8(take(rest, length)).unwrap())
        }
        Marker::FixArray(_) | Marker::Array16 | Marker::Array32 => {
            let length = rmp::decode::read_array_len(rest).unwrap();
            let is_typed = matches!(
                rest.first().map(|next| Marker::from_u8(*next)),
                Some(Marker::Bin8 | Marker::Bin16 | Marker::Bin32)
            );
            if is_typed {
                let of = rmp::decode::read_bin_len(rest).unwrap();
                let of: Json = serde_json::from_slice(take(rest, of)).unwrap();
                return json!({"<type>": of, "<value>": unpack(rest)});
            }
            (0..length).map(|_| unpack(rest)).collect()
        }
        Marker::FixMap(_) | Marker::Map16 | Marker::Map32 => {
            let length = rmp::decode::read_map_len(rest).unwrap();
            let mut fields = Map::new();
            for _ in 0..length {
                let Json::String(name) = unpack(rest) else {
                    panic!("names are text");
                };
                fields.insert(name, unpack(rest));
            }
            Json::Object(fields)
        }
        Marker::FixExt1
        | Marker::FixExt2
        | Marker::FixExt4
        | Marker::FixExt8
        | Marker::FixExt16
        | Marker::Ext8
        | Marker::Ext16
        | Marker::Ext32 => {
            let meta = rmp::decode::read_ext_meta(rest).unwrap();
            take(rest, meta.size);
            assert!(
                matches!(meta.typeid, 0 | 12),
                "no unknown is of type {}",
                meta.typeid
            );
            json!(UNKNOWN)
        }
        _ => json!(rmp::decode::read_int::<i64, _>(rest).unwrap()),
    }
}
