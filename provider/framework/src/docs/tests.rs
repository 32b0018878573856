//! A small provider and its pages.

use std::collections::{BTreeMap, BTreeSet};

use super::{Sources, folder};
use crate::*;

/// Settings of the cupboard.
///
/// One per kitchen.
#[derive(Schema, Clone)]
#[schema(name = "cupboard")]
struct Settings {
    /// Which cupboard. Default: the first one.
    #[schema(optional)]
    which: Attr<String>,
}

struct Cupboard;

impl Provider for Cupboard {
    type Config = Settings;
    fn new(_: Settings) -> Result<Self, Diagnostics> {
        Ok(Self)
    }
}

/// A jar.
///
/// Stands on a shelf.
///
/// # Permissions
///
/// The key of the cupboard.
///
/// # Import
///
/// By shelf and number.
#[derive(Schema, Clone)]
#[schema(
    name = "jar",
    version = 0,
    exclusive("marks", "content_wo"),
    deprecated = "use a bowl"
)]
struct Jar {
    /// Where it stands.
    #[schema(required, replace, one_of("upper", "lower"))]
    shelf: Attr<String>,
    /// Number of spoons in it.
    #[schema(default = 3, range(1..=9))]
    spoons: Attr<u32>,
    /// Words on the label:
    ///
    /// - the first is large;
    /// - the others are not.
    #[schema(default = "jam", recorded)]
    label: Attr<String>,
    /// Marks. Without it the jar has none.
    #[schema(optional, pattern("[a-z]+"), length(1..=3))]
    marks: Attr<BTreeSet<String>>,
    /// What is in it. Only for eating.
    #[schema(optional, write_only, sensitive)]
    content_wo: Attr<Secret<String>>,
    /// The lid.
    #[schema(required)]
    lid: Attr<Lid>,
    /// Lids of earlier days, by colour.
    #[schema(computed)]
    history: Attr<BTreeMap<String, Lid>>,
    /// How long operations may take.
    #[schema(optional)]
    timeouts: Attr<Timeouts>,
}

/// A lid.
#[derive(Schema, Clone)]
struct Lid {
    /// Its colour. Only some fit.
    #[schema(optional, deprecated = "all lids are grey")]
    colour: Attr<String>,
    /// Scratches on it. Without it there are none.
    #[schema(block, items(0..=2))]
    scratch: Attr<Vec<Scratch>>,
}

/// A scratch.
#[derive(Schema, Clone)]
struct Scratch {
    /// Length in bytes.
    #[schema(required)]
    length: Attr<u8>,
}

impl Resource for Jar {
    type Provider = Cupboard;
    type Model = Self;
    type Private = ();
    const SUBCATEGORY: &'static str = "Kitchen";
    const TIMEOUTS: Limit = Limit::minutes(120, 1, 20, 5);
    async fn create(_: &Of<'_, Self>, _: Self, planned: Self) -> Result<Self, Diagnostics> {
        Ok(planned)
    }
    async fn read(_: &Of<'_, Self>, prior: Self) -> Result<Found<Self>, Diagnostics> {
        Ok(Found::Present(prior))
    }
    async fn update(
        _: &Of<'_, Self>,
        _: Self,
        _: Self,
        planned: Self,
    ) -> Result<Self, Diagnostics> {
        Ok(planned)
    }
    async fn delete(_: &Of<'_, Self>, _: Self) -> Result<(), Diagnostics> {
        Ok(())
    }
}

/// What tells jars apart.
#[derive(Schema, Clone)]
#[schema(version = 0)]
struct JarIdentity {
    /// Shelf and number.
    #[schema(required_for_import)]
    place: Attr<String>,
    /// Which kitchen. Without it: the provider's.
    #[schema(optional_for_import)]
    kitchen: Attr<String>,
}

impl Identified for Jar {
    type Identity = JarIdentity;
    fn identity(state: &Self) -> JarIdentity {
        JarIdentity {
            place: state.shelf.clone(),
            kitchen: Attr::Null,
        }
    }
    async fn from_identity(_: &Of<'_, Self>, _: JarIdentity) -> Result<Self, Diagnostics> {
        Err(Diagnostics::unsupported("import"))
    }
}

/// Jars on a shelf.
///
/// Empty ones are not found.
///
/// # Permissions
///
/// None.
#[derive(Schema, Clone)]
struct JarFilter {
    /// Which shelf. Without it: all.
    #[schema(optional)]
    shelf: Attr<String>,
}

impl List for Jar {
    type Filter = JarFilter;
    async fn list(_: &Of<'_, Self>, _: JarFilter, _: &Listing<Self>) -> Result<(), Diagnostics> {
        Ok(())
    }
}

/// no sentence
#[derive(Schema, Clone)]
#[schema(name = "shelf")]
struct Shelf {
    /// Height
    #[schema(required)]
    height: Attr<u32>,
    /// Depth of it.
    #[schema(default = 5)]
    depth: Attr<u32>,
    /// Colour of it.
    #[schema(optional)]
    colour: Attr<String>,
    /// Bytes it can carry. Default: 7.
    #[schema(default = 7)]
    load: Attr<u32>,
}

impl DataSource for Shelf {
    type Provider = Cupboard;
    type Model = Self;
    async fn read(_: &Cx<'_, Cupboard>, config: Self) -> Result<Self, Diagnostics> {
        Ok(config)
    }
}

struct Mix;

impl Function for Mix {
    const NAME: &'static str = "mix";
    const SUMMARY: &'static str = "Mixes.";
    const DESCRIPTION: &'static str = "In the order given.\n\n# Errors\n\nNone.";
    const PARAMETERS: &'static [Parameter] = &[
        Parameter {
            name: "things",
            description: "What to mix.",
        },
        Parameter {
            name: "times",
            description: "How often.",
        },
    ];
    type Arguments = (Vec<String>, Variadic<Option<u8>>);
    type Return = BTreeMap<String, bool>;
    fn call(_: Self::Arguments) -> Result<Self::Return, FunctionError> {
        Ok(BTreeMap::new())
    }
}

fn good() -> Registry<Cupboard> {
    Registry::new("kitchen")
        .resource::<Jar>()
        .identity::<Jar>()
        .list::<Jar>()
        .function::<Mix>()
}

fn sources() -> Sources {
    let file = |(path, text): (&str, &str)| (path.to_owned(), text.to_owned());
    Sources {
        examples: BTreeMap::from(
            [
                ("provider/provider.tf", "provider \"kitchen\" {}\n"),
                ("resources/kitchen_jar/extra.yaml", "a: 1\n"),
                (
                    "resources/kitchen_jar/import-by-identity.tf",
                    "import {}\n",
                ),
                (
                    "list-resources/kitchen_jar/list-resource.tfquery.hcl",
                    "list {}\n",
                ),
                (
                    "resources/kitchen_jar/import.sh",
                    "terraform import kitchen_jar.one upper/1\n",
                ),
                (
                    "resources/kitchen_jar/resource.tf",
                    "resource \"kitchen_jar\" \"one\" {\n  a = provider::kitchen::mix(kitchen_jar.two)\n}\n",
                ),
                ("functions/mix/function.tf", "locals {}\n"),
            ]
            .map(file),
        ),
        guides: BTreeMap::from([("guides/eat.md", "# Eating\n")].map(file)),
    }
}

#[track_caller]
fn has(page: &str, part: &str) {
    assert!(page.contains(part), "`{part}` is not in:\n{page}");
}

#[test]
fn a_page_tells_what_comments_rules_and_examples_say() {
    let page = &good().pages(&sources())["resources/jar.md"];
    for part in [
        "page_title: \"kitchen_jar Resource - kitchen\"\nsubcategory: \"Kitchen\"\ndescription: |-\n  A jar.\n---\n\n# kitchen_jar (Resource)\n\nA jar.\n\nStands on a shelf.\n\n~> **Deprecated.** use a bowl.\n",
        "## Example Usage\n\n```terraform\nresource \"kitchen_jar\" \"one\" {\n  a = provider::kitchen::mix(kitchen_jar.two)\n}\n```\n\n`extra.yaml`:\n\n```yaml\na: 1\n```\n\nWhat it refers to is in the examples of [`mix` (function)](../functions/mix.md).\n\n## Permissions\n\nThe key of the cupboard.\n\n## Schema\n\n### Required\n",
        "- `shelf` (String) Where it stands. Accepts one of `upper`, `lower`. Changing it replaces the object.\n",
        "- `spoons` (Number) Number of spoons in it. Accepts from 1 to 9. Default: `3`.\n",
        "- `label` (String) Words on the label:\n\n  - the first is large;\n  - the others are not.\n\n  Default: `\"jam\"`. A later change is only recorded.\n",
        "- `marks` (Set of String) Marks. Without it the jar has none. Each element: text matching `[a-z]+`. Its length is from 1 to 3.\n",
        "- `content_wo` (String, Sensitive, [Write-only](",
        "- `lid` (Attributes) The lid. (see [below for nested schema](#nestedatt--lid))\n",
        "### Read-Only\n\n- `history` (Attributes Map) Lids of earlier days, by colour. (see [below for nested schema](#nestedatt--history))\n",
        "<a id=\"nestedatt--lid\"></a>\n### Nested Schema for `lid`\n\nOptional:\n\n- `colour` (String, Deprecated) Its colour. Only some fit. Deprecated: all lids are grey.\n- `scratch` (Block List) Scratches on it. Without it there are none. 2 blocks at most. (see [below for nested schema](#nestedblock--lid--scratch))\n",
        "<a id=\"nestedblock--lid--scratch\"></a>\n### Nested Schema for `lid.scratch`\n\nRequired:\n\n- `length` (Number) Length in bytes.\n",
        "- `create` (String) How long creating may take, e.g. `\"120m\"`. Default: `\"120m\"`.\n",
        "## Import\n\nBy shelf and number.\n\nIn the configuration:\n\n```terraform\nimport {\n  to = kitchen_jar.one\n  id = \"upper/1\"\n}\n```\n\nOn the command line:\n\n```shell\nterraform import kitchen_jar.one upper/1\n```\n\nBy identity, with Terraform 1.12 or newer:\n\n```terraform\nimport {}\n```\n\n### Identity Schema\n\nRequired:\n\n- `place` (String) Shelf and number.\n\nOptional:\n\n- `kitchen` (String) Which kitchen. Without it: the provider's.\n",
        "Set at most one of `marks`, `content_wo`.\n\n### Read-Only",
    ] {
        has(page, part);
    }
    assert!(!page.contains("\n\n\n"), "{page}");
}

#[test]
fn a_function_shows_signature_arguments_and_result() {
    let page = &good().pages(&sources())["functions/mix.md"];
    for part in [
        "page_title: \"mix function - kitchen\"",
        "# function: mix\n\nMixes.\n\nIn the order given.\n\n## Example Usage\n\n```terraform\nlocals {}\n```\n\n## Signature\n\n```text\nmix(things list(string), times number...) map(bool)\n```\n",
        "## Arguments\n\n1. `things` (List of String) What to mix.\n2. `times` (Variadic, Number) How often. May be null.\n\n## Return Type\n\nMap of Boolean\n\n## Errors\n\nNone.\n",
    ] {
        has(page, part);
    }
}

#[test]
fn a_listing_has_a_page_of_its_own() {
    let page = &good().pages(&sources())["list-resources/jar.md"];
    for part in [
        "# kitchen_jar (List Resource)\n\nJars on a shelf.\n\nEmpty ones are not found.\n\n## Example Usage\n\n```terraform\nlist {}\n```\n",
        "## Schema\n\n### Optional\n\n- `shelf` (String) Which shelf. Without it: all.\n\n## Timeouts\n\nListing may take `5m`.\n",
    ] {
        has(page, part);
    }
}

#[test]
fn the_index_lists_everything() {
    let page = &good().pages(&sources())["index.md"];
    for part in [
        "page_title: \"Provider: kitchen\"",
        "```terraform\nprovider \"kitchen\" {}\n```",
        "## Resources\n\n- [kitchen_jar](resources/jar.md): A jar.\n\n## List Resources\n\n- [kitchen_jar](list-resources/jar.md): Jars on a shelf.\n\n## Functions\n\n- [mix](functions/mix.md): Mixes.\n\n## Guides\n\n- [Eating](guides/eat.md)\n",
    ] {
        has(page, part);
    }
}

#[test]
fn gaps_are_named() {
    assert_eq!(good().undocumented(&sources()), Vec::<String>::new());
    let none = Sources::default();
    let registry = good().data_source::<Shelf>();
    let missing = registry.undocumented(&none);
    let expected = [
        "provider: no example in examples/provider/provider.tf",
        "resource kitchen_jar: no example in examples/resources/kitchen_jar",
        "resource kitchen_jar: no examples/resources/kitchen_jar/import.sh",
        "resource kitchen_jar: no examples/resources/kitchen_jar/import-by-identity.tf",
        "data source kitchen_shelf: title: does not end with a period",
        "data source kitchen_shelf: no description after the title",
        "data source kitchen_shelf: no SUBCATEGORY, under which the registry lists it",
        "data source kitchen_shelf: no example in examples/data-sources/kitchen_shelf",
        "data source kitchen_shelf: no section `# Permissions`: what the credentials must be allowed to do",
        "data source kitchen_shelf: height: does not end with a period",
        "data source kitchen_shelf: depth: does not say what the number counts (seconds, bytes, a port, ...)",
        "data source kitchen_shelf: colour: does not say what holds without it (\"Default: ...\", \"Without it ...\")",
        "data source kitchen_shelf: load: repeats what its schema says: the page tells default and replacement itself",
        "list resource kitchen_jar: no example in examples/list-resources/kitchen_jar",
        "function mix: no example in examples/functions/mix",
    ];
    assert_eq!(missing, expected);
}

#[test]
fn a_script_that_imports_something_else_is_a_gap() {
    let mut sources = sources();
    let script = "terraform import kitchen_plate.one 1\n".to_owned();
    sources
        .examples
        .insert("resources/kitchen_jar/import.sh".to_owned(), script);
    assert_eq!(
        sources.imports()["kitchen_jar"],
        ("kitchen_plate.one".to_owned(), "1".to_owned())
    );
    assert_eq!(
        good().undocumented(&sources),
        ["resource kitchen_jar: import.sh has no line `terraform import ADDRESS ID` for it"]
    );
}

#[test]
fn a_folder_becomes_what_the_pages_say() {
    let folder = tempfile::tempdir().expect("a folder");
    let docs = folder.path().join("docs");
    let mut pages = good().pages(&sources());
    let stale = folder::stale(&docs, &pages).expect("no folder is no pages");
    assert_eq!(stale.len(), 4);
    folder::write(&docs, &pages).expect("pages can be written");
    std::fs::create_dir_all(docs.join("guides")).expect("a folder");
    std::fs::write(docs.join("guides/eat.md"), "# Eating\n").expect("a guide");
    assert_eq!(folder::stale(&docs, &pages).ok(), Some(Vec::new()));
    std::fs::write(docs.join("index.md"), "else").expect("a page");
    let removed = pages.remove("functions/mix.md");
    assert!(removed.is_some());
    assert_eq!(
        folder::stale(&docs, &pages).ok(),
        Some(vec![
            "index.md is out of date".to_owned(),
            "functions/mix.md describes nothing that exists".to_owned()
        ])
    );
    folder::write(&docs, &pages).expect("pages can be written");
    assert_eq!(folder::stale(&docs, &pages).ok(), Some(Vec::new()));
    assert!(!docs.join("functions/mix.md").exists() && docs.join("guides/eat.md").exists());
}
