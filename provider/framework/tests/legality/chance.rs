//! Hundreds of schemas and answers by chance, legal and illegal: the plan, the second plan and the result of each are
//! judged by core and by us, and the broken laws must be the same at the same places.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};

use strata_framework::inside::{self, Law};
use strata_framework::schema::{Attribute, Mode, Shape};
use strata_framework::{Dynamic, Schema, Type, Value};
use strata_proto::tfplugin6 as wire;

use crate::puppet::dice::Dice;
use crate::puppet::hcl::{self, Written};
use crate::puppet::random::Sources;
use crate::puppet::verdict::{self, Broken, When};
use crate::puppet::{Call, Ran, Script, Stage, Told, answer, dynamic, random};

/// Schemas, configurations and answers of each run.
const CASES: usize = 300;

const PLAN: &str = "PlanResourceChange";
const APPLY: &str = "ApplyResourceChange";

/// One resource type with one object.
struct Case {
    name: String,
    schema: &'static Schema,
    of: Type,
    written: Written,
    prior: Option<Value>,
    /// A plan that core accepts.
    plan: Value,
    /// The same, perhaps with something changed.
    changed_plan: Value,
    second: Value,
    result: Value,
}

fn case(dice: &mut Dice, number: usize, sources: &mut Sources) -> Case {
    let schema = loop {
        let schema = random::schema(dice);
        if schema.faults(&[]).is_empty() {
            break schema;
        }
    };
    let of = schema.value_type();
    let written = random::written(dice, schema, sources);
    let (before, after) = (written.before(), written.after());
    let prior = dice
        .percent(40)
        .then(|| answer::prior(dice, schema, &after));
    let base = prior.clone().unwrap_or_default();
    // Elements of a set may coincide: then the plan is drawn again.
    let plan = loop {
        let plan = answer::legal_plan(dice, schema, &before, &base);
        if inside::plan(schema, &before, &base, &plan).is_empty() {
            break plan;
        }
    };
    let mut changed_plan = plan.clone();
    if dice.percent(70) {
        changed_plan = answer::changed(dice, schema, &plan, of);
    }
    let mut second = answer::legal_second(dice, schema, &after, &base, &plan);
    let mut result = answer::legal_result(dice, schema, &second);
    match dice.below(10) {
        0..=2 => second = answer::changed(dice, schema, &second, of),
        3..=7 => result = answer::changed(dice, schema, &result, of),
        _ => {}
    }
    let name = format!("puppet_c{number}");
    Case {
        name,
        schema,
        of: of.clone(),
        written,
        prior,
        plan,
        changed_plan,
        second,
        result,
    }
}

impl Case {
    fn address(&self) -> String {
        format!("{}.x", self.name)
    }

    fn call<'a>(&self, calls: &'a [Call], method: &str) -> Option<&'a Call> {
        calls
            .iter()
            .find(|call| call.method == method && call.of == self.name)
    }

    fn value(&self, given: Option<&wire::DynamicValue>) -> Value {
        inside::value(given, &self.of).unwrap()
    }
}

/// The resource whose attributes are unknown until it is applied, and what they are then.
fn source(sources: &Sources) -> (&'static Schema, Value) {
    let (mut attributes, mut values) = (Vec::new(), BTreeMap::new());
    for (number, (of, value)) in sources.0.iter().enumerate() {
        let name: &'static str = Box::leak(format!("v{number}").into_boxed_str());
        let mut attribute = Attribute::new::<String>(name, "", Mode::Computed);
        attribute.shape = Shape::Plain(Type::Dynamic);
        attributes.push(attribute);
        let typed = match value {
            Value::Dynamic(_) => value.clone(),
            other => Value::Dynamic(Box::new(Dynamic {
                of: of.clone(),
                value: other.clone(),
            })),
        };
        values.insert(name.to_owned(), typed);
    }
    (
        Box::leak(Box::new(Schema {
            attributes,
            ..Schema::default()
        })),
        Value::Map(values),
    )
}

fn planned(value: &Value, of: &Type) -> wire::plan_resource_change::Response {
    wire::plan_resource_change::Response {
        planned_state: dynamic(value, of),
        ..Default::default()
    }
}

fn applied(value: &Value, of: &Type) -> wire::apply_resource_change::Response {
    wire::apply_resource_change::Response {
        new_state: dynamic(value, of),
        ..Default::default()
    }
}

/// All cases in one provider and one configuration: a run of Terraform judges every one.
struct Play {
    seed: u64,
    cases: Vec<Case>,
    base: Script,
    stage: Stage,
}

impl Play {
    fn new(seed: u64) -> Self {
        let mut dice = Dice::new(seed);
        let mut sources = Sources(Vec::new());
        let cases: Vec<_> = (0..CASES)
            .map(|number| case(&mut dice, number, &mut sources))
            .collect();
        let (schema, values) = source(&sources);
        let schemas = cases.iter().map(|case| (case.name.clone(), case.schema));
        let mut base =
            Script::with_resources(schemas.chain([("puppet_source".to_owned(), schema)]));
        let unknown = schema
            .attributes
            .iter()
            .map(|one| (one.name.to_owned(), Value::UNKNOWN));
        base.add(
            PLAN,
            "puppet_source",
            &planned(&Value::Map(unknown.collect()), schema.value_type()),
        );
        base.add(
            APPLY,
            "puppet_source",
            &applied(&values, schema.value_type()),
        );

        let stage = Stage::new(&BTreeMap::from([("puppet".to_owned(), base.clone())]));
        let mut text = "resource \"puppet_source\" \"x\" {}\n".to_owned();
        for case in &cases {
            let body = hcl::body(case.schema, &case.written);
            let _ = write!(text, "resource \"{}\" \"x\" {{\n{body}}}\n", case.name);
        }
        stage.configure(&text);
        let stored = |case: &Case| {
            Some((
                case.name.clone(),
                0,
                hcl::json(case.prior.as_ref()?, &case.of),
            ))
        };
        stage.store(
            "puppet",
            &cases.iter().filter_map(stored).collect::<Vec<_>>(),
        );
        Self {
            seed,
            cases,
            base,
            stage,
        }
    }

    /// Runs Terraform with these plans.
    fn run(&self, plan: impl Fn(&Case) -> &Value, arguments: &[&str]) -> (Ran, Vec<Call>) {
        let mut script = self.base.clone();
        for case in &self.cases {
            script.add(PLAN, &case.name, &planned(plan(case), &case.of));
            script.add(APPLY, &case.name, &applied(&case.result, &case.of));
        }
        self.stage.script("puppet", &script);
        let ran = self.stage.run(arguments);
        let seed = self.seed;
        assert!(
            !ran.text.contains("TERRAFORM CRASH"),
            "STRATA_SEED={seed}: Terraform crashed\n{}",
            ran.text
        );
        (ran, self.stage.calls("puppet"))
    }

    /// Compares core's verdict with ours in every case; what differs is printed whole.
    fn compare(&self, ran: &Ran, ours: &BTreeMap<&str, Ours>) {
        let errors: Vec<_> = ran
            .told
            .iter()
            .filter(|told| told.severity == "error")
            .collect();
        let mut wrong = 0;
        for case in &self.cases {
            let address = case.address();
            let about: Vec<_> = errors
                .iter()
                .filter_map(|told| Some((verdict::cores(told, &address)?, told)))
                .collect();
            let ours = &ours[&*case.name];
            if agree(&about, &ours.broken) {
                continue;
            }
            wrong += 1;
            let core: BTreeSet<_> = about.iter().map(|(broken, _)| broken).collect();
            eprintln!(
                "== {address} {:#?}\ncore: {core:?}\nours: {:?}\n{}",
                Words(case.schema),
                ours.broken,
                ours.values
            );
            for (_, told) in about {
                eprintln!("core's text: {}", told.detail);
            }
            for text in &ours.texts {
                eprintln!("our text: {text}");
            }
        }
        assert_eq!(
            wrong, 0,
            "cases judged differently; STRATA_SEED={} replays them",
            self.seed
        );
    }
}

/// Our verdict on a case, and the values it is about.
#[derive(Default)]
struct Ours {
    broken: BTreeSet<Broken>,
    texts: Vec<String>,
    values: String,
}

impl Ours {
    fn new(when: When, faults: &[inside::Fault], values: String) -> Self {
        let texts = faults.iter().map(ToString::to_string).collect();
        Self {
            broken: verdict::ours(when, faults),
            texts,
            values,
        }
    }
}

/// The same laws at the same places. Of a sensitive attribute core says only that something in it differs.
fn agree(core: &[(Broken, &&Told)], ours: &BTreeSet<Broken>) -> bool {
    let (vague, exact): (Vec<_>, Vec<_>) = core.iter().partition(|(_, told)| {
        told.detail
            .contains("inconsistent values for sensitive attribute")
    });
    let within = |one: &Broken| {
        vague
            .iter()
            .any(|((when, path, _), _)| one.0 == *when && one.1.starts_with(path))
    };
    let exact: BTreeSet<_> = exact.iter().map(|(broken, _)| broken).collect();
    let rest: BTreeSet<_> = ours.iter().filter(|one| !within(one)).collect();
    exact == rest
        && vague.iter().all(|((when, path, _), _)| {
            ours.iter()
                .any(|one| one.0 == *when && one.1.starts_with(path))
        })
}

/// A schema in few words.
struct Words(&'static Schema);

impl fmt::Debug for Words {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut map = out.debug_map();
        for one in &self.0.attributes {
            let marks = [
                (one.block, " block"),
                (one.group, " group"),
                (one.sensitive, " sensitive"),
                (one.write_only, " write-only"),
            ];
            let marks: String = marks
                .iter()
                .filter(|(is, _)| *is)
                .map(|(_, word)| *word)
                .collect();
            let shape = match &one.shape {
                Shape::Plain(of) => of.to_json().to_string(),
                Shape::Single(_) => "single".to_owned(),
                Shape::List(_) => "list".to_owned(),
                Shape::Set(_) => "set".to_owned(),
                Shape::Map(_) => "map".to_owned(),
            };
            map.entry(
                &format_args!("{} {:?} {shape}{marks}", one.name, one.mode),
                &one.nested().map(Words),
            );
        }
        map.finish()
    }
}

/// The same cases in every run of the tests, so that what fails was changed; `make chance` looks for other ones.
fn seed() -> u64 {
    let given = std::env::var("STRATA_SEED").ok();
    let seed = given.map_or(565_302_667, |text| {
        text.parse().expect("STRATA_SEED is a number")
    });
    eprintln!("STRATA_SEED={seed} replays this run");
    seed
}

#[test]
fn verdicts_by_chance_are_cores() {
    let play = Play::new(seed());
    plans(&play);
    results(&play);
}

fn plans(play: &Play) {
    let (ran, calls) = play.run(
        |case| &case.changed_plan,
        &["plan", "-json", "-refresh=false"],
    );
    let (mut ours, mut illegal) = (BTreeMap::new(), 0);
    for case in &play.cases {
        let call = case
            .call(&calls, PLAN)
            .unwrap_or_else(|| panic!("{} was not planned:\n{}", case.name, ran.text));
        let request: wire::plan_resource_change::Request = call.request();
        let (config, prior) = (
            case.value(request.config.as_ref()),
            case.value(request.prior_state.as_ref()),
        );
        let planned = &case.changed_plan;
        let faults = inside::plan(case.schema, &config, &prior, planned);
        illegal += usize::from(!faults.is_empty());
        let values = format!("configured: {config:?}\nprior: {prior:?}\nplanned: {planned:?}");
        ours.insert(&*case.name, Ours::new(When::Plan, &faults, values));
    }
    play.compare(&ran, &ours);
    eprintln!("{CASES} plans, {illegal} of them illegal: all judged as core does");
    assert!(
        (CASES / 4..CASES * 3 / 4).contains(&illegal),
        "{illegal} illegal plans of {CASES} prove little"
    );
}

/// All plans are legal, not so the second plans and the results.
fn results(play: &Play) {
    let (ran, _) = play.run(
        |case| &case.plan,
        &["plan", "-json", "-refresh=false", "-out=plan"],
    );
    let seed = play.seed;
    assert_eq!(
        ran.code,
        Some(0),
        "a plan meant to be legal is not; STRATA_SEED={seed} replays it: {:#?}",
        ran.told
    );
    let (ran, calls) = play.run(|case| &case.second, &["apply", "-json", "plan"]);
    let mut ours = BTreeMap::new();
    let (mut seconds, mut wrong_seconds, mut results, mut wrong_results) = (0, 0, 0, 0);
    for case in &play.cases {
        // A plan without a change is neither made again nor applied.
        let mut verdict = Ours::default();
        if let Some(call) = case.call(&calls, PLAN) {
            let request: wire::plan_resource_change::Request = call.request();
            let (config, prior) = (
                case.value(request.config.as_ref()),
                case.value(request.prior_state.as_ref()),
            );
            let (first, second) = (&case.plan, &case.second);
            let values = format!(
                "configured: {config:?}\nprior: {prior:?}\nplanned: {first:?}\nplanned again: {second:?}"
            );
            let faults = inside::plan(case.schema, &config, &prior, second);
            verdict = Ours::new(When::Plan, &faults, values.clone());
            if faults.is_empty() {
                let faults = inside::second_plan(case.schema, first, second);
                verdict = Ours::new(When::SecondPlan, &faults, values);
            }
            seconds += 1;
            wrong_seconds += usize::from(!verdict.broken.is_empty());
        }
        if let Some(call) = case.call(&calls, APPLY) {
            assert!(
                verdict.broken.is_empty(),
                "{} was applied although {:?}",
                case.name,
                verdict.texts
            );
            let request: wire::apply_resource_change::Request = call.request();
            let planned = case.value(request.planned_state.as_ref());
            let faults = inside::result(case.schema, &planned, &case.result);
            let values = format!("planned: {planned:?}\nreturned: {:?}", case.result);
            verdict = Ours::new(When::Apply, &faults, values);
            results += 1;
            wrong_results += usize::from(!faults.is_empty());
            repaired(play, case, &planned);
        }
        ours.insert(&*case.name, verdict);
    }
    play.compare(&ran, &ours);
    eprintln!(
        "{seconds} second plans, {wrong_seconds} of them illegal, {results} results, {wrong_results} of them illegal: \
         all judged as core does"
    );
    assert!(
        wrong_seconds > 20 && wrong_results > 20,
        "so few illegal answers prove little"
    );
}

/// What the framework makes of the result is legal, unless a promise was broken: no true value can be made up for that.
fn repaired(play: &Play, case: &Case, planned: &Value) {
    let repaired = inside::toward_plan(case.schema, planned, &case.result);
    let left = inside::result(case.schema, planned, &repaired);
    // A promise inside a set makes the element one that corresponds to nothing.
    let promised = format!("{planned:?}").contains("Refinement");
    let kept =
        |fault: &inside::Fault| promised && matches!(fault.law, Law::Promise | Law::ChangedMember);
    assert!(
        left.iter().all(kept),
        "{} is still illegal after repair: {left:?}\nplanned: {planned:?}\nreturned: {:?}\nSTRATA_SEED={} replays it",
        case.name,
        case.result,
        play.seed,
    );
}
