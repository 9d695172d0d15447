//! An API server that says nothing more: no error, no end of the connection.

use std::time::Duration;

use tokio::time::{Instant, timeout};
use vltava_operator::lease::Leadership;

use crate::lab::{context, lab, resource, rest, step};
use crate::server::Server;

fn silence(server: &Server, is_silent: bool) {
    server.state.lock().expect("no panic").is_silent = is_silent;
}

#[tokio::test(start_paused = true)]
async fn the_lease_is_given_up_before_another_may_take_it() {
    let server = lab();
    let settings = context(server.client()).settings;
    let mut first = Leadership::new(&server.client(), &settings);
    first.gain().await;
    // It is held as long as there are answers.
    assert!(timeout(Duration::from_secs(3600), first.hold()).await.is_err());
    silence(&server, true);
    let began = Instant::now();
    first.hold().await;
    first.leave().await;
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
    // Another one has it once there are answers again, though nobody gave it back.
    let mut second = settings.clone();
    second.identity = "operator-1".to_owned();
    let mut second = Leadership::new(&server.client(), &second);
    assert!(timeout(Duration::from_secs(60), second.gain()).await.is_err(), "nobody answers");
    silence(&server, false);
    timeout(Duration::from_secs(60), second.gain()).await.expect("it is free");
    // And the first one sees that.
    timeout(Duration::from_secs(60), first.hold()).await.expect("it holds it no more");
}

#[tokio::test(start_paused = true)]
async fn a_walk_without_answers_ends_and_the_next_goes_on() {
    let server = lab();
    rest(&server, "prague").await;
    let context = context(server.client());
    let cluster = resource(&server, "prague");
    silence(&server, true);
    let walk = vltava_operator::walk::walk(&context, &cluster);
    let error = timeout(Duration::from_secs(600), walk).await.expect("it ends").expect_err("so");
    assert!(error.to_string().contains("does the API server answer?"), "{error}");
    silence(&server, false);
    assert!(step(&server, &context, "prague").await);
}
