//! Shards: listed, split, merged, scaled.

use std::time::Duration;

use base64_simd::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::limits::{HASH_KEY_DIGITS_MAX, LIST_SHARDS_PAGE_MAX};

use super::super::SimTime;
use super::super::model::{Service, StreamState};
use super::super::service_error::ServiceError;
use super::super::shard::Shard;
use super::super::world::World;
use super::check::{Check, FilterInput, Input};
use super::control::description;
use super::records::hash_key;
use super::{arn, epoch_millis};

/// Life of a page token. Source: Kinesis API reference, ListShards, read 2026-11-22.
const TOKEN_LIFE: Duration = Duration::from_mins(5);
const FILTERS: [&str; 6] =
    ["AFTER_SHARD_ID", "AT_TRIM_HORIZON", "FROM_TRIM_HORIZON", "AT_LATEST", "AT_TIMESTAMP", "FROM_TIMESTAMP"];

fn shard_answer(stream: &StreamState, shard: &Shard) -> Value {
    let mut answer = json!({
        "ShardId": shard.id,
        "HashKeyRange": { "StartingHashKey": shard.range.first, "EndingHashKey": shard.range.last },
        "SequenceNumberRange": { "StartingSequenceNumber": shard.starting().to_string() },
    });
    if let Some(closing) = shard.closing {
        answer["SequenceNumberRange"]["EndingSequenceNumber"] = closing.ending.to_string().into();
    }
    for (field, parent) in [("ParentShardId", shard.parent), ("AdjacentParentShardId", shard.adjacent_parent)]
    {
        // A parent whose records have all expired is no longer listed, but still named.
        if let Some(parent) = parent {
            answer[field] = stream.shard(parent).id.to_string().into();
        }
    }
    answer
}

pub(super) fn describe_stream(world: &World, input: &Input, region: &str) -> Result<Value, ServiceError> {
    let mut check = Check::default();
    let name = check.stream(input.stream_name.as_deref(), input.stream_arn.as_deref());
    let limit = input.limit.unwrap_or(100);
    check.range(limit, "limit", 1..=10_000);
    check.done()?;
    let limit = usize::try_from(limit).unwrap_or(1);
    let after = input.exclusive_start_shard_id.as_deref();
    world.act(|service, now| {
        let created = service.stream(now, &name)?.created;
        let created_ms = service.epoch_ms(created);
        let stream = service.stream(now, &name)?;
        let horizon = stream.horizon(now);
        let listed: Vec<&Shard> = stream
            .shards
            .iter()
            .filter(|shard| after.is_none_or(|after| &*shard.id.0 > after))
            .filter(|shard| ended_after(shard, horizon))
            .collect();
        let page: Vec<Value> = listed.iter().take(limit).map(|shard| shard_answer(stream, shard)).collect();
        let mut answer = description(stream, created_ms, region);
        answer["HasMoreShards"] = (page.len() < listed.len()).into();
        answer["Shards"] = page.into();
        Ok(json!({ "StreamDescription": answer }))
    })
}

/// Which shards a listing shows.
#[derive(Debug, Clone, Copy)]
enum Filter {
    Ended { after: SimTime },
    OpenAt(SimTime),
    Open,
}

impl Filter {
    fn shows(self, shard: &Shard) -> bool {
        match self {
            Self::Ended { after } => ended_after(shard, after),
            Self::OpenAt(time) => shard.opened <= time && ended_after(shard, time),
            Self::Open => shard.is_open(),
        }
    }
}

fn ended_after(shard: &Shard, time: SimTime) -> bool {
    shard.closing.is_none_or(|closing| closing.at > time || time == SimTime::START)
}

/// A page token: stream, last shard seen, when it was given out, filter and its instant.
struct Token {
    name: String,
    after: String,
    issued_ms: i64,
    filter: String,
    filter_ms: i64,
}

impl Token {
    fn encode(&self) -> String {
        let Self { name, after, issued_ms, filter, filter_ms } = self;
        URL_SAFE_NO_PAD.encode_to_string(format!("{name}:{after}:{issued_ms}:{filter}:{filter_ms}"))
    }

    fn decode(text: &str) -> Result<Self, ServiceError> {
        let fields = || {
            let plain = String::from_utf8(URL_SAFE_NO_PAD.decode_to_vec(text).ok()?).ok()?;
            let mut fields = plain.split(':').map(str::to_owned);
            Some(Self {
                name: fields.next()?,
                after: fields.next()?,
                issued_ms: fields.next()?.parse().ok()?,
                filter: fields.next()?,
                filter_ms: fields.next()?.parse().ok()?,
            })
        };
        fields().ok_or_else(|| ServiceError::invalid_argument("NextToken is invalid."))
    }
}

/// What is asked for, from the input or from the token of an earlier page.
fn listing(input: &Input) -> Result<Token, ServiceError> {
    let mut check = Check::default();
    if let Some(token) = &input.next_token {
        if input.stream_name.is_some() || input.stream_arn.is_some() {
            return Err(ServiceError::invalid_argument(
                "NextToken and StreamName cannot be provided together.",
            ));
        }
        return Token::decode(token);
    }
    let name = check.stream(input.stream_name.as_deref(), input.stream_arn.as_deref());
    let mut token = Token {
        name,
        after: input.exclusive_start_shard_id.clone().unwrap_or_default(),
        issued_ms: i64::MAX,
        filter: "FROM_TRIM_HORIZON".to_owned(),
        filter_ms: 0,
    };
    if let Some(FilterInput { r#type, shard_id, timestamp }) = &input.shard_filter {
        token.filter = check.required(r#type.clone(), "shardFilter.type");
        check.one_of(&token.filter, "shardFilter.type", &FILTERS);
        match token.filter.as_str() {
            "AFTER_SHARD_ID" => token.after = check.required(shard_id.clone(), "shardFilter.shardId"),
            "AT_TIMESTAMP" | "FROM_TIMESTAMP" => {
                token.filter_ms = epoch_millis(check.required(*timestamp, "shardFilter.timestamp"));
            }
            _ => {}
        }
    }
    check.done().map(|()| token)
}

fn filter(token: &Token, service: &Service, horizon: SimTime) -> Filter {
    let time = service.time_of_epoch_ms(token.filter_ms);
    match token.filter.as_str() {
        "AT_LATEST" => Filter::Open,
        "AT_TRIM_HORIZON" => Filter::OpenAt(horizon),
        "AT_TIMESTAMP" => Filter::OpenAt(time.max(horizon)),
        "FROM_TIMESTAMP" => Filter::Ended { after: time.max(horizon) },
        _ => Filter::Ended { after: horizon },
    }
}

pub(super) fn list_shards(world: &World, input: &Input, _: &str) -> Result<Value, ServiceError> {
    let mut check = Check::default();
    let limit = input.max_results.unwrap_or(1_000);
    check.range(limit, "maxResults", 1..=10_000);
    check.done()?;
    let limit = usize::try_from(limit).unwrap_or(1).min(LIST_SHARDS_PAGE_MAX);
    let mut token = listing(input)?;
    world.act(|service, now| {
        let now_ms = service.epoch_ms(now);
        let life_ms = i64::try_from(TOKEN_LIFE.as_millis()).unwrap_or(i64::MAX);
        if token.issued_ms.saturating_add(life_ms) < now_ms {
            return Err(ServiceError::client("ExpiredNextTokenException", "NextToken has expired."));
        }
        let horizon = service.stream(now, &token.name)?.horizon(now);
        let filter = filter(&token, service, horizon);
        let stream = service.stream(now, &token.name)?;
        let listed: Vec<&Shard> =
            stream.shards.iter().filter(|shard| *shard.id.0 > *token.after && filter.shows(shard)).collect();
        let page = listed.get(..limit.min(listed.len())).unwrap_or_default();
        let mut answer =
            json!({ "Shards": page.iter().map(|shard| shard_answer(stream, shard)).collect::<Vec<_>>() });
        if let (true, Some(last)) = (listed.len() > limit, page.last()) {
            token.after = last.id.to_string();
            token.issued_ms = now_ms;
            answer["NextToken"] = token.encode().into();
        }
        Ok(answer)
    })
}

pub(super) fn split_shard(world: &World, input: &Input, _: &str) -> Result<Value, ServiceError> {
    let mut check = Check::default();
    let name = check.stream(input.stream_name.as_deref(), input.stream_arn.as_deref());
    let shard = check.required(input.shard_to_split.clone(), "shardToSplit");
    let at = check.required(input.new_starting_hash_key.clone(), "newStartingHashKey");
    check.decimal(&at, || "newStartingHashKey".to_owned(), HASH_KEY_DIGITS_MAX);
    check.done()?;
    let at = hash_key(&at, "NewStartingHashKey")?;
    world.act(|service, now| service.split_shard(now, &name, &shard, at)).map(|()| Value::Null)
}

pub(super) fn merge_shards(world: &World, input: &Input, _: &str) -> Result<Value, ServiceError> {
    let mut check = Check::default();
    let name = check.stream(input.stream_name.as_deref(), input.stream_arn.as_deref());
    let shard = check.required(input.shard_to_merge.clone(), "shardToMerge");
    let adjacent = check.required(input.adjacent_shard_to_merge.clone(), "adjacentShardToMerge");
    check.done()?;
    world.act(|service, now| service.merge_shards(now, &name, &shard, &adjacent)).map(|()| Value::Null)
}

pub(super) fn update_shard_count(world: &World, input: &Input, region: &str) -> Result<Value, ServiceError> {
    let mut check = Check::default();
    let name = check.stream(input.stream_name.as_deref(), input.stream_arn.as_deref());
    let target = check.required(input.target_shard_count, "targetShardCount");
    check.range(target, "targetShardCount", 1..=100_000);
    let scaling = check.required(input.scaling_type.clone(), "scalingType");
    check.one_of(&scaling, "scalingType", &["UNIFORM_SCALING"]);
    check.done()?;
    let target = u32::try_from(target).unwrap_or(1);
    let current = world.act(|service, now| service.update_shard_count(now, &name, target))?;
    Ok(json!({
        "StreamName": name,
        "StreamARN": arn(region, &name),
        "CurrentShardCount": current,
        "TargetShardCount": target,
    }))
}
