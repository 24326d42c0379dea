use super::*;
use crate::explain::toy_model::ToyModel;
use crate::explain::{GradCam, Request, Score, TargetChoice};
use crate::frame::{ColorSpec, Orientation, Picture, PictureFormat};
use crate::model::Classifier;
use crate::pipeline::live::{Asking, Question};
use crate::render::RenderOptions;

fn desk(frame_interval: Option<Duration>) -> Desk {
    let model = ToyModel::new(8, |_| 0.0);
    let request = Request {
        targets: vec![TargetChoice::Top1],
        score: Score::Logit,
        contrast: None,
        layers: vec![model.spec().last_layer()],
    };
    let asking = Asking {
        model: &model,
        top_k: 1,
        hold: 0.0,
        samples: None,
        seed: 0,
        workers: 1,
        score: None,
    };
    let question = Question::new(&GradCam, request, "layer4".to_owned());
    let settings = Settings::new(question, RenderOptions::default(), &asking).unwrap();
    Desk::new(settings, model.spec().clone(), true, frame_interval)
}

fn put(desk: &Desk, indices: impl IntoIterator<Item = u64>, at: Instant) {
    for index in indices {
        desk.put_frame(Captured {
            index,
            at,
            picture: Picture::filled(2, 2, PictureFormat::FULL_8, ColorSpec::RGB, [0; 3]),
            orientation: Orientation::default(),
            pixel_aspect: 1.0,
        });
    }
}

/// Frame and question of the next task.
fn next_task(desk: &Desk) -> Option<(u64, u64)> {
    let task = desk.lock().next_task()?;
    Some((task.frame.index, task.question.number))
}

#[test]
fn each_frame_is_a_task_once_for_each_question() {
    let desk = desk(None);
    assert_eq!(next_task(&desk), None);
    let take_one = || (next_task(&desk), next_task(&desk));
    put(&desk, [0], Instant::now());
    assert_eq!(take_one(), (Some((0, 0)), None));
    desk.fulfil(&[Wish::TopClass]).unwrap();
    assert_eq!(take_one(), (Some((0, 1)), None), "no other frame came");
    desk.fulfil(&[Wish::Freeze(true)]).unwrap();
    put(&desk, 1..=3, Instant::now());
    assert_eq!(next_task(&desk), None, "it is explained");
    desk.fulfil(&[Wish::TopClass]).unwrap();
    assert_eq!(take_one(), (Some((0, 2)), None));
    desk.fulfil(&[Wish::Freeze(false)]).unwrap();
    assert_eq!(take_one(), (Some((3, 2)), None), "it is shown now");
}

#[test]
fn frames_that_nobody_took_are_counted_until_the_end() {
    let desk = desk(None);
    let dropped = || desk.look(|look| look.meters.dropped + look.untaken);
    put(&desk, [0], Instant::now());
    assert_eq!((next_task(&desk), dropped()), (Some((0, 0)), 0));
    put(&desk, 1..=5, Instant::now());
    assert_eq!(dropped(), 4, "the last one may still be taken");
    desk.fulfil(&[Wish::Freeze(true)]).unwrap();
    put(&desk, 6..=9, Instant::now());
    assert_eq!(
        dropped(),
        4,
        "what passes while a frame is held is not missed"
    );
    desk.fulfil(&[Wish::Freeze(false)]).unwrap();
    assert_eq!(dropped(), 5, "the held one was shown and not explained");
    assert_eq!((next_task(&desk), dropped()), (Some((9, 0)), 5));
    put(&desk, [10, 11], Instant::now());
    assert_eq!(dropped(), 6);
    desk.end(End::Stopped);
    assert_eq!(dropped(), 7);
}

#[test]
fn a_source_that_says_that_it_is_slow_is_given_time_for_its_second_frame() {
    let long_ago = Instant::now().checked_sub(Duration::from_secs(3));
    for (claim, is_live) in [(None, false), (Some(Duration::from_secs(4)), true)] {
        let desk = desk(claim);
        put(&desk, [0], long_ago.unwrap());
        assert_eq!(desk.look(|look| *look.signal == Signal::Live), is_live);
    }
}
