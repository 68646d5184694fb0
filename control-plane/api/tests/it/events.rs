//! The WebSocket, by a client that we did not write.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use mcsp_domain::{ContentId, UserId, UserRole};
use mcsp_services::notify::{CONNECTIONS_PER_USER_MAX, LiveTimes};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::net::{TcpSocket, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::handshake::client::Response;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::support::{World, send};

const EVENTS: &str = "/api/v1/events";

type Socket = WebSocketStream<TcpStream>;

fn user() -> UserId {
    UserId::from_bytes([0x11; 16])
}

fn token(world: &World) -> String {
    world.token(user(), UserRole::Viewer)
}

/// Opens a connection with a header.
async fn open(world: &World, query: &str, header: (&'static str, &str)) -> Result<(Socket, Response), Error> {
    let mut request = format!("ws://{}{EVENTS}{query}", world.authority()).into_client_request()?;
    request.headers_mut().insert(header.0, header.1.parse().unwrap());
    // A small window, so that a client that does not read is felt soon.
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let stream = socket.connect(world.authority().parse().unwrap()).await.unwrap();
    tokio_tungstenite::client_async(request, stream).await
}

async fn connect(world: &World, query: &str) -> Socket {
    open(world, query, ("authorization", &format!("Bearer {}", token(world)))).await.unwrap().0
}

async fn refusal(opened: Result<(Socket, Response), Error>) -> StatusCode {
    match opened {
        Err(Error::Http(response)) => response.status(),
        other => panic!("the connection was {other:?}"),
    }
}

/// Returns the next message that is text; none once the connection is closed, with the code.
async fn next(socket: &mut Socket) -> Result<Value, Option<u16>> {
    loop {
        let received = tokio::time::timeout(Duration::from_secs(20), socket.next()).await.unwrap();
        match received {
            Some(Ok(Message::Text(text))) => return Ok(serde_json::from_str(&text).unwrap()),
            Some(Ok(Message::Close(frame))) => return Err(frame.map(|frame| frame.code.into())),
            Some(Ok(_)) => {}
            Some(Err(_)) | None => return Err(None),
        }
    }
}

async fn write(world: &World, number: u64, padding: usize) {
    let mut tx = world.catalog.begin().await.unwrap();
    let body = json!({ "number": number, "padding": "x".repeat(padding) });
    tx.notice(user(), "content.state", Some(ContentId::from_bytes([1; 16])), &body, 5).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_come_as_they_are_written_and_go_on_from_a_cursor() {
    let world = World::new().await;
    let mut socket = connect(&world, "").await;
    let ready = next(&mut socket).await.unwrap();
    assert_eq!((&ready["kind"], &ready["cursor"]), (&"events.ready".into(), &"0".into()));
    write(&world, 1, 0).await;
    write(&world, 2, 0).await;
    let first = next(&mut socket).await.unwrap();
    let content = ContentId::from_bytes([1; 16]).to_string();
    let expected = json!({
        "cursor": "1", "kind": "content.state", "content": content, "body": {"number": 1, "padding": ""}, "at_us": 5,
    });
    assert_eq!(first, expected);
    drop(socket);
    let mut socket = connect(&world, "?after=1").await;
    assert_eq!(next(&mut socket).await.unwrap()["kind"], "events.ready");
    assert_eq!(next(&mut socket).await.unwrap()["body"]["number"], 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_browser_names_its_token_as_a_subprotocol() {
    let world = World::new().await;
    let protocols = format!("bearer, {}", token(&world));
    let (mut socket, response) = open(&world, "", ("sec-websocket-protocol", &protocols)).await.unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "bearer", "the token is not repeated");
    assert_eq!(next(&mut socket).await.unwrap()["kind"], "events.ready");
    for (name, value) in [("sec-websocket-protocol", "bearer, x.y.z"), ("authorization", "Bearer x"), ("x-none", "x")] {
        assert_eq!(refusal(open(&world, "", (name, value)).await).await, StatusCode::UNAUTHORIZED, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_websocket_or_no_cursor_is_a_problem() {
    let world = World::new().await;
    let plain = world.get(EVENTS, &token(&world)).await;
    assert_eq!((plain.status, plain.problem().as_str()), (StatusCode::UPGRADE_REQUIRED, "no-websocket"));
    let unsigned = send(world.request(Method::GET, EVENTS)).await;
    assert_eq!((unsigned.status, unsigned.problem().as_str()), (StatusCode::UNAUTHORIZED, "signed-out"));
    let header = format!("Bearer {}", token(&world));
    for query in ["?after=x", "?after=-1", "?after=", "?after=01", "?before=1"] {
        let refused = refusal(open(&world, query, ("authorization", &header)).await).await;
        assert_eq!(refused, StatusCode::UNPROCESSABLE_ENTITY, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_holds_so_many_connections() {
    let world = World::new().await;
    let mut open_ones = Vec::new();
    for _ in 0..CONNECTIONS_PER_USER_MAX {
        let mut socket = connect(&world, "").await;
        next(&mut socket).await.unwrap();
        open_ones.push(socket);
    }
    let header = format!("Bearer {}", token(&world));
    let refused = refusal(open(&world, "", ("authorization", &header)).await).await;
    assert_eq!(refused, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_ends_with_its_token() {
    let world = World::new().await;
    let header = format!("Bearer {}", world.token_for(user(), UserRole::Viewer, 1));
    let (mut socket, _) = open(&world, "", ("authorization", &header)).await.unwrap();
    assert_eq!(next(&mut socket).await.unwrap()["kind"], "events.ready");
    assert_eq!(next(&mut socket).await.unwrap_err(), Some(4401));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_speaks_is_closed_and_one_that_says_goodbye_too() {
    let world = World::new().await;
    let mut socket = connect(&world, "").await;
    next(&mut socket).await.unwrap();
    socket.send(Message::Text("hello".into())).await.unwrap();
    assert_eq!(next(&mut socket).await.unwrap_err(), Some(1003));
    let mut socket = connect(&world, "").await;
    next(&mut socket).await.unwrap();
    socket.close(None).await.unwrap();
    assert!(next(&mut socket).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_answers_no_ping_is_dropped_and_one_that_does_stays() {
    let (ping_every, silence_max) = (Duration::from_millis(20), Duration::from_millis(200));
    let world = World::live(LiveTimes { ping_every, silence_max, ..LiveTimes::default() }).await;
    let mut socket = connect(&world, "").await;
    let mut pings = 0;
    // Reading answers pings: it stays far longer than silence is suffered.
    while pings < 20 {
        match tokio::time::timeout(Duration::from_secs(20), socket.next()).await.unwrap() {
            Some(Ok(Message::Ping(_))) => pings += 1,
            Some(Ok(Message::Text(_))) => {}
            other => panic!("the connection was {other:?}"),
        }
    }
    // The connection is read past its protocol, which therefore answers nothing.
    let mut ends_with = Vec::new();
    let read = tokio::io::AsyncReadExt::read_to_end(socket.get_mut(), &mut ends_with);
    tokio::time::timeout(Duration::from_secs(20), read).await.unwrap().unwrap();
    let code = 4408_u16.to_be_bytes();
    assert!(ends_with.windows(2).any(|bytes| bytes == code), "{ends_with:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_reads_nothing_is_dropped_and_misses_nothing() {
    const COUNT: u32 = 160;
    let times = LiveTimes { send_max: Duration::from_millis(300), ..LiveTimes::default() };
    let world = World::live(times).await;
    let mut slow = connect(&world, "").await;
    let mut cursor = next(&mut slow).await.unwrap()["cursor"].as_str().unwrap().to_owned();
    for number in 1..=COUNT {
        write(&world, number.into(), 64 << 10).await;
    }
    // It reads nothing until its place is free again: the server has given it up.
    let eight_fit = async {
        loop {
            let mut others = Vec::new();
            let header = format!("Bearer {}", token(&world));
            while others.len() < CONNECTIONS_PER_USER_MAX as usize {
                match open(&world, "", ("authorization", &header)).await {
                    Ok((socket, _)) => others.push(socket),
                    Err(_) => break,
                }
            }
            if others.len() == CONNECTIONS_PER_USER_MAX as usize {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), eight_fit).await.unwrap();
    let mut seen = Vec::new();
    let mut ends = 0;
    while seen.len() < COUNT as usize {
        while let Ok(message) = next(&mut slow).await {
            cursor = message["cursor"].as_str().unwrap().to_owned();
            seen.extend(message["body"]["number"].as_u64());
            if seen.len() == COUNT as usize {
                break;
            }
        }
        ends += 1;
        assert!(ends < 20, "{} of {COUNT} came", seen.len());
        if seen.len() < COUNT as usize {
            slow = connect(&world, &format!("?after={cursor}")).await;
        }
    }
    assert!(ends > 1, "it was never dropped");
    assert_eq!(seen, (1..=u64::from(COUNT)).collect::<Vec<_>>());
}
