//! What a server tells of itself: which databases hold keys, how many, and which server it is.

use super::super::resp_client::{Reply, RespClient};
use super::target::TargetError;

/// Keys that are asked for at a time.
const PAGE: &[u8] = b"500";

/// The lines of a section of INFO.
fn info(client: &mut RespClient, section: &str) -> Result<String, TargetError> {
    match client.call(&[b"INFO", section.as_bytes()])? {
        Reply::Bulk(Some(text)) => Ok(String::from_utf8_lossy(&text).into_owned()),
        other => Err(other.unexpected().into()),
    }
}

fn value<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    text.lines().find_map(|line| line.trim_end().strip_prefix(name)?.strip_prefix(':'))
}

/// The databases that hold keys, each with how many.
pub(super) fn databases(client: &mut RespClient) -> Result<Vec<(u64, u64)>, TargetError> {
    let text = info(client, "keyspace")?;
    let database = |line: &str| {
        let (number, figures) = line.trim_end().strip_prefix("db")?.split_once(':')?;
        let keys = figures.split(',').find_map(|figure| figure.strip_prefix("keys="))?;
        Some((number.parse().ok()?, keys.parse().ok()?))
    };
    Ok(text.lines().filter_map(database).collect())
}

/// Walks over the keys of every database, page by page, while it is selected; what `visit` says of each page is summed.
pub(super) fn each_page(
    client: &mut RespClient,
    mut visit: impl FnMut(&mut RespClient, u64, &[Vec<u8>]) -> Result<u64, TargetError>,
) -> Result<u64, TargetError> {
    let mut sum = 0;
    for (database, _) in databases(client)? {
        client.call(&[b"SELECT", database.to_string().as_bytes()])?;
        let mut cursor = b"0".to_vec();
        loop {
            let (next, keys) = client.scan(&cursor, &[b"COUNT", PAGE])?;
            sum += visit(client, database, &keys)?;
            cursor = next;
            if cursor == b"0" {
                break;
            }
        }
    }
    Ok(sum)
}

/// Which process the server is: a cursor of SCAN means something to the one that gave it.
pub(super) fn run_id(client: &mut RespClient) -> Result<String, TargetError> {
    let text = info(client, "server")?;
    Ok(value(&text, "run_id").ok_or("the source does not tell its run id")?.to_owned())
}

/// How long the source's stream is.
pub(super) fn stream_offset(client: &mut RespClient) -> Result<u64, TargetError> {
    let text = info(client, "replication")?;
    let offset = value(&text, "master_repl_offset").and_then(|offset| offset.parse().ok());
    Ok(offset.ok_or("the source does not tell how long its stream is")?)
}
