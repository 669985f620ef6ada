#!/usr/bin/env python3
"""What stands around a backfill's stream, made at a moto server: a worker's leases, metrics, deliveries.

    worker.py leases URL TABLE < ROWS   the table with these rows (JSON: a list of DynamoDB items), made anew
    worker.py ages URL STREAM AGE...    a read of that age (ms) in each of the last minutes, the newest last
    worker.py delivery URL STREAM BUCKET PREFIX
                                        a stream, a bucket with one object, and Firehose from one into the other
"""

import datetime
import json
import sys

import boto3


def leases(url, table):
    dynamodb = boto3.client("dynamodb", endpoint_url=url)
    if table not in dynamodb.list_tables()["TableNames"]:
        dynamodb.create_table(
            TableName=table,
            KeySchema=[{"AttributeName": "leaseKey", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "leaseKey", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
    for row in json.load(sys.stdin):
        dynamodb.put_item(TableName=table, Item=row)


def ages(url, stream, *ages):
    cloudwatch = boto3.client("cloudwatch", endpoint_url=url)
    now = datetime.datetime.now(datetime.timezone.utc)
    for minutes, age in enumerate(reversed(ages)):
        metric = {
            "MetricName": "GetRecords.IteratorAgeMilliseconds",
            "Dimensions": [{"Name": "StreamName", "Value": stream}],
            "Timestamp": now - datetime.timedelta(minutes=minutes),
            "Value": float(age),
            "Unit": "Milliseconds",
        }
        cloudwatch.put_metric_data(Namespace="AWS/Kinesis", MetricData=[metric])


def delivery(url, stream, bucket, prefix):
    kinesis = boto3.client("kinesis", endpoint_url=url)
    kinesis.create_stream(StreamName=stream, ShardCount=1)
    arn = kinesis.describe_stream_summary(StreamName=stream)["StreamDescriptionSummary"]["StreamARN"]
    s3 = boto3.client("s3", endpoint_url=url)
    s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    key = prefix + "2026/07/01/00/made-1-2026-07-01-00-00-00-a"
    s3.put_object(Bucket=bucket, Key=key, Body=b'{"id":1}\n{"id":2}\n')
    role = "arn:aws:iam::123456789012:role/firehose"
    boto3.client("firehose", endpoint_url=url).create_delivery_stream(
        DeliveryStreamName="archiver",
        DeliveryStreamType="KinesisStreamAsSource",
        KinesisStreamSourceConfiguration={"KinesisStreamARN": arn, "RoleARN": role},
        ExtendedS3DestinationConfiguration={
            "RoleARN": role,
            "BucketARN": "arn:aws:s3:::" + bucket,
            "Prefix": prefix,
        },
    )


if __name__ == "__main__":
    known = {"leases": leases, "ages": ages, "delivery": delivery}
    if len(sys.argv) < 4 or sys.argv[1] not in known:
        sys.exit(__doc__)
    known[sys.argv[1]](*sys.argv[2:])
