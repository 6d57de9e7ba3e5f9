//! The lines of the README about embedding, run: what stands between the marks is what stands there.
mod driver_cluster;

use std::error::Error;

use cahoots_gossip::driver::{Node, NodeConfig};
use driver_cluster::{loopback, within};

#[rustfmt::skip]
#[allow(unused_variables, reason = "the README shows how a guard is held, not what for")]
async fn embedding(seed: &str) -> Result<(), Box<dyn Error>> {
    // README
    let mut config = NodeConfig::new("worker-7", "127.0.0.1:0".parse()?);
    config.seeds.push(seed.into());
    let node = Node::start(config).await?;
    node.ready().await;                                   // until it has what the cluster has

    node.counter("hits").add(1)?;
    node.set("cart").insert("milk")?;
    node.group(|group| {                                  // one change: seen together or not at all
        group.map("order:7").set("state", "paid")?;
        group.counter("orders:paid").add(1)
    })?;
    node.wait_for(1, None).await;                         // until one other node has applied all of it

    node.vote("schema").cast("v2")?;                      // counted over the members that are alive
    let here = node.presence("room:7").join()?;           // until this guard is dropped, or the node is gone

    let mut changes = node.subscribe().under("order:");   // whoever changes it
    while let Some(change) = changes.next().await {
        println!("{change:?}");
    }
    // README
    Ok(())
}

fn lines(text: &str) -> Vec<String> {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).map(str::to_owned).collect()
}

#[test]
fn the_readme_shows_what_is_run_here() {
    let readme = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md")).expect("the README");
    let shown = readme.split("```rust").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    let shown = shown.replace("\"127.0.0.1:7101\".into()", "seed.into()");
    let shown: Vec<String> = lines(&shown).into_iter().filter(|line| !line.starts_with("use ")).collect();
    let run = include_str!("readme.rs").split("    // README\n").nth(1).expect("marks");
    assert_eq!(shown, lines(run));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_readme_says_happens() {
    let seed = Node::start(NodeConfig::new("seed", loopback())).await.expect("a free port on loopback");
    let address = seed.local_addr().to_string();
    let mut changes = seed.subscribe();
    let seen = async {
        let shows_it = || {
            seed.counter("hits").value() == Ok(1)
                && seed.set("cart").contains("milk") == Ok(true)
                && seed.map("order:7").get("state") == Ok(Some(b"paid".to_vec()))
                && seed.counter("orders:paid").value() == Ok(1)
                && seed.vote("schema").tally().is_ok_and(|tally| tally.votes_for("v2") == 1)
                && seed.presence("room:7").count() == Ok(1)
        };
        while !shows_it() {
            changes.next().await.expect("the node runs");
        }
    };
    let both = async {
        tokio::select! {
            ended = embedding(&address) => panic!("it waits for changes: {ended:?}"),
            () = seen => {}
        }
    };
    within("the example", both).await;
}
