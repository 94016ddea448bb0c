"""moto's S3 server: Object Lock, versions, conditional puts and permissions, which rclone lacks."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3
from backup_engines import accepts, ending, until
from loopback import free_port

BUCKET = "locked"


@dataclass
class LockServer:
    """A running server with an Object Lock bucket `locked` and a bucket `plain` without."""

    port: int

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def client(self, service: str = "s3") -> Any:
        """Return a client of any of its services."""
        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id="root",
            aws_secret_access_key="root",
        )

    def tier(self, **more: object) -> dict[str, Any]:
        """Return a section of the settings."""
        return {
            "name": "x",
            "kind": "s3",
            "endpoint_url": self.url,
            "bucket": BUCKET,
            "access_key": "root",
            "secret_key": "root",
            "prune_access_key": "root",
            "prune_secret_key": "root",
            "attempts": 1,
        } | more

    def user(self, name: str, *actions: str) -> dict[str, str]:
        """Make an account that may do so much; return its access key and secret."""
        accounts = self.client("iam")
        accounts.create_user(UserName=name)
        statement = {"Effect": "Allow", "Action": list(actions), "Resource": "*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        accounts.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=document)
        made = accounts.create_access_key(UserName=name)["AccessKey"]
        return {"access": made["AccessKeyId"], "secret": made["SecretAccessKey"]}

    def enforce(self, *, on: bool) -> None:
        """Check permissions from now on, or do not."""
        count = b"0" if on else b"inf"
        address, plain = f"{self.url}/moto-api/reset-auth", {"Content-Type": "text/plain"}
        request = urllib.request.Request(address, count, plain, method="POST")
        urllib.request.urlopen(request).close()


@contextmanager
def lock_server() -> Iterator[LockServer]:
    """Run it on a free port."""
    port = free_port()
    process = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    with ending(process):
        until(lambda: accepts(port), process)
        server = LockServer(port)
        server.client().create_bucket(Bucket=BUCKET, ObjectLockEnabledForBucket=True)
        server.client().create_bucket(Bucket="plain")
        yield server
