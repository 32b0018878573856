//! What a machine tells of while it works (contracts/talos.md section 2.3).

use std::sync::{Mutex, PoisonError};

use prost::Message;
use prost_types::Any;
use strata_proto::talos::common::{Code, Error};
use strata_proto::talos::machine::machine_status_event::{MachineStage, MachineStatus};
use strata_proto::talos::machine::sequence_event::Action;
use strata_proto::talos::machine::{
    Event, MachineStatusEvent, SequenceEvent, TaskEvent, task_event,
};
use tokio::sync::watch;

/// How many a machine keeps.
const KEPT: usize = 500;

/// The events of a machine; they outlive its boots here, which lets a test see all of them.
pub(super) struct Events {
    kept: Mutex<Vec<(u64, Event)>>,
    /// How many there were.
    pub(super) count: watch::Sender<u64>,
}

impl Default for Events {
    fn default() -> Self {
        Self {
            kept: Mutex::default(),
            count: watch::Sender::new(0),
        }
    }
}

impl Events {
    fn push(&self, actor: &str, name: &str, message: &impl Message) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let number = *self.count.borrow() + 1;
        let data = Any {
            type_url: format!("talos/runtime/machine.{name}"),
            value: message.encode_to_vec(),
        };
        kept.push((
            number,
            Event {
                metadata: None,
                data: Some(data),
                id: format!("{number:020}"),
                actor_id: actor.to_owned(),
            },
        ));
        if kept.len() > KEPT {
            kept.remove(0);
        }
        self.count.send_replace(number);
    }

    /// Those after a number, and the number of the last.
    pub(super) fn after(&self, number: u64) -> (Vec<Event>, u64) {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let later = kept
            .iter()
            .filter(|(own, _)| *own > number)
            .map(|(_, event)| event.clone())
            .collect();
        (later, kept.last().map_or(number, |(own, _)| *own))
    }

    pub(super) fn stage(&self, stage: MachineStage, ready: bool) {
        let event = MachineStatusEvent {
            stage: stage.into(),
            status: Some(MachineStatus {
                ready,
                unmet_conditions: Vec::new(),
            }),
        };
        self.push("", "MachineStatusEvent", &event);
    }

    pub(super) fn sequence(&self, actor: &str, sequence: &str, action: Action) {
        let event = SequenceEvent {
            sequence: sequence.to_owned(),
            action: action.into(),
            error: None,
        };
        self.push(actor, "SequenceEvent", &event);
    }

    /// A sequence that ended badly.
    pub(super) fn failed(&self, actor: &str, sequence: &str, code: Code, message: &str) {
        let event = SequenceEvent {
            sequence: sequence.to_owned(),
            action: Action::Noop.into(),
            error: Some(Error {
                code: code.into(),
                message: message.to_owned(),
                details: Vec::new(),
            }),
        };
        self.push(actor, "SequenceEvent", &event);
    }

    pub(super) fn task(&self, actor: &str, task: &str) {
        for action in [task_event::Action::Start, task_event::Action::Stop] {
            let event = TaskEvent {
                task: task.to_owned(),
                action: action.into(),
            };
            self.push(actor, "TaskEvent", &event);
        }
    }

    /// A configuration that the platform handed over and that is not right.
    pub(super) fn configuration_error(&self, error: &str) {
        let event = strata_proto::talos::machine::ConfigValidationErrorEvent {
            error: error.to_owned(),
        };
        self.push("", "ConfigValidationErrorEvent", &event);
    }
}
