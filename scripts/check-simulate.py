#!/usr/bin/env python3
"""Drives `respool simulate` through boto3, which takes it for Kinesis.

    scripts/check-simulate.py URL

URL is the first line that `respool simulate` prints; its limits must be on. Needs boto3. Leaves the
stream `demo` as it is and deletes those it makes. Ends with 0 if everything was as Kinesis does it.
"""

import hashlib
import sys
import time
import urllib.error
import urllib.request

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

STREAM = f"check-{time.time_ns()}"
TOP = 2**128 - 1


def client(url):
    return boto3.client(
        "kinesis", endpoint_url=url, region_name="us-east-1",
        aws_access_key_id="dummy", aws_secret_access_key="dummy",
        config=Config(retries={"total_max_attempts": 1}),
    )


def refused(code, text, call, **arguments):
    try:
        call(**arguments)
    except ClientError as error:
        assert error.response["Error"]["Code"] == code, error
        assert text in error.response["Error"]["Message"], error
        assert error.response["ResponseMetadata"]["RequestId"], error
        return
    raise AssertionError(f"{code} expected")


def read_all(kinesis, stream, shard):
    """Every record of a shard, and the shards it became if it is closed."""
    iterator = kinesis.get_shard_iterator(
        StreamName=stream, ShardId=shard, ShardIteratorType="TRIM_HORIZON")["ShardIterator"]
    records = []
    while True:
        try:
            answer = kinesis.get_records(ShardIterator=iterator)
        except kinesis.exceptions.ProvisionedThroughputExceededException:
            time.sleep(0.3)
            continue
        records += answer["Records"]
        iterator = answer.get("NextShardIterator")
        if iterator is None or (answer["MillisBehindLatest"] == 0 and not answer["Records"]):
            return records, answer.get("ChildShards", [])


def put_until_stored(kinesis, stream, entries):
    """Puts in order, repeating what was throttled; returns how often that was."""
    throttled = 0
    while entries:
        answer = kinesis.put_records(StreamName=stream, Records=entries[:500])
        results = answer["Records"]
        assert len(results) == len(entries[:500])
        failed = [entry for entry, result in zip(entries, results) if "ErrorCode" in result]
        assert answer["FailedRecordCount"] == len(failed)
        for result in results:
            if "ErrorCode" in result:
                assert result["ErrorCode"] == "ProvisionedThroughputExceededException"
                assert f"in stream {stream} under account 123456789012." in result["ErrorMessage"]
            else:
                assert len(result["SequenceNumber"]) == 56 and result["ShardId"].startswith("shardId-")
        throttled += len(failed)
        entries = failed + entries[500:]
        if failed:
            time.sleep(0.2)
    return throttled


def check_streams(kinesis):
    assert "demo" in kinesis.list_streams()["StreamNames"]
    kinesis.create_stream(StreamName=STREAM, ShardCount=2, Tags={"made-by": "check"})
    kinesis.get_waiter("stream_exists").wait(StreamName=STREAM)
    refused("ResourceInUseException", f"Stream {STREAM} under account 123456789012 already exists.",
            kinesis.create_stream, StreamName=STREAM, ShardCount=1)
    refused("ResourceNotFoundException", "Stream none under account 123456789012 not found.",
            kinesis.describe_stream, StreamName="none")
    refused("LimitExceededException", "shard limit", kinesis.create_stream, StreamName="huge", ShardCount=50_000)
    summary = kinesis.describe_stream_summary(StreamName=STREAM)["StreamDescriptionSummary"]
    assert summary["StreamARN"] == f"arn:aws:kinesis:us-east-1:123456789012:stream/{STREAM}"
    assert (summary["StreamStatus"], summary["OpenShardCount"]) == ("ACTIVE", 2)
    assert summary["MaxRecordSizeInKiB"] == 1024 and summary["RetentionPeriodHours"] == 24
    assert abs(summary["StreamCreationTimestamp"].timestamp() - time.time()) < 600
    page = kinesis.list_streams(Limit=1)
    assert page["HasMoreStreams"] and len(page["StreamNames"]) == 1
    assert kinesis.list_streams(NextToken=page["NextToken"])["StreamNames"]
    kinesis.add_tags_to_stream(StreamName=STREAM, Tags={"a": "1", "b": "2"})
    kinesis.remove_tags_from_stream(StreamName=STREAM, TagKeys=["a"])
    tags = kinesis.list_tags_for_stream(StreamName=STREAM)["Tags"]
    assert tags == [{"Key": "b", "Value": "2"}, {"Key": "made-by", "Value": "check"}], tags
    kinesis.increase_stream_retention_period(StreamName=STREAM, RetentionPeriodHours=48)
    refused("InvalidArgumentException", "shorter", kinesis.increase_stream_retention_period,
            StreamName=STREAM, RetentionPeriodHours=24)
    kinesis.decrease_stream_retention_period(StreamName=STREAM, RetentionPeriodHours=24)
    refused("InvalidArgumentException", "Minimum", kinesis.decrease_stream_retention_period,
            StreamName=STREAM, RetentionPeriodHours=1)
    limits = kinesis.describe_limits()
    assert limits["OpenShardCount"] >= 2 < limits["ShardLimit"]
    refused("UnknownOperationException", "", kinesis.describe_account_settings)


def check_writing(kinesis):
    entries = [{"Data": f"record {i} é".encode() + bytes([i % 256]), "PartitionKey": f"key-{i % 97}"}
               for i in range(5_000)]
    throttled = put_until_stored(kinesis, STREAM, list(entries))
    assert throttled > 0, "5,000 records at once exceed two shards' limits"
    stored = []
    for shard in kinesis.list_shards(StreamName=STREAM)["Shards"]:
        low, high = (int(shard["HashKeyRange"][end]) for end in ("StartingHashKey", "EndingHashKey"))
        records, _ = read_all(kinesis, STREAM, shard["ShardId"])
        numbers = [int(record["SequenceNumber"]) for record in records]
        assert numbers == sorted(set(numbers)) and numbers[0] > 2**128
        for record in records:
            hashed = int.from_bytes(hashlib.md5(record["PartitionKey"].encode()).digest(), "big")
            assert low <= hashed <= high
            assert abs(record["ApproximateArrivalTimestamp"].timestamp() - time.time()) < 600
        stored += records
    assert sorted(r["Data"] for r in stored) == sorted(e["Data"] for e in entries)
    time.sleep(1)
    first = kinesis.put_record(StreamName=STREAM, Data=b"x", PartitionKey="k", ExplicitHashKey="0")
    second = kinesis.put_record(StreamName=STREAM, Data=b"y", PartitionKey="k", ExplicitHashKey="0",
                                SequenceNumberForOrdering=first["SequenceNumber"])
    assert int(second["SequenceNumber"]) > int(first["SequenceNumber"])
    assert first["ShardId"] == "shardId-000000000000"
    top = kinesis.put_record(StreamName=STREAM, Data=b"z", PartitionKey="k", ExplicitHashKey=str(TOP))
    assert top["ShardId"] == "shardId-000000000001"
    return second


def check_bad_writing(kinesis):
    put = kinesis.put_records
    one = {"Data": b"x", "PartitionKey": "k"}
    refused("ValidationException", "less than or equal to 500", put, StreamName=STREAM, Records=[one] * 501)
    big = {"Data": bytes(1_048_577), "PartitionKey": "k"}
    refused("ValidationException", "Value at 'records.2.member.data' failed to satisfy constraint: Member must have "
            "length less than or equal to 1048576", put, StreamName=STREAM, Records=[one, big])
    many = [{"Data": bytes(1_000_000), "PartitionKey": "k"}] * 11
    refused("InvalidArgumentException", "Records size exceeds", put, StreamName=STREAM, Records=many)
    refused("ValidationException", "partitionKey", put, StreamName=STREAM,
            Records=[{"Data": b"x", "PartitionKey": "k" * 257}])
    refused("InvalidArgumentException", "ExplicitHashKey", kinesis.put_record, StreamName=STREAM, Data=b"x",
            PartitionKey="k", ExplicitHashKey=str(TOP + 1))
    refused("ValidationException", "regular expression", kinesis.put_record, StreamName=STREAM, Data=b"x",
            PartitionKey="k", ExplicitHashKey="01")
    refused("ResourceNotFoundException", "not found", put, StreamName="none", Records=[one])
    refused("InvalidArgumentException", "is invalid", kinesis.put_record, StreamName=STREAM, Data=b"x",
            PartitionKey="k", SequenceNumberForOrdering="7")
    kinesis.update_max_record_size(
        StreamARN=f"arn:aws:kinesis:us-east-1:123456789012:stream/{STREAM}", MaxRecordSizeInKiB=2048)
    time.sleep(1)
    assert "SequenceNumber" in put(StreamName=STREAM, Records=[big])["Records"][0]


def check_reading(kinesis, number):
    shard = {"StreamName": STREAM, "ShardId": "shardId-000000000000"}

    def read(**start):
        time.sleep(0.25)
        iterator = kinesis.get_shard_iterator(**shard, **start)["ShardIterator"]
        return [r["Data"] for r in kinesis.get_records(ShardIterator=iterator, Limit=1)["Records"]]

    assert read(ShardIteratorType="AT_SEQUENCE_NUMBER", StartingSequenceNumber=number) == [b"y"]
    assert read(ShardIteratorType="AFTER_SEQUENCE_NUMBER", StartingSequenceNumber=number) != [b"y"]
    assert read(ShardIteratorType="LATEST") == []
    assert read(ShardIteratorType="AT_TIMESTAMP", Timestamp=time.time() - 3_600) == [
        read(ShardIteratorType="TRIM_HORIZON")[0]]
    iterator = kinesis.get_shard_iterator
    refused("InvalidArgumentException", "StartingSequenceNumber 12 used in GetShardIterator", iterator, **shard,
            ShardIteratorType="AT_SEQUENCE_NUMBER", StartingSequenceNumber="12")
    refused("InvalidArgumentException", "no StartingSequenceNumber", iterator, **shard,
            ShardIteratorType="AT_SEQUENCE_NUMBER")
    refused("ValidationException", "enum value set", iterator, **shard, ShardIteratorType="FIRST")
    refused("ResourceNotFoundException", "shardId-9", iterator, StreamName=STREAM, ShardId="shardId-9",
            ShardIteratorType="LATEST")
    refused("InvalidArgumentException", "Invalid ShardIterator", kinesis.get_records, ShardIterator="nonsense")
    time.sleep(1)
    latest = iterator(**shard, ShardIteratorType="LATEST")["ShardIterator"]
    try:
        for _ in range(20):
            kinesis.get_records(ShardIterator=latest)
        raise AssertionError("20 reads at once exceed five a second")
    except kinesis.exceptions.ProvisionedThroughputExceededException as error:
        assert "Rate exceeded for shard shardId-000000000000" in str(error)


def check_resharding(kinesis):
    kinesis.split_shard(StreamName=STREAM, ShardToSplit="shardId-000000000000", NewStartingHashKey=str(2**126))
    open_shards = kinesis.list_shards(StreamName=STREAM, ShardFilter={"Type": "AT_LATEST"})["Shards"]
    assert [s["ShardId"][-1] for s in open_shards] == ["1", "2", "3"]
    parent = kinesis.list_shards(StreamName=STREAM)["Shards"][0]
    ending = int(parent["SequenceNumberRange"]["EndingSequenceNumber"])
    put = kinesis.put_record(StreamName=STREAM, Data=b"child", PartitionKey="k", ExplicitHashKey="0")
    assert put["ShardId"] == "shardId-000000000002" and int(put["SequenceNumber"]) > ending
    time.sleep(1)
    _, children = read_all(kinesis, STREAM, "shardId-000000000000")
    assert [c["ShardId"][-1] for c in children] == ["2", "3"]
    assert children[0]["ParentShards"] == ["shardId-000000000000"]
    for code, shard, at in [("ResourceInUseException", "shardId-000000000000", 5),
                            ("InvalidArgumentException", "shardId-000000000001", 5),
                            ("ResourceNotFoundException", "shardId-000000000077", 5)]:
        refused(code, shard, kinesis.split_shard, StreamName=STREAM, ShardToSplit=shard, NewStartingHashKey=str(at))
    refused("InvalidArgumentException", "not an adjacent pair", kinesis.merge_shards, StreamName=STREAM,
            ShardToMerge="shardId-000000000001", AdjacentShardToMerge="shardId-000000000002")
    kinesis.merge_shards(StreamName=STREAM, ShardToMerge="shardId-000000000002",
                         AdjacentShardToMerge="shardId-000000000003")
    merged = kinesis.list_shards(StreamName=STREAM)["Shards"][-1]
    assert merged["ParentShardId"][-1] == "2" and merged["AdjacentParentShardId"][-1] == "3"
    answer = kinesis.update_shard_count(StreamName=STREAM, TargetShardCount=3, ScalingType="UNIFORM_SCALING")
    assert (answer["CurrentShardCount"], answer["TargetShardCount"]) == (2, 3)
    refused("InvalidArgumentException", "up over double", kinesis.update_shard_count, StreamName=STREAM,
            TargetShardCount=7, ScalingType="UNIFORM_SCALING")
    page = kinesis.list_shards(StreamName=STREAM, MaxResults=2)
    shards = page["Shards"]
    while "NextToken" in page:
        page = kinesis.list_shards(NextToken=page["NextToken"], MaxResults=2)
        shards += page["Shards"]
    ranges = sorted((int(s["HashKeyRange"]["StartingHashKey"]), int(s["HashKeyRange"]["EndingHashKey"]))
                    for s in shards if "EndingSequenceNumber" not in s["SequenceNumberRange"])
    assert len(ranges) == 3 and ranges[0][0] == 0 and ranges[-1][1] == TOP
    assert all(upper[0] == lower[1] + 1 for lower, upper in zip(ranges, ranges[1:]))
    after = kinesis.list_shards(StreamName=STREAM, ShardFilter={
        "Type": "AFTER_SHARD_ID", "ShardId": "shardId-000000000003"})["Shards"]
    assert after[0]["ShardId"] == "shardId-000000000004"
    described = [s for page in kinesis.get_paginator("describe_stream").paginate(
        StreamName=STREAM, PaginationConfig={"PageSize": 2}) for s in page["StreamDescription"]["Shards"]]
    assert described == kinesis.list_shards(StreamName=STREAM)["Shards"]


def check_transport(url):
    def post(headers, body=b"{}"):
        try:
            request = urllib.request.Request(url, data=body, headers=headers, method="POST")
            return urllib.request.urlopen(request, timeout=10).status, b""
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    target = {"X-Amz-Target": "Kinesis_20131202.ListStreams", "Content-Type": "application/x-amz-json-1.1"}
    signed = {**target, "Authorization": "AWS4-HMAC-SHA256 Credential=a/20261122/eu-west-1/kinesis/aws4_request"}
    assert post(signed)[0] == 200
    status, body = post(target)
    assert status == 400 and b"MissingAuthenticationToken" in body
    status, body = post({**signed, "Content-Type": "application/x-amz-cbor-1.1"})
    assert status == 415 and b"JSON" in body
    status, body = post(signed, b"{")
    assert status == 400 and b"SerializationException" in body
    status, body = post(signed, b'{"Limit": "many"}')
    assert status == 400 and b"SerializationException" in body


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    url = sys.argv[1]
    kinesis = client(url)
    check_streams(kinesis)
    second = check_writing(kinesis)
    check_bad_writing(kinesis)
    check_reading(kinesis, second["SequenceNumber"])
    check_resharding(kinesis)
    check_transport(url)
    kinesis.delete_stream(StreamName=STREAM)
    refused("ResourceNotFoundException", "not found", kinesis.describe_stream, StreamName=STREAM)
    print("as Kinesis does it")


if __name__ == "__main__":
    main()
