//! `respool stream scale`: another number of shards, step by step. A run that writes meanwhile copes with it.
//! What more shards cost, and who reads them, concerns whoever made the stream: of one that is not ours it is asked first.

use serde_json::json;

use super::door::Door;
use super::settle::{until_active, until_set};
use super::shape::{CREATED_BY, is_ours};
use super::steps::{SCALINGS_PER_DAY, steps};
use crate::config::OutputConfig;
use crate::error::Error;
use crate::record::{many, number};
use crate::run::console;
use crate::run::permission;

/// Scales the stream behind `door` to `target` shards, and tells what came of it.
pub async fn scale(door: &Door, target: u32, yes: bool, output: &OutputConfig) -> Result<(), Error> {
    let found = door.look().await?.ok_or_else(|| {
        let create = format!("respool stream create {} --shards {target}{}", door.name, door.flags);
        door.not_there_so(&format!("`{create}` makes it with as many shards"))
    })?;
    if found.description.on_demand {
        return Err(Error::refused(format!(
            "the stream {} is on demand and scales itself: there are no shards to set",
            door.name
        )));
    }
    // A change that is under way would be refused on top of.
    let before = until_active(door, &format!("waiting for {}", door.name), output).await?;
    let before = before.description.open_shards;
    let steps = steps(before, target);
    if steps.len() > SCALINGS_PER_DAY {
        return Err(Error::refused(format!(
            "from {before} to {} it takes {} (each at most doubles or halves them), and a stream may be \
             scaled {SCALINGS_PER_DAY} times within 24 hours: make a new one with {0}",
            many(target, "shard"),
            many(steps.len(), "step")
        )));
    }
    let may = steps.is_empty() || yes || is_ours(&found);
    if !may && !confirmed(door, (before, target), output)? {
        return Err(Error::refused("nothing was scaled"));
    }
    in_steps(door, before, &steps, output).await?;
    let after = door.must_look().await?.description.open_shards;
    if after != target {
        return Err(Error::incomplete(format!(
            "the stream {} has {}, not {}: somebody else is scaling it too; `respool stream scale {0} --shards {target}{3}` \
             sets it again",
            door.name,
            many(after, "shard"),
            number(target.into()),
            door.flags
        )));
    }
    if output.json {
        let told =
            json!({ "stream": door.name.name(), "shards_before": before, "shards": after, "steps": steps });
        return console::print(&format!("{told:#}\n"));
    }
    let how = if steps.is_empty() {
        "already".to_owned()
    } else {
        format!("now; it had {}", number(before.into()))
    };
    console::print(&format!("The stream {} has {} {how}.\n", door.name, many(after, "shard")))
}

async fn in_steps(door: &Door, before: u32, steps: &[u32], output: &OutputConfig) -> Result<(), Error> {
    for (done, &step) in steps.iter().enumerate() {
        let asked = door.stream.scale(step).await;
        asked.map_err(|error| {
            let error = door.error("cannot scale", &[permission::SCALE_STREAM], &error);
            let at = done.checked_sub(1).and_then(|last| steps.get(last)).copied().unwrap_or(before);
            Error::new(
                error.exit_code(),
                format!(
                    "{error}\nThe stream has {} now (a stream may be scaled {SCALINGS_PER_DAY} times within 24 hours, \
                     at most to twice and at least to half of its shards)",
                    many(at, "shard")
                ),
            )
        })?;
        let doing = format!(
            "scaling {} to {} (step {} of {})",
            door.name,
            many(step, "shard"),
            done + 1,
            steps.len()
        );
        until_set(door, &doing, output, |stream| stream.description.open_shards == step).await?;
    }
    Ok(())
}

fn confirmed(door: &Door, (before, target): (u32, u32), output: &OutputConfig) -> Result<bool, Error> {
    let whose = format!(
        "the stream {}{} was not made by respool (it lacks the tag {CREATED_BY})",
        door.name,
        door.at()
    );
    if !output.can_ask {
        return Err(Error::refused(format!(
            "{whose}: say --yes (RESPOOL_YES does not) to scale it all the same; nothing was done"
        )));
    }
    let (from, to) = (number(before.into()), many(target, "shard"));
    console::ask(&format!("{whose}.\nScale it from {from} to {to}? [y/N] "))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::lifecycle::fixtures::{ours, silent, simulated};
    use crate::stream::control::NewStream;

    #[tokio::test]
    async fn a_stream_that_is_not_ours_is_scaled_only_if_that_is_said() {
        let (server, door) = simulated("orders").await;
        let new = |tags| NewStream { shards: 2, record_kib: None, tags };
        door.stream.create(&new(BTreeMap::new())).await.unwrap();
        let output = silent();
        let refused = scale(&door, 4, false, &output).await.unwrap_err();
        assert_eq!(refused.exit_code(), crate::error::ExitCode::Refused);
        for words in ["the stream orders at http://127.0.0.1:", "was not made by respool", "--yes"] {
            assert!(refused.to_string().contains(words), "{refused}");
        }
        assert_eq!(door.must_look().await.unwrap().description.open_shards, 2);
        scale(&door, 2, false, &output).await.unwrap();
        scale(&door, 4, true, &output).await.unwrap();
        assert_eq!(door.must_look().await.unwrap().description.open_shards, 4);
        door.stream.delete(false).await.unwrap();
        door.stream.create(&new(ours(1).tags)).await.unwrap();
        scale(&door, 1, false, &output).await.unwrap();
        server.abort();
    }
}
