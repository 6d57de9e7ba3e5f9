//! A Rust program that embeds nodes: two of them, and a daemon that Redis clients use, in one cluster.
//!
//! `cargo run -p cahoots-gossip --example embedded -- ./a.sock 127.0.0.1:7101`
//!
//! The arguments are the socket of a running daemon (`cahoots serve --socket ./a.sock`) and where it listens for peers.
//! Without them two embedded nodes are the whole cluster.

use std::error::Error;
use std::io::Write;
use std::net::SocketAddr;
use std::time::Duration;

use cahoots_gossip::driver::{Node, NodeConfig};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    tour(args.next(), args.next(), &mut std::io::stdout()).await
}

pub(crate) async fn tour(
    socket: Option<String>,
    daemon: Option<String>,
    out: &mut impl Write,
) -> Result<(), Box<dyn Error>> {
    // A node needs a name and an address. With a seed it joins that one's cluster.
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut config = NodeConfig::new("left", any_port);
    config.seeds.extend(daemon);
    let left = Node::start(config).await?;
    let mut config = NodeConfig::new("right", any_port);
    config.seeds = vec![left.local_addr().to_string()];
    let right = Node::start(config).await?;

    // Reads and writes work from the start. Whoever must not miss what others have written waits.
    writeln!(out, "left is ready: {:?}", left.ready().await)?;
    writeln!(out, "right is ready: {:?}", right.ready().await)?;

    let mut changes = right.subscribe().under("tour:");
    left.counter("tour:visits").add(40)?;
    left.set("tour:guests").insert("Ada")?;
    // Two changes that others see together or not at all.
    left.group(|group| {
        group.map("tour:1").set("city", "London")?;
        group.map("tour:1").set("state", "planned")
    })?;
    let applied_at = left.wait_for(1, Some(Duration::from_secs(5))).await;
    writeln!(out, "left's changes are applied at {applied_at} other node(s)")?;
    writeln!(out, "right was told of a change: {:?}", changes.next().await)?;

    // Both at once: every increment counts.
    right.counter("tour:visits").add(2)?;
    left.vote("tour:leader").cast("left")?;
    right.vote("tour:leader").cast("left")?;
    let guest = right.presence("tour:room").join()?;
    until(|| left.counter("tour:visits").value() == Ok(42)).await;
    until(|| left.presence("tour:room").count() == Ok(1)).await;
    until(|| left.vote("tour:leader").tally().is_ok_and(|tally| tally.votes_for("left") == 2)).await;
    writeln!(
        out,
        "left sees {} visits, {} in the room",
        left.counter("tour:visits").value()?,
        left.presence("tour:room").count()?
    )?;
    let tally = left.vote("tour:leader").tally()?;
    writeln!(out, "left sees {} votes for left, {} silent", tally.votes_for("left"), tally.silent.len())?;

    if let Some(socket) = socket {
        // What the embedded nodes write, Redis clients of the daemon read, and the other way round.
        let mut client = Client::connect(&socket).await?;
        while client.call("GET tour:visits").await? != "42" {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        writeln!(out, "the daemon sees {} visits", client.call("GET tour:visits").await?)?;
        writeln!(out, "the daemon sees the tour in {}", client.call("HGET tour:1 city").await?)?;
        client.call("SADD tour:guests Bob").await?;
        until(|| right.set("tour:guests").len() == Ok(2)).await;
        writeln!(out, "right sees {} guests", right.set("tour:guests").len()?)?;
    }

    drop(guest);
    until(|| left.presence("tour:room").count() == Ok(0)).await;
    writeln!(out, "the room is empty again")?;
    // Hands over what only this node has, and says farewell.
    let drained = right.shutdown(Duration::from_secs(5)).await;
    writeln!(out, "right has left; everything it held is at {} other node(s)", drained.complete_at)?;
    left.shutdown(Duration::from_secs(5)).await;
    Ok(())
}

/// Looks again and again; a program would rather wait for a change.
async fn until(happened: impl Fn() -> bool) {
    while !happened() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// As little of a Redis client as this needs.
struct Client(BufReader<UnixStream>);

impl Client {
    async fn connect(socket: &str) -> std::io::Result<Self> {
        Ok(Self(BufReader::new(UnixStream::connect(socket).await?)))
    }

    /// Sends a command; the reply as text.
    async fn call(&mut self, command: &str) -> std::io::Result<String> {
        self.0.write_all(format!("{command}\r\n").as_bytes()).await?;
        let mut line = String::new();
        self.0.read_line(&mut line).await?;
        match line.trim_end().strip_prefix('$').map(str::parse::<usize>) {
            Some(Ok(length)) => {
                let mut body = vec![0; length + 2];
                self.0.read_exact(&mut body).await?;
                Ok(String::from_utf8_lossy(&body[..length]).into_owned())
            }
            _ => Ok(line.trim_end().to_owned()),
        }
    }
}
