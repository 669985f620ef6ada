//! Looks at the chosen objects: fetches them, decodes them, asks each record where it would go.
//!
//! What is read whole goes through the spool, so it stays in the cache for the replay, and what lies there already is
//! not fetched. Of a large object only the beginning is asked for, decoded as far as it goes, and forgotten.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::estimate::looks_compressed;
use super::model::SampledRecord;
use super::sample::Look;
use crate::archive::{Archive, ArchiveError, ObjectEntry};
use crate::decode::{Compression, DecodeConfig, DecodeError, Decoded, Span, decode};
use crate::error::Error;
use crate::record::{HashKey, Ordinal};
use crate::route::RouteRules;
use crate::route::fields::Fields;
use crate::run::forbidden;
use crate::run::segments::Segments;
use crate::run::spool::{Spool, Spooled, blocking};

/// Objects that are looked at together, as in a replay.
const AT_ONCE: usize = 16;
/// Records that are asked where they would go, of all objects together.
const RECORDS_MAX: usize = 200_000;
/// But so many of each object at least.
const RECORDS_MIN: usize = 1_000;
/// A beginning of which nothing can be made is given up above this size; below, the whole object is fetched.
const WHOLE_BYTES_MAX: u64 = 64 << 20;
/// What the beginning of an object may become when it is decoded.
const DECODED_BYTES_MAX: u64 = 1 << 30;
/// Keys of one object that are remembered as texts.
const KEYS_NAMED: usize = 10;
/// In an archive of one object, the two halves of the sample take turns after so many records.
const HALF_RECORDS: usize = 256;

/// What was seen of one object, counts carried to all of it.
#[derive(Debug, Clone, Default)]
pub struct Reading {
    /// Its number in the manifest.
    pub number: u32,
    /// Its size as stored.
    pub stored: f64,
    /// How much of that was read.
    pub read: f64,
    /// Whether that is all.
    pub whole: bool,
    /// Whether it is compressed, by its name.
    pub compressed: bool,
    /// Its records.
    pub records: f64,
    /// Their bytes.
    pub decoded: f64,
    /// Those that would be sent.
    pub sent: f64,
    /// Their data and keys.
    pub sent_bytes: f64,
    /// Those that the user leaves out.
    pub filtered: f64,
    /// Those that would be set aside, by reason.
    pub set_aside: BTreeMap<&'static str, f64>,
    /// How it is stored.
    pub decoding: String,
    /// Records that would be sent.
    pub sample: Vec<SampledRecord>,
    /// A number for each of them that is the same for the same bytes.
    pub prints: Vec<u64>,
    /// The texts of its most frequent keys.
    pub keys: Vec<(HashKey, String)>,
    /// The first record.
    pub first: Option<Vec<u8>>,
    /// What the first few say of their fields.
    pub fields: Fields,
    /// How long it took to have it decoded.
    pub took: Duration,
}

/// An object that could not be read.
#[derive(Debug, Clone)]
pub struct Unread {
    /// Its size as stored.
    pub stored: f64,
    /// Whether it is compressed, by its name.
    pub compressed: bool,
    /// Why, in a word or a sentence.
    pub reason: String,
}

impl Unread {
    #[expect(clippy::cast_precision_loss, reason = "estimates")]
    fn new(entry: &ObjectEntry, reason: String) -> Self {
        Self { stored: entry.size.0 as f64, compressed: looks_compressed(&entry.key), reason }
    }
}

/// What was seen of the archive.
#[derive(Debug, Default)]
pub struct Readings {
    /// The objects that could be read, in archive order.
    pub objects: Vec<Reading>,
    /// Those that could not.
    pub unread: Vec<Unread>,
    /// How many of them were in the cache before.
    pub cached: u64,
}

/// Looks at objects.
#[derive(Clone)]
pub struct Reader {
    /// Where they lie.
    pub archive: Arc<dyn Archive>,
    /// The way into the cache.
    pub spool: Arc<Spool>,
    /// Where segments lie then.
    pub segments: Arc<Segments>,
    /// How bytes become records.
    pub decode: DecodeConfig,
    /// Where a record would go.
    pub rules: Arc<RouteRules>,
    /// Records of each object whose fields are looked at.
    pub first: usize,
}

impl Reader {
    /// Looks at all of `looks`.
    pub async fn read(self, looks: &[Look]) -> Result<Readings, Error> {
        let most = (RECORDS_MAX / looks.len().max(1)).max(RECORDS_MIN);
        let mut running = JoinSet::new();
        let mut waiting = looks.iter().copied();
        let mut found = Readings::default();
        loop {
            while running.len() < AT_ONCE
                && let Some(look) = waiting.next()
            {
                let reader = self.clone();
                running.spawn(async move { reader.look(look, most).await });
            }
            let Some(ended) = running.join_next().await else { break };
            let ended =
                ended.map_err(|error| Error::internal("a look at an object failed").with_source(error));
            match ended?? {
                Ok(reading) => found.objects.push(reading),
                Err(unread) => found.unread.push(unread),
            }
        }
        found.objects.sort_by_key(|object| object.number);
        found.cached = self.spool.stats.hits.load(Ordering::Relaxed);
        split_in_halves(&mut found.objects);
        Ok(found)
    }

    async fn look(&self, look: Look, most: usize) -> Result<Result<Reading, Unread>, Error> {
        let number = look.number;
        let entry = self.spool.manifest().object(number).cloned();
        let entry = entry.ok_or_else(|| Error::internal(format!("the manifest has no object {number}")))?;
        if let Some(bytes) = look.beginning {
            match self.beginning(number, &entry, bytes, most).await? {
                Ok(reading) => return Ok(Ok(reading)),
                Err(why) if entry.size.0 > WHOLE_BYTES_MAX => return Ok(Err(Unread::new(&entry, why))),
                Err(_) => {}
            }
        }
        self.whole(number, entry, most).await
    }

    async fn whole(
        &self,
        number: u32,
        entry: ObjectEntry,
        most: usize,
    ) -> Result<Result<Reading, Unread>, Error> {
        let began = Instant::now();
        if let Spooled::Quarantined { reason, .. } = self.spool.object(number).await? {
            return Ok(Err(Unread::new(&entry, reason)));
        }
        let took = began.elapsed();
        let (segments, rules, first) = (self.segments.clone(), self.rules.clone(), self.first);
        let look = move || -> Result<Reading, Error> {
            let segment = segments.get(number)?;
            let records = (0..segment.records()).map_while(|record| segment.record(record).ok());
            let mut reading = Reading { number, whole: true, took, ..Reading::default() };
            reading.take(&entry, entry.size.0, 1.0, &rules, records, (most, first));
            reading.decoding.clone_from(&segment.label().decoding);
            Ok(reading)
        };
        let reading = blocking(look).await??;
        self.spool.look_at(number).await?;
        Ok(Ok(reading))
    }

    /// The same of the first `bytes` of an object; why not, if nothing can be made of them.
    async fn beginning(
        &self,
        number: u32,
        entry: &ObjectEntry,
        bytes: u64,
        most: usize,
    ) -> Result<Result<Reading, String>, Error> {
        let began = Instant::now();
        let body = match self.archive.fetch_beginning(entry, bytes).await {
            Ok(body) => body,
            Err(error @ ArchiveError::Defect { .. }) => return Ok(Err(error.to_string())),
            Err(error) => return Err(forbidden::by_archive(self.archive.location(), error)),
        };
        let (entry, rules, first) = (entry.clone(), self.rules.clone(), self.first);
        let config = DecodeConfig { salvage: true, output_bytes_max: DECODED_BYTES_MAX, ..self.decode };
        blocking(move || {
            let encoding = body.content_encoding.clone();
            let mut data = Vec::new();
            let decoded = body
                .reader()
                .map_err(DecodeError::Input)
                .and_then(|mut body| decode(&mut body, encoding.as_deref(), &config, &mut data));
            let decoded = decoded.map_err(|error| error.to_string())?;
            let (spans, read) = whole_spans(&decoded, bytes);
            if spans.is_empty() {
                return Err("no record is whole in its beginning".to_owned());
            }
            let took = began.elapsed();
            let cut = |span: &Span| {
                let start = usize::try_from(span.offset).ok()?;
                data.get(start..start.checked_add(span.len as usize)?)
            };
            #[expect(clippy::cast_precision_loss, reason = "an estimate")]
            let scale = entry.size.0 as f64 / read.max(1) as f64;
            let mut reading = Reading { number, took, ..Reading::default() };
            reading.take(&entry, bytes, scale, &rules, spans.iter().map_while(cut), (most, first));
            reading.decoding = format!("{}, {}", decoded.compression, decoded.framing);
            Ok(reading)
        })
        .await
    }
}

/// The spans that are whole for sure, and how many stored bytes they stand for.
fn whole_spans(decoded: &Decoded, bytes: u64) -> (Vec<Span>, u64) {
    let mut spans: Vec<Span> = decoded.spans.iter().collect();
    if decoded.compression != Compression::None {
        return (spans, bytes);
    }
    // A line without an end is a record only at the end of an object.
    if decoded.salvaged.is_none() {
        let cut = spans.pop();
        return (spans, cut.map_or(bytes, |cut| cut.offset));
    }
    let end = spans.last().map_or(bytes, |last| last.offset + u64::from(last.len));
    (spans, end)
}

impl Reading {
    /// Takes in the records of an object, of which the read part stands for `scale` times as much.
    #[expect(clippy::cast_precision_loss, reason = "estimates")]
    fn take<'a>(
        &mut self,
        entry: &ObjectEntry,
        read: u64,
        scale: f64,
        rules: &RouteRules,
        records: impl Iterator<Item = &'a [u8]>,
        (most, look_at_first): (usize, usize),
    ) {
        (self.stored, self.read) = (entry.size.0 as f64, read as f64);
        self.compressed = looks_compressed(&entry.key);
        let (mut count, mut decoded, mut asked) = (0_u32, 0_u64, 0_u32);
        let mut counts: HashMap<HashKey, (u32, String)> = HashMap::new();
        for record in records {
            decoded += record.len() as u64;
            let ordinal = Ordinal::new(self.number, count);
            count += 1;
            if asked as usize >= most {
                continue;
            }
            asked += 1;
            if asked as usize <= look_at_first {
                self.first.get_or_insert_with(|| record.to_vec());
                self.fields.see(record);
            }
            match rules.route(entry.only.as_deref(), ordinal, record) {
                Ok(Some(routed)) => {
                    let sampled = SampledRecord { hash: routed.hash, cost: routed.cost, second_half: false };
                    self.sample.push(sampled);
                    self.prints.push(print(record));
                    self.sent_bytes += f64::from(routed.cost);
                    let named = counts.entry(routed.hash).or_insert_with(|| {
                        let key = rules.extractor.key(record, ordinal);
                        (0, key.map(|key| key.as_str().to_owned()).unwrap_or_default())
                    });
                    named.0 += 1;
                }
                Ok(None) => self.filtered += 1.0,
                Err(reason) => *self.set_aside.entry(reason.as_str()).or_default() += 1.0,
            }
        }
        // What was asked stands for what was only counted.
        let each = f64::from(count) / f64::from(asked.max(1)) * scale;
        self.sent = self.sample.len() as f64 * each;
        self.sent_bytes *= each;
        self.filtered *= each;
        self.set_aside.values_mut().for_each(|count| *count *= each);
        self.records = f64::from(count) * scale;
        self.decoded = decoded as f64 * scale;
        let mut named: Vec<_> = counts.into_iter().collect();
        named.sort_unstable_by_key(|(hash, (count, _))| (std::cmp::Reverse(*count), *hash));
        named.truncate(KEYS_NAMED);
        self.keys = named.into_iter().map(|(hash, (_, text))| (hash, text)).collect();
    }
}

fn print(record: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(record);
    hasher.finish()
}

fn split_in_halves(objects: &mut [Reading]) {
    let alone = objects.len() == 1;
    for (number, object) in objects.iter_mut().enumerate() {
        for (place, record) in object.sample.iter_mut().enumerate() {
            let turn = if alone { place / HALF_RECORDS } else { number };
            record.second_half = turn % 2 == 1;
        }
    }
}

#[cfg(test)]
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
mod tests {
    use super::*;

    fn decoded(bytes: &[u8]) -> Decoded {
        let config = DecodeConfig { salvage: true, ..DecodeConfig::default() };
        decode(&mut &*bytes, None, &config, &mut Vec::new()).unwrap()
    }

    #[test]
    fn a_line_that_was_cut_off_is_no_record_and_does_not_count() {
        let text = b"{\"n\":1}\n{\"n\":2}\n{\"n\":3";
        let (spans, read) = whole_spans(&decoded(text), text.len() as u64);
        assert_eq!((spans.len(), read), (2, 16));
    }

    #[test]
    fn of_a_gzip_that_was_cut_off_whole_lines_are_taken() {
        use std::io::Write as _;
        let mut dice = fastrand::Rng::with_seed(1);
        let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        let mut plain = 0;
        for number in 0..20_000 {
            let line = format!("{{\"n\":{number},\"text\":\"{}\"}}\n", dice.u64(..));
            plain += line.len() as u64;
            packed.write_all(line.as_bytes()).unwrap();
        }
        let packed = packed.finish().unwrap();
        let beginning = &packed[..packed.len() / 3];
        let decoded = decoded(beginning);
        let (spans, read) = whole_spans(&decoded, beginning.len() as u64);
        // What the beginning says of the whole is right to a few percent.
        let scale = packed.len() as f64 / read as f64;
        assert!((spans.len() as f64 * scale / 20_000.0 - 1.0).abs() < 0.03, "{}", spans.len());
        assert!((decoded.bytes as f64 * scale / plain as f64 - 1.0).abs() < 0.03);
    }
}
