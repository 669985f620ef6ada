#!/usr/bin/env python3
"""A stream as a foreign client sees it, against an archive as foreign decoders read it.

    stream.py create URL STREAM SHARDS
    stream.py compare URL STREAM ARCHIVE KEY DUPLICATES
    stream.py compare-aggregates URL STREAM ARCHIVE KEY DUPLICATES

`compare` decodes the files below ARCHIVE in the order of their names (gzip, zstd or plain, by their first
bytes), cuts them into records (at line feeds if their name ends in `-bare-lines`, else as JSON values), reads
the whole stream, and ends with 0 if the stream holds every record byte for byte as often as the archive does,
up to DUPLICATES more, and each key's records in archive order. KEY is a JSON pointer of one step, or `hash`,
for which equal records must have equal keys. `compare-aggregates` unpacks what is read with the module
aws-kinesis-agg first, asks for a share of aggregates, and for each shard in archive order as a whole. Nothing here knows respool.
"""

import base64
import collections
import hashlib
import concurrent.futures
import gzip
import io
import json
import sys
import time
from pathlib import Path

import boto3
import zstandard
from botocore.config import Config

READERS = 8


def client(url):
    return boto3.client("kinesis", endpoint_url=url, config=Config(max_pool_connections=READERS))


def create(url, stream, shards):
    kinesis = client(url)
    kinesis.create_stream(StreamName=stream, ShardCount=int(shards))
    kinesis.get_waiter("stream_exists").wait(StreamName=stream, WaiterConfig={"Delay": 1})


def decompressed(data):
    if data[:2] == b"\x1f\x8b":
        return gzip.decompress(data)
    if data[:4] == b"\x28\xb5\x2f\xfd":
        return zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data), read_across_frames=True).read()
    return data


def lines(data):
    return [line for line in data.split(b"\n") if line not in (b"", b"\r")]


def values(data):
    """JSON values one after the other. Latin-1 keeps every byte a character, so that places are places of bytes."""
    text, decoder, place = data.decode("latin-1"), json.JSONDecoder(), 0
    while True:
        while place < len(text) and text[place] in " \t\r\n":
            place += 1
        if place == len(text):
            return
        _, end = decoder.raw_decode(text, place)
        yield data[place:end]
        place = end


def archive_records(root):
    files = sorted(path for path in Path(root).rglob("*") if path.is_file())
    for path in sorted(files, key=lambda path: path.relative_to(root).as_posix().encode()):
        data = decompressed(path.read_bytes())
        yield from lines(data) if path.name.endswith("-bare-lines") else values(data)


def key_of(record, pointer):
    value = json.loads(record)[pointer.removeprefix("/")]
    return value if isinstance(value, str) else json.dumps(value)


def read_shard(kinesis, stream, shard):
    iterator = kinesis.get_shard_iterator(
        StreamName=stream, ShardId=shard, ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
    records = []
    while True:
        try:
            answer = kinesis.get_records(ShardIterator=iterator)
        except kinesis.exceptions.ProvisionedThroughputExceededException:
            time.sleep(0.2)
            continue
        records += [(int(r["SequenceNumber"]), r["PartitionKey"], r["Data"]) for r in answer["Records"]]
        iterator = answer["NextShardIterator"]
        if not answer["Records"] and answer["MillisBehindLatest"] == 0:
            numbers = [number for number, _, _ in records]
            assert all(a < b for a, b in zip(numbers, numbers[1:])), f"{shard}: sequence numbers do not rise"
            return [(key, data) for _, key, data in records]


def shards_of(url, stream):
    """Each shard's range, and its records."""
    kinesis = client(url)
    shards = [shard for page in kinesis.get_paginator("list_shards").paginate(StreamName=stream)
              for shard in page["Shards"]]
    with concurrent.futures.ThreadPoolExecutor(READERS) as pool:
        records = pool.map(lambda shard: read_shard(kinesis, stream, shard["ShardId"]), shards)
        for shard, found in zip(shards, records):
            ends = shard["HashKeyRange"]
            yield range(int(ends["StartingHashKey"]), int(ends["EndingHashKey"]) + 1), found


def stream_records(url, stream):
    for _, records in shards_of(url, stream):
        yield from records


def unpacked(url, stream, places):
    """The records as a consumer unpacks them; `places` says where each stands in the archive."""
    entries = 0
    for within, records in shards_of(url, stream):
        entries += len(records)
        kinesis = [{"kinesis": {"data": base64.b64encode(data).decode(), "partitionKey": key, "sequenceNumber": "1",
                                "approximateArrivalTimestamp": 0, "kinesisSchemaVersion": "1.0"},
                    "eventVersion": "1.0", "eventSource": "aws:kinesis", "eventID": "1", "eventName": "aws:kinesis:record",
                    "invokeIdentityArn": "", "awsRegion": "", "eventSourceARN": ""} for key, data in records]
        found = [(record["kinesis"]["partitionKey"], base64.b64decode(record["kinesis"]["data"]))
                 for record in deaggregate_records(kinesis)]
        for key, _ in found:
            place = int.from_bytes(hashlib.md5(key.encode()).digest())
            assert place in within, f"a consumer would drop the aggregate that {key!r} is in"
        firsts = dict.fromkeys(data for _, data in found)
        ordered = [places[data] for data in firsts]
        assert ordered == sorted(ordered), "a shard is not in archive order"
        yield from found
    sys.stderr.write(f"{entries} entries\n")
    assert entries * 3 < len(places), f"{entries} entries are hardly aggregated"


def in_order(records):
    """The first occurrences of each key's records."""
    keys = collections.defaultdict(dict)
    for key, record in records:
        keys[key].setdefault(record)
    return {key: list(records) for key, records in keys.items()}


def compare(url, stream, archive, key, duplicates, aggregates=False):
    expected = list(archive_records(archive))
    if aggregates:
        places = {}
        for place, record in enumerate(expected):
            places.setdefault(record, place)
        found = list(unpacked(url, stream, places))
    else:
        found = list(stream_records(url, stream))
    missing = collections.Counter(expected) - collections.Counter(data for _, data in found)
    surplus = collections.Counter(data for _, data in found) - collections.Counter(expected)
    assert not missing, f"{missing.total()} of {len(expected)} records are missing, such as {next(iter(missing))[:300]}"
    assert surplus.total() <= int(duplicates), (
        f"{surplus.total()} records too many, such as {next(iter(surplus))[:300]}")
    if key == "hash":
        keys = collections.defaultdict(set)
        for name, record in found:
            keys[record].add(name)
        assert all(len(names) == 1 for names in keys.values()), "equal records have different keys"
    else:
        wanted, seen = in_order((key_of(record, key), record) for record in expected), in_order(found)
        assert wanted.keys() == seen.keys(), f"other keys: {list(wanted.keys() ^ seen.keys())[:5]}"
        for name, records in wanted.items():
            assert records == seen[name], f"the records of {name!r} are not in archive order"
    print(json.dumps({"records": len(expected), "bytes": sum(map(len, expected)), "surplus": surplus.total()}))


if __name__ == "__main__":
    command, *arguments = sys.argv[1:] or [None]
    if command == "compare-aggregates":
        from aws_kinesis_agg.deaggregator import deaggregate_records

        compare(*arguments, aggregates=True)
    elif command in ("create", "compare"):
        {"create": create, "compare": compare}[command](*arguments)
    else:
        sys.exit(__doc__)
