#!/usr/bin/env python3
"""A moto server on 127.0.0.1 with one bucket that holds a folder, every file under its path as the key.

    moto_bucket.py PORT BUCKET FOLDER

A file named glacier lies in Glacier. The bucket keeps versions. The bucket is filled before the server starts, past its port: 2,000 uploads would take longer than the test.
"""

import sys
import threading
from pathlib import Path

from moto.core import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends
from moto.server import ThreadedMotoServer


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    port, bucket, folder = sys.argv[1:]
    backend = s3_backends[DEFAULT_ACCOUNT_ID]["aws"]
    backend.create_bucket(bucket, "us-east-1")
    backend.put_bucket_versioning(bucket, "Enabled")
    for path in Path(folder).rglob("*"):
        if path.is_file():
            storage = "GLACIER" if path.name == "glacier" else "STANDARD"
            backend.put_object(bucket, path.relative_to(folder).as_posix(), path.read_bytes(), storage=storage)
    ThreadedMotoServer(ip_address="127.0.0.1", port=int(port)).start()
    threading.Event().wait()


if __name__ == "__main__":
    main()
