//! Unknown values in every kind of attribute and block, as a whole and inside, in creates and in updates.

use serde_json::{Value as Json, json};

use crate::workspace::Workspace;

/// What is known only after apply, from the first or the second input.
fn later(second: bool) -> String {
    let (one, two, number) = if second {
        ("uno", "due", "2.75")
    } else {
        ("one", "two", "1.5")
    };
    format!(
        r#"
resource "terraform_data" "later" {{
  input = {{
    truth  = true
    number = {number}
    whole  = 7
    text   = "{one}"
    list   = ["{one}", "{two}", "{one}"]
    holes  = [{number}, null]
    lists  = {{ a = ["{one}"], b = [] }}
    pair   = ["{one}", {number}]
    object = {{ x = {number}, y = "{one}" }}
    mixed  = {{ deep = [{number}, "{one}", null, {{ more = ["{two}"] }}] }}
    cell   = {{ label = "{one}", legs = 4, note = "{two}" }}
    cells  = [{{ label = "{one}", legs = 4, note = "{two}" }}, {{ label = "{two}", legs = null, note = null }}]
    map    = {{ k1 = "{one}", k2 = "{two}" }}
  }}
}}
locals {{ l = terraform_data.later.output }}
"#
    )
}

const WHOLE: &str = r#"
resource "example_sampler" "s" {
  name     = "s"
  truth    = local.l.truth
  number   = local.l.number
  integer  = local.l.whole
  text     = local.l.text
  hidden   = local.l.text
  list     = local.l.list
  holes    = local.l.holes
  set      = local.l.list
  map      = local.l.map
  lists    = local.l.lists
  tuple    = local.l.pair
  object   = local.l.object
  anything = local.l.mixed
  cell     = local.l.cell
  cells    = local.l.cells
  cell_set = local.l.cells
  cell_map = { for key, text in local.l.map : key => { label = text } }
  row { label = local.l.text }
  corner { x = local.l.number }
  dynamic "rows" {
    for_each = local.l.list
    content { label = rows.value }
  }
  dynamic "row_set" {
    for_each = local.l.list
    content { label = row_set.value }
  }
  dynamic "row_map" {
    for_each = { k1 = local.l.text }
    labels   = [row_map.key]
    content { label = row_map.value }
  }
}
"#;

const INSIDE: &str = r#"
resource "example_sampler" "s" {
  name     = "s"
  text     = "pre-${local.l.text}"
  list     = ["known", local.l.text]
  holes    = [1, local.l.number, null]
  set      = ["known", local.l.text, "pre-${local.l.text}"]
  map      = { a = "known", b = local.l.text }
  lists    = { a = ["known", local.l.text], b = local.l.list }
  tuple    = ["known", local.l.number]
  object   = { x = local.l.number, y = "known" }
  anything = { a = ["known", local.l.text], b = local.l.mixed }
  cell     = { label = "known", legs = local.l.whole }
  cells    = [{ label = "known" }, { label = local.l.text, note = "known" }]
  cell_set = [{ label = "known" }, { label = local.l.text }, { label = "known", note = local.l.text }]
  cell_map = { a = { label = "known" }, b = { label = local.l.text } }
  row {
    label = "known"
    legs  = local.l.whole
  }
  corner { y = local.l.text }
  rows { label = "known" }
  rows { label = local.l.text }
  row_set { label = "known" }
  row_set { label = local.l.text }
  row_map "a" { label = "known" }
  row_map "b" { label = local.l.text }
}
"#;

/// Applies, looks, changes what is unknown, and looks again.
fn lives(resource: &str, look: impl Fn(&Json, bool)) {
    let space = Workspace::new(&(later(false) + resource));
    for second in [false, true] {
        space.write(&(later(second) + resource));
        space.run(&["validate"]).succeeds();
        space.apply().succeeds();
        look(&space.attributes("example_sampler.s"), second);
        space.is_settled();
    }
    space.run(&["destroy", "-auto-approve"]).succeeds();
}

#[test]
fn every_kind_may_be_unknown_as_a_whole() {
    lives(WHOLE, |seen, second| {
        let (one, two) = if second {
            ("uno", "due")
        } else {
            ("one", "two")
        };
        assert_eq!(seen["list"], json!([one, two, one]));
        assert_eq!(seen["set"].as_array().unwrap().len(), 2);
        assert_eq!(seen["tuple"][0], one);
        assert_eq!(seen["anything"]["value"]["deep"][3]["more"], json!([two]));
        assert_eq!(
            seen["cells"][1],
            json!({"label": two, "legs": null, "note": "nothing", "serial": format!("s-{two}")})
        );
        assert_eq!(seen["cell_set"].as_array().unwrap().len(), 2);
        assert_eq!(seen["cell_map"]["k2"]["serial"], format!("s-{two}"));
        assert_eq!(seen["rows"].as_array().unwrap().len(), 3);
        assert_eq!(seen["row_map"]["k1"]["label"], one);
        assert_eq!(seen["row"]["serial"], format!("s-{one}"));
    });
}

#[test]
fn every_kind_may_be_unknown_inside() {
    lives(INSIDE, |seen, second| {
        let one = if second { "uno" } else { "one" };
        assert_eq!(seen["text"], format!("pre-{one}"));
        assert_eq!(seen["list"], json!(["known", one]));
        assert_eq!(seen["map"], json!({"a": "known", "b": one}));
        assert_eq!(seen["lists"]["a"], json!(["known", one]));
        assert_eq!(seen["cells"][1]["serial"], format!("s-{one}"));
        let set = seen["cell_set"].as_array().unwrap();
        let serials = set.iter().map(|cell| cell["serial"].as_str().unwrap());
        let mut serials: Vec<_> = serials.collect();
        serials.sort_unstable();
        let mut expected = ["s-known", "s-known", &format!("s-{one}")];
        expected.sort_unstable();
        assert_eq!(serials, expected);
        assert_eq!(seen["cell_map"]["b"]["serial"], format!("s-{one}"));
        assert_eq!(seen["corner"]["y"], one);
        assert_eq!(seen["rows"][1]["serial"], format!("s-{one}"));
        assert_eq!(seen["row_set"].as_array().unwrap().len(), 2);
        assert_eq!(seen["row_map"]["b"]["serial"], format!("s-{one}"));
    });
}

#[test]
fn what_decides_how_many_there_are_must_be_known() {
    let space = Workspace::new(
        &(later(false)
            + "resource \"example_thing\" \"many\" {\n  for_each = toset(local.l.list)\n  name     = each.key\n}\n"),
    );
    let text = space.plan().fails();
    assert!(text.contains("Invalid for_each argument"), "{text}");
    // What forces a replacement may be unknown: it is replaced in case it changes.
    let named = "resource \"example_thing\" \"one\" { name = local.l.text }\n";
    space.write(&(later(false) + named));
    space.apply().succeeds();
    space.is_settled();
    space.write(&(later(true) + named));
    let changes = space.plan().changes();
    assert!(changes.contains("forces replacement"), "{changes}");
    space.apply().succeeds();
    assert!(space.file("uno.json").exists() && !space.file("one.json").exists());
    space.is_settled();
}

#[test]
fn errors_stand_where_the_mistake_is() {
    let space = Workspace::new(
        r#"resource "example_sampler" "s" {
  name = "s"
  cells = [
    { label = "a" },
    { label = "b", legs = 9 },
  ]
  cell_map = {
    a = { label = "a" }
    b = { label = null }
  }
  rows { label = "a" }
  rows {
    label = "b"
    legs  = 10
  }
  row_map "a" { label = "a" }
  row_map "b" {
    label = "b"
    legs  = 11
  }
}
"#,
    );
    let json: Json = serde_json::from_str(&space.run_out(&["validate", "-json"])).unwrap();
    let all = json["diagnostics"].as_array().unwrap().iter();
    let mut lines: Vec<_> = all
        .filter(|one| one["severity"] == "error")
        .map(|one| {
            let line = one["range"]["start"]["line"].as_u64().unwrap() - 11;
            (line, one["summary"].as_str().unwrap().to_owned())
        })
        .collect();
    lines.sort();
    assert_eq!(
        lines,
        [
            (5, "Invalid value of cells[1].legs".to_owned()),
            (9, "Missing cell_map[\"b\"].label".to_owned()),
            (14, "Invalid value of rows[1].legs".to_owned()),
            (19, "Invalid value of row_map[\"b\"].legs".to_owned()),
        ]
    );
}
