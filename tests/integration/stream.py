#!/usr/bin/env python3
"""A stream as a foreign client sees it, against an archive as foreign decoders read it.

    stream.py create URL STREAM SHARDS
    stream.py compare URL STREAM ARCHIVE KEY DUPLICATES

`compare` decodes the files below ARCHIVE in the order of their names (gzip, zstd or plain, by their first
bytes), cuts them into records (at line feeds if their name ends in `-bare-lines`, else as JSON values), reads
the whole stream, and ends with 0 if the stream holds every record byte for byte as often as the archive does,
up to DUPLICATES more, and each key's records in archive order. KEY is a JSON pointer of one step, or `hash`,
for which equal records must have equal keys. Nothing here knows respool.
"""

import collections
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


def stream_records(url, stream):
    kinesis = client(url)
    shards = [s["ShardId"] for page in kinesis.get_paginator("list_shards").paginate(StreamName=stream)
              for s in page["Shards"]]
    with concurrent.futures.ThreadPoolExecutor(READERS) as pool:
        for records in pool.map(lambda shard: read_shard(kinesis, stream, shard), shards):
            yield from records


def in_order(records):
    """The first occurrences of each key's records."""
    keys = collections.defaultdict(dict)
    for key, record in records:
        keys[key].setdefault(record)
    return {key: list(records) for key, records in keys.items()}


def compare(url, stream, archive, key, duplicates):
    expected = list(archive_records(archive))
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
    if command not in ("create", "compare"):
        sys.exit(__doc__)
    {"create": create, "compare": compare}[command](*arguments)
