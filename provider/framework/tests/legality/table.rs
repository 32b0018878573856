//! The table of laws (contract: tfplugin6, section 5): for each, a provider that breaks it and nothing else, what core
//! says of it, and what we say.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use strata_framework::inside::{self, Fault};
use strata_framework::schema::{Attribute, Mode, Shape};
use strata_framework::{Dynamic, Path, Refinement, Schema, Type, Value};
use strata_proto::tfplugin6 as wire;

use crate::puppet::{Call, Ran, Script, Stage, dynamic, hcl};

/// What every object of the table is configured with.
const CONFIGURED: &str = r#"
  required  = "r"
  sensitive = "hush"
  list      = ["one"]
  set       = ["one"]
  single    = { a = "x" }
  objects   = [{ a = "x" }]
  named     = { k = { a = "x" } }
  bag       = [{ a = "x" }]
  many { a = "x" }
  some { a = "x" }
  keyed "k" { a = "x" }
"#;

fn leaked(attributes: Vec<Attribute>) -> &'static Schema {
    Box::leak(Box::new(Schema {
        attributes,
        ..Schema::default()
    }))
}

fn attribute(name: &'static str, mode: Mode, shape: Shape) -> Attribute {
    Attribute {
        shape,
        ..Attribute::new::<String>(name, "", mode)
    }
}

/// A schema with an attribute of every kind.
fn schema() -> &'static Schema {
    use Mode::{Computed, Optional, Required};
    let plain = |name, mode, of| attribute(name, mode, Shape::Plain(of));
    let inner = leaked(vec![
        plain("a", Optional, Type::String),
        plain("id", Computed, Type::String),
    ]);
    let block = |name, shape| Attribute {
        block: true,
        ..attribute(name, Optional, shape)
    };
    let strings = || Box::new(Type::String);
    leaked(vec![
        plain("required", Required, Type::String),
        plain("optional", Optional, Type::String),
        plain("computed", Computed, Type::String),
        plain("open", Computed, Type::Dynamic),
        Attribute {
            sensitive: true,
            ..plain("sensitive", Optional, Type::String)
        },
        Attribute {
            sensitive: true,
            ..plain("hidden", Optional, Type::String)
        },
        Attribute {
            write_only: true,
            ..plain("secret_wo", Optional, Type::String)
        },
        plain("list", Optional, Type::List(strings())),
        plain("set", Optional, Type::Set(strings())),
        attribute("single", Optional, Shape::Single(inner)),
        attribute("objects", Optional, Shape::List(inner)),
        attribute("named", Optional, Shape::Map(inner)),
        attribute("bag", Optional, Shape::Set(inner)),
        block("one", Shape::Single(inner)),
        Attribute {
            group: true,
            ..block("always", Shape::Single(inner))
        },
        block("many", Shape::List(inner)),
        block("some", Shape::Set(inner)),
        block("keyed", Shape::Map(inner)),
    ])
}

fn text(value: &str) -> Value {
    Value::String(value.to_owned())
}

fn list(elements: &[Value]) -> Value {
    Value::List(elements.to_vec())
}

fn object(a: &str) -> Value {
    Value::object([("a", text(a)), ("id", text("i"))])
}

fn typed(of: Type, value: Value) -> Value {
    Value::Dynamic(Box::new(Dynamic { of, value }))
}

/// A legal plan and result for what is configured.
fn legal() -> Value {
    let all: BTreeMap<_, _> = schema()
        .attributes
        .iter()
        .map(|one| (one.name.to_owned(), Value::Null))
        .collect();
    let known = [
        ("required", text("r")),
        ("computed", text("c")),
        ("sensitive", text("hush")),
        ("list", list(&[text("one")])),
        ("set", list(&[text("one")])),
        ("single", object("x")),
        ("objects", list(&[object("x")])),
        ("named", Value::object([("k", object("x"))])),
        ("bag", list(&[object("x")])),
        (
            "always",
            Value::object([("a", Value::Null), ("id", Value::Null)]),
        ),
        ("many", list(&[object("x")])),
        ("some", list(&[object("x")])),
        ("keyed", Value::object([("k", object("x"))])),
    ];
    known
        .into_iter()
        .fold(Value::Map(all), |all, (name, value)| {
            with(&all, name, value)
        })
}

/// The object with something else at a place; the empty place is the object itself.
fn with(object: &Value, place: &str, value: Value) -> Value {
    if place.is_empty() {
        return value;
    }
    let (first, rest) = place.split_once('.').unwrap_or((place, ""));
    match object {
        Value::Map(elements) => {
            let mut elements = elements.clone();
            let inside = with(&elements[first], rest, value);
            elements.insert(first.to_owned(), inside);
            Value::Map(elements)
        }
        Value::List(elements) => {
            let mut elements = elements.clone();
            let index: usize = first.parse().unwrap();
            elements[index] = with(&elements[index], rest, value);
            Value::List(elements)
        }
        other => panic!("{place} in {other:?}"),
    }
}

/// A law broken: where and by what value, core's phrase, and ours.
type Row = (&'static str, Value, &'static str, &'static str);

const INVALID_PLAN: &str = "Provider produced invalid plan";

fn plans() -> Vec<Row> {
    let other = || text("other");
    vec![
        (
            "required",
            other(),
            "does not match config value",
            "required: planned differently from both",
        ),
        (
            "required",
            Value::Null,
            "planned value cty.NullVal(cty.String) does not match",
            "(planned: null, configured: \"r\")",
        ),
        (
            "required",
            Value::UNKNOWN,
            "planned value cty.UnknownVal(cty.String) does not match",
            "(planned: (unknown)",
        ),
        (
            "optional",
            other(),
            "for a non-computed attribute",
            "optional: planned although the configuration does not set it",
        ),
        (
            "optional",
            Value::UNKNOWN,
            "for a non-computed attribute",
            "optional: planned although",
        ),
        (
            "sensitive",
            other(),
            "sensitive planned value does not match config value",
            "(planned: (sensitive), configured: (sensitive))",
        ),
        (
            "hidden",
            other(),
            "sensitive planned value for a non-computed attribute",
            "hidden: planned although",
        ),
        (
            "secret_wo",
            other(),
            "returned a value for the write-only attribute",
            "secret_wo: a write-only value is in the answer",
        ),
        (
            "",
            Value::Null,
            "planned for absence but config wants existence",
            "planned null although it is configured",
        ),
        (
            "list",
            list(&[text("two")]),
            "does not match config value",
            "list: planned differently",
        ),
        (
            "set",
            list(&[text("one"), text("two")]),
            "does not match config value",
            "set: planned differently",
        ),
        (
            "single",
            Value::Null,
            ".single: planned for absence",
            "single: planned null although",
        ),
        (
            "single",
            Value::UNKNOWN,
            "planned unknown for configured value",
            "single: planned unknown although",
        ),
        (
            "single.a",
            other(),
            ".single.a: planned value",
            "single.a: planned differently",
        ),
        (
            "objects",
            list(&[object("x"), object("x")]),
            "count in plan (cty.NumberIntVal(2)) disagrees",
            "objects: planned with another number",
        ),
        (
            "objects.0.a",
            other(),
            ".objects[0].a: planned value",
            "objects[0].a: planned differently",
        ),
        (
            "named",
            Value::object([("l", object("x"))]),
            "map key \"k\" from config is not present in plan",
            "named: planned with other keys",
        ),
        (
            "named",
            Value::Map(BTreeMap::new()),
            "count in plan (cty.NumberIntVal(0)) disagrees",
            "named: planned with another number",
        ),
        (
            "named.k.a",
            Value::Null,
            "planned value cty.NullVal(cty.String) does not match",
            "named[\"k\"].a: planned differently",
        ),
        (
            "bag",
            list(&[]),
            "count in plan (cty.NumberIntVal(0)) disagrees",
            "bag: planned with another number",
        ),
        (
            "one",
            object("x"),
            ".one: planned for existence but config wants absence",
            "one: planned although the configuration leaves it out",
        ),
        (
            "one",
            Value::UNKNOWN,
            ".one: attribute representing nested block must not be unknown itself",
            "one: a block is never unknown",
        ),
        (
            "always",
            Value::Null,
            ".always: planned for absence",
            "always: planned null although",
        ),
        (
            "many",
            list(&[object("x"), object("x")]),
            "block count in plan (2) disagrees with count in config (1)",
            "many: planned with another number",
        ),
        (
            "many",
            Value::Null,
            "a list of nested blocks must be empty to indicate no blocks, not null",
            "many: no blocks are an empty collection",
        ),
        (
            "some",
            Value::Null,
            "a set of nested blocks must be empty to indicate no blocks, not null",
            "some: no blocks are an empty collection",
        ),
        (
            "keyed",
            Value::Null,
            "a map of nested blocks must be empty to indicate no blocks, not null",
            "keyed: no blocks are an empty collection",
        ),
        (
            "many",
            Value::UNKNOWN,
            ".many: attribute representing nested block must not be unknown",
            "many: a block is never unknown",
        ),
        (
            "many.0",
            Value::UNKNOWN,
            ".many[0]: element representing nested block must not be unknown",
            "many[0]: a block is never unknown",
        ),
        (
            "some.0",
            Value::UNKNOWN,
            "element representing nested block must not be unknown",
            "some: a block is never unknown",
        ),
        (
            "many.0.a",
            other(),
            ".many[0].a: planned value",
            "many[0].a: planned differently",
        ),
        (
            "keyed",
            Value::object([("l", object("x"))]),
            "block key \"k\" from config is not present in plan",
            "keyed: planned with other keys",
        ),
    ]
}

const INCONSISTENT: &str = "Provider produced inconsistent result after apply";

/// Results, with the title core gives them. Planned is the legal object, but for two attributes: see [`planned`].
fn results() -> Vec<(&'static str, Row)> {
    let other = || text("other");
    vec![
        (
            INCONSISTENT,
            (
                "required",
                other(),
                ".required: was cty.StringVal(\"r\"), but now cty.StringVal(\"other\")",
                "required: the result differs from the plan (planned: \"r\", returned: \"other\")",
            ),
        ),
        (
            INCONSISTENT,
            (
                "required",
                Value::Null,
                "was cty.StringVal(\"r\"), but now null",
                "(planned: \"r\", returned: null)",
            ),
        ),
        (
            INCONSISTENT,
            (
                "optional",
                other(),
                "was null, but now cty.StringVal(\"other\")",
                "(planned: null, returned: \"other\")",
            ),
        ),
        (
            INCONSISTENT,
            (
                "sensitive",
                other(),
                ".sensitive: inconsistent values for sensitive attribute",
                "(planned: (sensitive), returned: (sensitive))",
            ),
        ),
        (
            INCONSISTENT,
            (
                "",
                Value::Null,
                "Root object was present, but now absent",
                "planned, but gone from the result",
            ),
        ),
        (
            INCONSISTENT,
            (
                "list",
                list(&[]),
                ".list: element 0 has vanished",
                "list[0]: planned, but gone",
            ),
        ),
        (
            INCONSISTENT,
            (
                "list",
                list(&[text("one"), other()]),
                ".list: new element 1 has appeared",
                "list[1]: not planned, but in the result",
            ),
        ),
        (
            INCONSISTENT,
            (
                "set",
                list(&[other()]),
                "does not correlate with any element in actual",
                "set: the result has other elements",
            ),
        ),
        (
            INCONSISTENT,
            (
                "set",
                list(&[text("one"), other()]),
                "length changed from 1 to 2",
                "set: the result has more elements",
            ),
        ),
        (
            INCONSISTENT,
            (
                "named",
                Value::Map(BTreeMap::new()),
                ".named: element \"k\" has vanished",
                "named[\"k\"]: planned, but gone",
            ),
        ),
        (
            INCONSISTENT,
            (
                "objects.0.a",
                other(),
                ".objects[0].a: was cty.StringVal(\"x\")",
                "objects[0].a: the result differs",
            ),
        ),
        (
            INCONSISTENT,
            (
                "bag",
                list(&[object("other")]),
                "does not correlate with any element",
                "bag: the result has other elements",
            ),
        ),
        (
            INCONSISTENT,
            (
                "single",
                Value::Null,
                ".single: was cty.ObjectVal",
                "single: the result differs",
            ),
        ),
        (
            INCONSISTENT,
            (
                "one",
                object("x"),
                ".one: was absent, but now present",
                "one: not planned, but in the result",
            ),
        ),
        (
            INCONSISTENT,
            (
                "always",
                Value::Null,
                ".always: was present, but now absent",
                "always: planned, but gone",
            ),
        ),
        (
            INCONSISTENT,
            (
                "many",
                list(&[]),
                ".many: block count changed from 1 to 0",
                "many: the result has another number of blocks",
            ),
        ),
        (
            INCONSISTENT,
            (
                "many.0.a",
                other(),
                ".many[0].a: was cty.StringVal(\"x\")",
                "many[0].a: the result differs",
            ),
        ),
        (
            INCONSISTENT,
            (
                "some",
                list(&[object("x"), object("y")]),
                "block set length changed from 1 to 2",
                "some: the result has more elements",
            ),
        ),
        (
            INCONSISTENT,
            (
                "keyed",
                Value::Map(BTreeMap::new()),
                ".keyed: block count changed from 1 to 0",
                "keyed: the result has another number of blocks",
            ),
        ),
        (
            INCONSISTENT,
            (
                "open",
                typed(Type::Bool, Value::Bool(true)),
                "wrong final value type: string required",
                "open: the result has another type than planned",
            ),
        ),
        (
            INCONSISTENT,
            (
                "computed",
                Value::Null,
                "does not conform to planning placeholder",
                "computed: the result is not what the plan promised",
            ),
        ),
        (
            "Provider returned invalid result object after apply",
            (
                "computed",
                Value::UNKNOWN,
                "still indicated an unknown value for",
                "computed: still unknown",
            ),
        ),
        (
            "Provider produced invalid object",
            (
                "secret_wo",
                other(),
                "returned a value for the write-only attribute",
                "secret_wo: a write-only value is in the answer",
            ),
        ),
    ]
}

/// The plan of those whose results are judged: one value promised, one whose type alone is known.
fn planned() -> Value {
    let promised = Value::Unknown(Some(Box::new(Refinement::never_null())));
    with(
        &with(&legal(), "computed", promised),
        "open",
        typed(Type::String, Value::UNKNOWN),
    )
}

fn result() -> Value {
    with(&legal(), "open", typed(Type::String, text("o")))
}

/// Resource types `laws_<number>`, each with one object `x`.
fn stage(count: usize, script: impl Fn(&mut Script, usize, &str)) -> Stage {
    let names: Vec<_> = (0..count).map(|number| format!("laws_{number}")).collect();
    let mut all = Script::with_resources(names.iter().map(|name| (name.clone(), schema())));
    let mut configuration = String::new();
    for (number, name) in names.iter().enumerate() {
        script(&mut all, number, name);
        let _ = writeln!(configuration, "resource \"{name}\" \"x\" {{{CONFIGURED}}}");
    }
    let stage = Stage::new(&BTreeMap::from([("laws".to_owned(), all)]));
    stage.configure(&configuration);
    stage
}

fn plan_answer(value: &Value) -> wire::plan_resource_change::Response {
    wire::plan_resource_change::Response {
        planned_state: dynamic(value, schema().value_type()),
        ..Default::default()
    }
}

/// Core says it with this title and phrase, and so do we.
#[track_caller]
fn judged(ran: &Ran, name: &str, title: &str, row: &Row, faults: &[Fault]) {
    let (place, value, core, ours) = row;
    // The address ends where the next sign is none of a name.
    let about = |detail: &str| {
        let address = format!("{name}.x");
        let mut after = detail.split(&address).skip(1);
        after.any(|rest| !rest.starts_with(|next: char| next.is_ascii_alphanumeric()))
    };
    let told: Vec<_> = ran
        .told
        .iter()
        .filter(|told| told.severity == "error" && about(&told.detail))
        .collect();
    assert!(
        told.iter()
            .any(|told| told.summary == title && told.detail.contains(core)),
        "{place:?} {value:?}: core does not say {title}: {core}, but {told:#?}\n{}",
        if told.is_empty() { &ran.text } else { "" },
    );
    let texts: Vec<_> = faults.iter().map(ToString::to_string).collect();
    assert!(
        texts.iter().any(|text| text.contains(ours)),
        "{place:?} {value:?}: we do not say {ours}, but {texts:#?}"
    );
}

fn configuration(calls: &[Call], name: &str) -> (Value, Value) {
    let call = calls
        .iter()
        .find(|call| call.method == "PlanResourceChange" && call.of == name)
        .unwrap();
    let request: wire::plan_resource_change::Request = call.request();
    let value =
        |given: Option<&wire::DynamicValue>| inside::value(given, schema().value_type()).unwrap();
    (
        value(request.config.as_ref()),
        value(request.prior_state.as_ref()),
    )
}

#[test]
fn every_law_of_plans() {
    let rows = plans();
    let stage = stage(rows.len() + 2, |script, number, name| {
        let (place, value) = rows
            .get(number)
            .map_or(("", legal()), |(place, value, ..)| (*place, value.clone()));
        let mut answer = plan_answer(&with(&legal(), place, value));
        // One row more: a replacement at a place that does not exist.
        if number == rows.len() {
            let selector = wire::attribute_path::step::Selector::AttributeName("lid".to_owned());
            let step = wire::attribute_path::Step {
                selector: Some(selector),
            };
            answer.requires_replace = vec![wire::AttributePath { steps: vec![step] }];
        }
        // And one whose value is neither the configured nor the prior one.
        if number == rows.len() + 1 {
            answer = plan_answer(&with(&legal(), "required", text("other")));
        }
        script.add("PlanResourceChange", name, &answer);
    });
    let stored = with(&legal(), "required", text("before"));
    let json = hcl::json(&stored, schema().value_type());
    let with_prior =
        [rows.len(), rows.len() + 1].map(|number| (format!("laws_{number}"), 0, json.clone()));
    stage.store("laws", &with_prior);
    let ran = stage.run(&["plan", "-json", "-refresh=false"]);
    let calls = stage.calls("laws");
    for (number, row) in rows.iter().enumerate() {
        let name = format!("laws_{number}");
        let (config, prior) = configuration(&calls, &name);
        let faults = inside::plan(
            schema(),
            &config,
            &prior,
            &with(&legal(), row.0, row.1.clone()),
        );
        judged(&ran, &name, INVALID_PLAN, row, &faults);
    }
    let (name, row) = (
        format!("laws_{}", rows.len()),
        (
            "lid",
            Value::Null,
            "for a non-existent attribute path",
            "lid: a change here is to replace the object",
        ),
    );
    let faults = inside::replacements(schema(), &stored, &legal(), &[Path::of("lid")]);
    judged(&ran, &name, INVALID_PLAN, &row, &faults);
    let name = format!("laws_{}", rows.len() + 1);
    let (config, prior) = configuration(&calls, &name);
    let row = (
        "required",
        text("other"),
        "nor prior value cty.StringVal(\"before\")",
        "configured: \"r\", prior: \"before\")",
    );
    let faults = inside::plan(
        schema(),
        &config,
        &prior,
        &with(&legal(), row.0, row.1.clone()),
    );
    judged(&ran, &name, INVALID_PLAN, &row, &faults);
}

#[test]
fn every_law_of_results() {
    let rows = results();
    let of = schema().value_type();
    let stage = stage(rows.len(), |script, number, name| {
        let (place, value, ..) = &rows[number].1;
        script.add("PlanResourceChange", name, &plan_answer(&planned()));
        let new = with(&result(), place, value.clone());
        let answer = wire::apply_resource_change::Response {
            new_state: dynamic(&new, of),
            ..Default::default()
        };
        script.add("ApplyResourceChange", name, &answer);
    });
    let ran = stage.run(&["apply", "-json", "-auto-approve"]);
    for (number, (title, row)) in rows.iter().enumerate() {
        let faults = inside::result(schema(), &planned(), &with(&result(), row.0, row.1.clone()));
        judged(&ran, &format!("laws_{number}"), title, row, &faults);
    }
}
