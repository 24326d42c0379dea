//! Batches of a made-up network: who gets which answer, and what happens when the device has had enough.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::Duration;

use super::{BatchNetwork, BatchSize, Batched, Devices, Facts, Make, MakeHeads, Question};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{
    Backend, Classifier, Forward, FullyConnected, Labels, ModelInput, ModelSpec, Normalization,
    Precision,
};

const SIZE: usize = 4;

/// What a test can see and do while the network runs.
#[derive(Default)]
struct Lab {
    /// Sizes of the batches that were launched.
    batches: Mutex<Vec<usize>>,
    /// More pictures than this do not fit.
    room: AtomicUsize,
    /// Two batches at the same time do not fit.
    has_room_for_one_batch: AtomicBool,
    /// What the next launches fail with.
    failures: Mutex<VecDeque<ErrorKind>>,
    /// Launched and not yet collected.
    under_way: AtomicUsize,
    /// Networks that were ended in order.
    ended: AtomicUsize,
    /// How often memory was given back.
    given_back: AtomicUsize,
    most_under_way: AtomicUsize,
}

/// Answers with the first value of the picture as logit.
struct Echo {
    lab: Arc<Lab>,
    /// A batch takes so long.
    pace: Duration,
    /// Its batches that were launched and not yet collected.
    under_way: usize,
}

impl Echo {
    fn new(lab: Arc<Lab>, pace: Duration) -> Self {
        Self {
            lab,
            pace,
            under_way: 0,
        }
    }
}

impl BatchNetwork for Echo {
    type Question = Question<f32>;
    type Answer = Forward;
    type Running = Vec<f32>;

    fn launch(&mut self, batch: &[&Question<f32>]) -> Result<Vec<f32>> {
        self.lab.batches.lock().unwrap().push(batch.len());
        if let Some(kind) = self.lab.failures.lock().unwrap().pop_front() {
            return Err(Error::new(kind, "made to fail"));
        }
        let is_full = self.lab.has_room_for_one_batch.load(Ordering::Relaxed)
            && self.lab.under_way.load(Ordering::Relaxed) > 0;
        if is_full || batch.len() > self.lab.room.load(Ordering::Relaxed) {
            return Err(Error::new(ErrorKind::OutOfMemory, "full"));
        }
        self.under_way += 1;
        let under_way = self.lab.under_way.fetch_add(1, Ordering::Relaxed) + 1;
        self.lab
            .most_under_way
            .fetch_max(under_way, Ordering::Relaxed);
        Ok(batch.iter().map(|question| question.picture).collect())
    }

    fn collect(&mut self, running: Vec<f32>) -> Result<Vec<Forward>> {
        thread::sleep(self.pace);
        self.under_way -= 1;
        self.lab.under_way.fetch_sub(1, Ordering::Relaxed);
        let pass = |value| Forward::new(Vec::new(), Vec::new(), vec![value]);
        Ok(running.into_iter().map(pass).collect())
    }

    fn give_back(&mut self) {
        assert_eq!(self.under_way, 0);
        self.lab.given_back.fetch_add(1, Ordering::Relaxed);
    }

    fn end(self) {
        self.lab.ended.fetch_add(1, Ordering::Relaxed);
    }
}

fn first_value(input: &ModelInput) -> f32 {
    input.values[0]
}

fn input(value: f32) -> ModelInput {
    ModelInput {
        size: SIZE,
        values: vec![value; 3 * SIZE * SIZE],
    }
}

fn facts() -> Facts {
    Facts {
        spec: ModelSpec {
            arch: "echo".to_owned(),
            blocks: [1; 4],
            has_stride_in_1x1: false,
            batch_norm_epsilon: 1e-5,
            normalization: Normalization::TORCH,
            input_size: SIZE,
            labels: Labels::from_json(r#"["yes"]"#, r#"["n1"]"#).unwrap(),
        },
        fully_connected: FullyConnected {
            weight: Vec::new(),
            bias: Vec::new(),
            channels: 0,
        },
        backend: Backend {
            device: "echo".to_owned(),
            isa: "echo",
            precision: Precision::F32,
            is_emulated: false,
        },
    }
}

fn no_heads() -> MakeHeads {
    Box::new(Vec::new)
}

fn lab(room: usize) -> Arc<Lab> {
    let lab = Lab::default();
    lab.room.store(room, Ordering::Relaxed);
    Arc::new(lab)
}

fn start(lab: &Arc<Lab>, devices: usize, most: usize) -> Batched<f32> {
    let make = || -> Make<Echo> {
        let lab = Arc::clone(lab);
        let pace = Duration::from_millis(5);
        Box::new(move || Ok(Echo::new(lab, pace)))
    };
    let size = BatchSize {
        most: Some(most),
        latency: None,
    };
    let networks = (0..devices).map(|_| make()).collect();
    Batched::start(facts(), first_value, (networks, no_heads()), size).unwrap()
}

/// Each of so many callers asks at the same time, `times` in a row; returns the answers' errors.
fn ask(model: &Batched<f32>, callers: usize, times: usize) -> Vec<Error> {
    let (together, errors) = (Barrier::new(callers), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for caller in 0..callers {
            let (together, errors) = (&together, &errors);
            scope.spawn(move || {
                together.wait();
                for time in 0..times {
                    let value = (caller * 1000 + time) as f32;
                    match model.forward(&input(value), &[]) {
                        Ok(pass) => assert_eq!(pass.logits, [value], "another caller's answer"),
                        Err(error) => errors.lock().unwrap().push(error),
                    }
                }
            });
        }
    });
    errors.into_inner().unwrap()
}

#[test]
fn every_caller_gets_the_answer_to_its_own_picture() {
    for devices in [1, 3] {
        let lab = lab(usize::MAX);
        let model = start(&lab, devices, 4);
        assert_eq!(model.batch(), Some(4 * devices));
        assert!(ask(&model, 16, 20).is_empty());
        let batches = lab.batches.lock().unwrap();
        assert_eq!(batches.iter().sum::<usize>(), 16 * 20);
        assert!(batches.iter().all(|batch| *batch <= 4), "{batches:?}");
        // With more callers than a device takes, batches fill up.
        assert!(devices > 1 || batches.contains(&4), "{batches:?}");
    }
}

#[test]
fn a_single_caller_does_not_wait_for_others() {
    let lab = lab(usize::MAX);
    let model = start(&lab, 1, 32);
    assert!(ask(&model, 1, 3).is_empty());
    assert_eq!(*lab.batches.lock().unwrap(), [1, 1, 1]);
}

#[test]
fn the_next_batch_is_launched_while_one_computes() {
    let lab = lab(usize::MAX);
    let model = start(&lab, 1, 2);
    assert!(ask(&model, 8, 5).is_empty());
    assert_eq!(lab.most_under_way.load(Ordering::Relaxed), 2);
}

#[test]
fn out_of_memory_halves_the_batch_and_goes_on() {
    let lab = lab(3);
    let model = start(&lab, 1, 16);
    assert!(ask(&model, 16, 4).is_empty());
    assert!(model.batch().unwrap() <= 3, "{:?}", model.batch());
    let done: usize = {
        let batches = lab.batches.lock().unwrap();
        batches.iter().filter(|batch| **batch <= 3).sum()
    };
    assert_eq!(done, 16 * 4);
}

#[test]
fn a_picture_that_does_not_fit_even_alone_is_an_error() {
    let lab = lab(0);
    let model = start(&lab, 1, 4);
    let errors = ask(&model, 4, 1);
    assert_eq!(errors.len(), 4);
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::OutOfMemory);
    }
}

#[test]
fn memory_that_the_batch_before_had_is_waited_for() {
    let lab = lab(usize::MAX);
    lab.has_room_for_one_batch.store(true, Ordering::Relaxed);
    let model = start(&lab, 1, 2);
    assert!(ask(&model, 8, 5).is_empty());
    assert_eq!(lab.most_under_way.load(Ordering::Relaxed), 1);
    assert_eq!(model.batch(), Some(2), "halved for nothing");
    // Whatever was launched beside another batch was launched again.
    let launched: usize = lab.batches.lock().unwrap().iter().sum();
    assert!(launched > 8 * 5, "{launched}");
}

#[test]
fn who_lacks_memory_elsewhere_gets_what_devices_hold() {
    let lab = lab(usize::MAX);
    let model = start(&lab, 2, 8);
    let has_memory = || match lab.given_back.load(Ordering::Relaxed) {
        2.. => Ok(()),
        _ => Err(Error::new(ErrorKind::OutOfMemory, "full")),
    };
    // While both devices wait for pictures.
    model.pressure.retry(has_memory).unwrap();
    let halved = model.batch().unwrap();
    assert!(halved < 16, "{halved}");
    // While they compute.
    lab.given_back.store(0, Ordering::Relaxed);
    thread::scope(|scope| {
        let asking = scope.spawn(|| ask(&model, 16, 40));
        model.pressure.retry(has_memory).unwrap();
        assert!(asking.join().unwrap().is_empty());
    });
    assert!(model.batch().unwrap() < halved, "{:?}", model.batch());
}

#[test]
fn a_device_that_lacks_memory_at_its_start_gets_some_from_the_others() {
    let (lab, full) = (lab(usize::MAX), Arc::new(AtomicBool::new(true)));
    let model = start(&lab, 1, 8);
    let start = || {
        let is_full = lab.given_back.load(Ordering::Relaxed) == 0;
        full.store(is_full, Ordering::Relaxed);
        let (lab, full) = (Arc::clone(&lab), Arc::clone(&full));
        let make: Make<Echo> = Box::new(move || {
            if full.load(Ordering::Relaxed) {
                return Err(Error::new(ErrorKind::OutOfMemory, "full"));
            }
            let pace = Duration::ZERO;
            Ok(Echo::new(lab, pace))
        });
        Devices::start("late", vec![make], |_| Ok(2), &model.pressure)
    };
    let late = model.pressure.retry(start).unwrap();
    assert!(model.batch().unwrap() < 8);
    assert_eq!(late.batch(), 2);
    let spec = &model.facts.spec;
    let pass = late.ask(Question::of(5.0, spec.last_layer())).unwrap();
    assert_eq!(pass.logits, [5.0]);
}

#[test]
fn a_device_that_is_lost_while_its_batch_is_measured_is_an_error() {
    let lab = lab(usize::MAX);
    lab.failures.lock().unwrap().push_back(ErrorKind::Compute);
    let make: Make<Echo> = {
        let lab = Arc::clone(&lab);
        let pace = Duration::ZERO;
        Box::new(move || Ok(Echo::new(lab, pace)))
    };
    let networks = (vec![make], no_heads());
    let error = Batched::start(facts(), first_value, networks, BatchSize::default()).unwrap_err();
    assert_eq!(error.one_line(), "made to fail");
    assert_eq!(lab.ended.load(Ordering::Relaxed), 1);
}

#[test]
fn a_lost_device_is_told_to_all_who_wait_in_one_line() {
    let lab = lab(usize::MAX);
    let model = start(&lab, 1, 4);
    lab.failures.lock().unwrap().push_back(ErrorKind::Compute);
    let errors = ask(&model, 4, 1);
    assert!(!errors.is_empty());
    for error in errors {
        assert_eq!(error.kind(), ErrorKind::Compute);
        assert_eq!(error.one_line(), "made to fail");
    }
}

#[test]
fn a_network_that_panics_leaves_nobody_waiting() {
    struct Broken;
    impl BatchNetwork for Broken {
        type Question = Question<f32>;
        type Answer = Forward;
        type Running = ();
        fn launch(&mut self, _: &[&Question<f32>]) -> Result<()> {
            panic!("as made")
        }
        fn collect(&mut self, (): ()) -> Result<Vec<Forward>> {
            Ok(Vec::new())
        }
        fn give_back(&mut self) {}
    }
    let size = BatchSize {
        most: Some(2),
        latency: None,
    };
    let make: Make<Broken> = Box::new(|| Ok(Broken));
    let model = Batched::start(facts(), first_value, (vec![make], no_heads()), size).unwrap();
    let errors = ask(&model, 3, 2);
    assert_eq!(errors.len(), 6);
    for error in errors {
        assert!(error.one_line().contains("the device's thread has ended"));
    }
    // Nor is it waited for where memory is short, though its batch was never halved.
    assert_eq!(model.batch(), Some(2));
    let full = || -> Result<()> { Err(Error::new(ErrorKind::OutOfMemory, "full")) };
    let error = model.pressure.retry(full).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::OutOfMemory);
}

#[test]
fn a_device_that_cannot_start_is_an_error_at_once() {
    let make: Make<Echo> = Box::new(|| Err(Error::new(ErrorKind::Compute, "no such GPU")));
    let size = BatchSize::default();
    let error = Batched::start(facts(), first_value, (vec![make], no_heads()), size).unwrap_err();
    assert_eq!(error.one_line(), "no such GPU");
}

#[test]
fn what_has_started_ends_in_order_if_another_device_cannot_start() {
    let lab = lab(usize::MAX);
    let good: Make<Echo> = {
        let lab = Arc::clone(&lab);
        Box::new(move || Ok(Echo::new(lab, Duration::ZERO)))
    };
    let bad: Make<Echo> = Box::new(|| Err(Error::new(ErrorKind::OutOfMemory, "full")));
    let size = BatchSize {
        most: Some(2),
        latency: None,
    };
    let networks = (vec![good, bad], no_heads());
    let error = Batched::start(facts(), first_value, networks, size).unwrap_err();
    assert_eq!(error.one_line(), "full");
    assert_eq!(lab.ended.load(Ordering::Relaxed), 1);
}

#[test]
fn without_a_size_the_batch_is_measured() {
    let lab = lab(2);
    let make: Make<Echo> = {
        let lab = Arc::clone(&lab);
        let pace = Duration::from_millis(2);
        Box::new(move || Ok(Echo::new(lab, pace)))
    };
    let size = BatchSize::default();
    let model = Batched::start(facts(), first_value, (vec![make], no_heads()), size).unwrap();
    // Two are twice as fast as one, more do not fit.
    assert_eq!(lab.batches.lock().unwrap()[..4], [1; 4]);
    assert!(lab.batches.lock().unwrap().contains(&2));
    assert!(model.batch().unwrap() <= 2);
    assert!(ask(&model, 4, 2).is_empty());
}
