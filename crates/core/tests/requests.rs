//! Requests of ours outside of a dialog: a task asks through a shard and hears what became of it.

mod world;

use bytes::Bytes;
use sip::{Command, Destination, Method, Outcome, Question, Request, Status};
use world::{World, udp};

fn options() -> Question {
    Question {
        method: Method::Options,
        to: Destination {
            flow: udp(5062),
            uri: "sip:trunk.example.net".into(),
            route: Vec::new(),
        },
        from: "<sip:sip.example.net>".into(),
        to_value: "<sip:trunk.example.net>".into(),
        series: None,
        contact_user: None,
        headers: Vec::new(),
        body: Bytes::new(),
        login: None,
    }
}

#[tokio::test]
async fn each_task_hears_the_answer_to_its_own_request() {
    let mut world = World::new().await;
    let core = world.core.clone();
    let first = core.requests.ask(0, options());
    let second = core.requests.ask(0, options());
    let stack = async {
        let (mut ids, answer) = (Vec::new(), Request::new(Method::Options, "sip:x"));
        for _ in 0..2 {
            match world.command().await {
                Command::Ask { id, .. } => ids.push(id),
                other => panic!("no question but {other:?}"),
            }
        }
        core.answered(ids[1], Outcome::Answered(answer.respond(Status::OK)));
        core.answered(ids[0], Outcome::Timeout);
        // A number that nobody waits for changes nothing.
        core.answered(ids[0], Outcome::FlowLost);
    };
    let (first, second, ()) = tokio::join!(first, second, stack);
    assert!(matches!(first, Outcome::Timeout), "{first:?}");
    let Outcome::Answered(response) = second else {
        panic!("no answer but {second:?}");
    };
    assert_eq!(response.status, Status::OK);
}

#[tokio::test]
async fn a_shard_that_does_not_exist_has_no_room() {
    let world = World::new().await;
    let outcome = world.core.requests.ask(9, options()).await;
    assert!(matches!(outcome, Outcome::NoRoom), "{outcome:?}");
}
