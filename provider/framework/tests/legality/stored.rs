//! What goes into state without a plan (contract: tfplugin6, section 5.4), ephemeral results, deletes and the null element
//! that crashes Terraform: the same comparison of core's words with ours.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use strata_framework::inside::{self, Fault};
use strata_framework::schema::{Attribute, Mode, Shape};
use strata_framework::{Schema, Value};
use strata_proto::tfplugin6 as wire;

use crate::puppet::{Ran, Script, Stage, dynamic, empty_schema, hcl};

const INVALID: &str = "Provider produced invalid object";

fn one(name: &'static str, mode: Mode) -> Attribute {
    Attribute::new::<String>(name, "", mode)
}

/// Of data sources and ephemeral resources, which have no write-only attributes.
fn plain() -> Schema {
    Schema {
        attributes: vec![one("a", Mode::Optional), one("id", Mode::Computed)],
        ..Schema::default()
    }
}

fn managed() -> Schema {
    let mut schema = plain();
    schema.attributes.push(Attribute {
        write_only: true,
        ..one("secret_wo", Mode::Optional)
    });
    schema
}

fn text(value: &str) -> Value {
    Value::String(value.to_owned())
}

fn object(a: &str, id: Value) -> Value {
    Value::object([("a", text(a)), ("id", id)])
}

/// A managed object with this id and write-only value.
fn stored(id: Value, secret: Value) -> Value {
    Value::object([("a", text("x")), ("id", id), ("secret_wo", secret)])
}

#[track_caller]
fn told(ran: &Ran, title: &str, phrase: &str, ours: &str, faults: &[Fault]) {
    let core = ran
        .told
        .iter()
        .any(|told| told.summary == title && told.detail.contains(phrase));
    assert!(
        core,
        "core does not say {title}: {phrase}\n{:#?}\n{}",
        ran.told, ran.text
    );
    let texts: Vec<_> = faults.iter().map(ToString::to_string).collect();
    assert_eq!(texts, [ours], "{title}: {phrase}");
}

#[test]
fn every_law_of_stored_objects() {
    let resources = [
        "p_read_unknown",
        "p_read_secret",
        "p_upgrade_secret",
        "p_import_null",
        "p_import_secret",
    ];
    let schemas = |names: &[&str], schema: &Schema| {
        names
            .iter()
            .map(|name| ((*name).to_owned(), inside::schema(schema)))
            .collect()
    };
    let mut script = Script::with_schema(&wire::get_provider_schema::Response {
        resource_schemas: schemas(&resources, &managed()),
        data_source_schemas: schemas(&["p_null", "p_unknown", "p_other"], &plain()),
        ephemeral_resource_schemas: schemas(&["p_absent", "p_echo"], &plain()),
        ..empty_schema()
    });
    let (of, of_plain) = (managed().value_type().clone(), plain().value_type().clone());
    let (unknown, secret) = (
        stored(Value::UNKNOWN, Value::Null),
        stored(text("i"), text("s")),
    );
    for (name, value) in [("p_read_unknown", &unknown), ("p_read_secret", &secret)] {
        let answer = wire::read_resource::Response {
            new_state: dynamic(value, &of),
            ..Default::default()
        };
        script.add("ReadResource", name, &answer);
    }
    let answer = wire::upgrade_resource_state::Response {
        upgraded_state: dynamic(&secret, &of),
        ..Default::default()
    };
    script.add("UpgradeResourceState", "p_upgrade_secret", &answer);
    for (name, value) in [
        ("p_import_null", &Value::Null),
        ("p_import_secret", &secret),
    ] {
        let state = dynamic(value, &of);
        let imported = wire::import_resource_state::ImportedResource {
            type_name: name.to_owned(),
            state,
            ..Default::default()
        };
        let answer = wire::import_resource_state::Response {
            imported_resources: vec![imported],
            ..Default::default()
        };
        script.add("ImportResourceState", name, &answer);
    }
    let (half, other) = (object("x", Value::UNKNOWN), object("y", text("i")));
    for (name, value) in [
        ("p_null", &Value::Null),
        ("p_unknown", &half),
        ("p_other", &other),
    ] {
        let answer = wire::read_data_source::Response {
            state: dynamic(value, &of_plain),
            ..Default::default()
        };
        script.add("ReadDataSource", name, &answer);
    }
    for (name, value) in [("p_absent", &Value::Null), ("p_echo", &other)] {
        let answer = wire::open_ephemeral_resource::Response {
            result: dynamic(value, &of_plain),
            ..Default::default()
        };
        script.add("OpenEphemeralResource", name, &answer);
    }
    let stage = Stage::new(&BTreeMap::from([("p".to_owned(), script)]));
    let mut configuration = String::new();
    let kinds = [
        ("resource", &resources[..]),
        ("data", &["p_null", "p_unknown", "p_other"]),
        ("ephemeral", &["p_absent", "p_echo"]),
    ];
    for (kind, names) in kinds {
        for name in names {
            let _ = writeln!(configuration, "{kind} \"{name}\" \"x\" {{\n  a = \"x\"\n}}");
        }
    }
    for name in &resources[3..] {
        let _ = writeln!(
            configuration,
            "import {{\n  to = {name}.x\n  id = \"i\"\n}}"
        );
    }
    stage.configure(&configuration);
    let json = hcl::json(&stored(text("i"), Value::Null), &of);
    stage.store(
        "p",
        &resources[..3]
            .iter()
            .map(|name| ((*name).to_owned(), 0, json.clone()))
            .collect::<Vec<_>>(),
    );
    let ran = stage.run(&["plan", "-json"]);

    let keeps = "secret_wo: a write-only value is in the answer, where it would be kept";
    let judge = |value: &Value| inside::stored(&managed(), value);
    told(
        &ran,
        INVALID,
        "p_read_unknown.x during refresh: The returned state contains unknown values",
        "id: still unknown",
        &judge(&unknown),
    );
    told(
        &ran,
        INVALID,
        "\"p_read_secret.x.secret_wo\" during refresh",
        keeps,
        &judge(&secret),
    );
    told(
        &ran,
        "Invalid resource state upgrade",
        "\"p_upgrade_secret.x.secret_wo\"",
        keeps,
        &judge(&secret),
    );
    let title = "Import returned a non-null value for a write-only attribute";
    told(
        &ran,
        title,
        "\"p_import_secret.x.secret_wo\"",
        keeps,
        &judge(&secret),
    );
    let nothing = inside::object(&managed(), &Value::Null);
    told(
        &ran,
        "Import returned null resource",
        "an instance with no state",
        "there is no object",
        &nothing,
    );
    let judge = |value: &Value| inside::object(&plain(), value);
    told(
        &ran,
        "Provider produced null object",
        "data.p_null.x",
        "there is no object",
        &judge(&Value::Null),
    );
    told(
        &ran,
        INVALID,
        "data.p_unknown.x that is not wholly known",
        "id: still unknown",
        &judge(&half),
    );
    let title = "Provider produced invalid ephemeral resource instance";
    let judge = |value: &Value| inside::opened(&plain(), &object("x", Value::Null), value);
    let ours = "planned null although it is configured (planned: null, configured: {a = \"x\", id = null})";
    told(
        &ran,
        title,
        "p_absent produced an inconsistent result: planned for absence",
        ours,
        &judge(&Value::Null),
    );
    let ours = "a: planned differently from both configuration and prior state (planned: \"y\", configured: \"x\")";
    told(
        &ran,
        title,
        "p_echo produced an inconsistent result: .a: planned value",
        ours,
        &judge(&other),
    );
    // Core does not compare a data source with its configuration, and neither do we.
    assert!(inside::object(&plain(), &other).is_empty());
    assert!(
        !ran.told.iter().any(|told| told.detail.contains("p_other")),
        "{:#?}",
        ran.told
    );
}

#[test]
fn a_deleted_object_that_is_still_there() {
    let schema = plain();
    let mut script = Script::with_resources([("p_kept".to_owned(), &schema)]);
    let kept = object("x", text("i"));
    let answer = wire::apply_resource_change::Response {
        new_state: dynamic(&kept, schema.value_type()),
        ..Default::default()
    };
    script.add("ApplyResourceChange", "p_kept", &answer);
    let stage = Stage::new(&BTreeMap::from([("p".to_owned(), script)]));
    stage.configure("");
    stage.store(
        "p",
        &[(
            "p_kept".to_owned(),
            0,
            hcl::json(&kept, schema.value_type()),
        )],
    );
    let ran = stage.run(&["apply", "-json", "-auto-approve"]);
    let faults = inside::deleted(&schema, &kept);
    told(
        &ran,
        "Provider returned invalid result object after apply",
        "p_kept",
        "deleted, but still an object",
        &faults,
    );
}

#[test]
fn a_null_element_beside_a_sensitive_attribute_crashes_terraform() {
    let inner = Schema {
        attributes: vec![Attribute {
            sensitive: true,
            ..one("a", Mode::Optional)
        }],
        ..Schema::default()
    };
    let list = Attribute {
        shape: Shape::List(Box::leak(Box::new(inner))),
        ..one("list", Mode::Computed)
    };
    let schema = Schema {
        attributes: vec![list],
        ..Schema::default()
    };
    let planned = Value::object([("list", Value::List(vec![Value::Null]))]);
    let mut script = Script::with_resources([("p_gap".to_owned(), &schema)]);
    let answer = wire::plan_resource_change::Response {
        planned_state: dynamic(&planned, schema.value_type()),
        ..Default::default()
    };
    script.add("PlanResourceChange", "p_gap", &answer);
    let stage = Stage::new(&BTreeMap::from([("p".to_owned(), script)]));
    stage.configure("resource \"p_gap\" \"x\" {}\n");
    let ran = stage.run(&["plan", "-json"]);
    // A newer Terraform may bear it: then our law is only too strict.
    assert!(
        ran.text.contains("TERRAFORM CRASH") || ran.code == Some(0),
        "{}",
        ran.text
    );
    let config = Value::object([("list", Value::Null)]);
    let faults = inside::plan(&schema, &config, &Value::Null, &planned);
    let texts: Vec<_> = faults.iter().map(ToString::to_string).collect();
    let ours = "list[0]: a null element among nested attributes with a sensitive or write-only one, on which Terraform crashes";
    assert_eq!(texts, [ours]);
}
