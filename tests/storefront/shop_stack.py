"""The whole reference shop on free ports, started with the modules that the demo starts."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
import requests
from psycopg.rows import dict_row

from storefront.settings import DEFAULT_PORTS, Settings, load_settings

SECRETS = [
    "SHOP_DB_PASSWORD",
    "MONITOR_DB_PASSWORD",
    "BACKUP_DB_PASSWORD",
    "REPLICATION_DB_PASSWORD",
    "POSTGRES_PASSWORD",
    "REDIS_PASSWORD",
    "PAYMENT_API_KEY",
    "SHOP_ADMIN_TOKEN",
    "S3_OFFSITE_ACCESS_KEY",
    "S3_OFFSITE_SECRET_KEY",
    "S3_CLOUD_ACCESS_KEY",
    "S3_CLOUD_SECRET_KEY",
]

MODULES = {
    "redis": ["storefront.engines.redis"],
    "db-a": ["storefront.engines.postgres", "run", "db-a"],
    "db-b": ["storefront.engines.postgres", "run", "db-b"],
    "pay-alpha": ["storefront.payment_provider", "alpha"],
    "pay-beta": ["storefront.payment_provider", "beta"],
    "app-1": ["storefront.app", "app-1"],
    "app-2": ["storefront.app", "app-2"],
    "worker": ["storefront.worker"],
    "nginx": ["storefront.engines.nginx"],
    "s3-offsite": ["storefront.engines.s3", "offsite"],
}
STOP_SIGNALS = {"db-a": signal.SIGINT, "db-b": signal.SIGINT}
QUICK = {
    "SHOP_SETTLE_AFTER_S": "2",
    "SHOP_ABANDON_AFTER_S": "3",
    "SHOP_PROVIDER_S": "1.0",
    "SHOP_LEASE_S": "1.5",
    "SHOP_FAILED_LOGINS": "4",
}


def until(happened: Callable[[], Any], what: str, timeout_s: float = 30.0) -> Any:
    """Wait for something to become true and return it."""
    pause = threading.Event()
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if found := happened():
            return found
        pause.wait(0.05)
    raise AssertionError(f"{what} did not happen within {timeout_s:.0f} s")


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()


class Stack:
    """Processes, addresses and questions of one shop."""

    def __init__(self) -> None:
        self.home = Path(tempfile.mkdtemp(prefix="shop-test-", dir="/var/tmp"))
        self.home.chmod(0o755)
        self.environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
            "STOREWATCH_HOME": str(self.home),
            **{name: secrets.token_hex(16) for name in SECRETS},
            **QUICK,
        }
        ports = free_ports(len(DEFAULT_PORTS))
        for name, port in zip(DEFAULT_PORTS, ports, strict=True):
            self.environment["SHOP_PORT_" + name.upper().replace("-", "_")] = str(port)
        self.settings: Settings = load_settings(self.environment)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    # Processes

    def start(self, *names: str) -> None:
        for name in names:
            with (self.home / f"{name}.log").open("ab") as log:
                self.processes[name] = subprocess.Popen(
                    [sys.executable, "-m", *MODULES[name]],
                    env=self.environment,
                    stdout=log,
                    stderr=log,
                )

    def stop(self, name: str) -> int:
        process = self.processes.pop(name)
        process.send_signal(signal.SIGCONT)
        process.send_signal(STOP_SIGNALS.get(name, signal.SIGTERM))
        return process.wait(15)

    def kill(self, name: str) -> None:
        process = self.processes.pop(name)
        process.kill()
        process.wait(15)

    def freeze(self, name: str) -> None:
        self.processes[name].send_signal(signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        self.processes[name].send_signal(signal.SIGCONT)

    def remove(self) -> None:
        for name in list(self.processes):
            process = self.processes.pop(name)
            process.send_signal(signal.SIGCONT)
            process.send_signal(STOP_SIGNALS.get(name, signal.SIGTERM))
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
        shutil.rmtree(self.home)

    def operate(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "storefront.engines.postgres", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )

    def log_of(self, name: str) -> str:
        return (self.home / f"{name}.log").read_text()

    # The shop as its clients see it

    @property
    def authority(self) -> str:
        return str(self.settings.shop / "tls" / "ca.pem")

    def url(self, path: str) -> str:
        return f"https://localhost:{self.settings.port('tls')}{path}"

    def browser(self) -> requests.Session:
        session = requests.Session()
        session.trust_env = False
        session.verify = self.authority
        return session

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        with self.browser() as session:
            return session.request(method, self.url(path), timeout=15, **options)

    def ready(self) -> bool:
        try:
            return self.call("GET", "/ready").status_code == 200
        except requests.RequestException:
            return False

    def wait_ready(self) -> None:
        until(lambda: (self.settings.shop / "tls" / "ca.pem").exists(), "the certificate")
        until(self.ready, "the shop")
        self.wait_synchronous()

    def wait_synchronous(self) -> None:
        done = self.operate("resync")
        assert done.returncode == 0, done.stderr

    def sign_in(self, number: int) -> dict[str, str]:
        account = {"email": f"shopper-{number}@example.test", "password": "demo-shopper"}
        answer = self.call("POST", "/api/login", json=account)
        assert answer.status_code == 200, answer.text
        return {"Authorization": f"Bearer {answer.json()['token']}"}

    def fill_cart(self, headers: dict[str, str], product_id: int, quantity: int = 1) -> None:
        line = {"product_id": product_id, "quantity": quantity}
        assert self.call("POST", "/api/cart", json=line, headers=headers).status_code == 200

    def check_out(self, headers: dict[str, str], key: str | None = None) -> requests.Response:
        key = key or f"test-{uuid.uuid4().hex}"
        return self.call("POST", "/api/checkout", headers={**headers, "Idempotency-Key": key})

    def buy(self, number: int, product_id: int) -> requests.Response:
        headers = self.sign_in(number)
        self.fill_cart(headers, product_id)
        return self.check_out(headers)

    def buy_status(self, number: int, product_id: int) -> int:
        """Buy as somebody who may not get through, not even to the log-in."""
        headers = self.sign_in(number)
        self.call(
            "POST", "/api/cart", json={"product_id": product_id, "quantity": 1}, headers=headers
        )
        return self.check_out(headers).status_code

    # The shop as its database and providers have it

    def node(self, name: str) -> psycopg.Connection[dict[str, Any]]:
        return psycopg.connect(
            host="127.0.0.1",
            port=self.settings.port(name),
            dbname="shop",
            user="postgres",
            password=self.environment["POSTGRES_PASSWORD"],
            autocommit=True,
            row_factory=dict_row,
        )

    def rows(self, query: str, *parameters: Any) -> list[dict[str, Any]]:
        url = self.settings.database_url("postgres", "POSTGRES_PASSWORD", target="read-write")
        with psycopg.connect(url, autocommit=True, row_factory=dict_row) as connection:
            cursor = connection.execute(query, parameters)
            return cursor.fetchall() if cursor.description else []

    def violations(self) -> dict[str, int]:
        rows = self.rows("SELECT name, violations FROM storewatch_invariants")
        assert len(rows) == 5
        return {row["name"]: row["violations"] for row in rows if row["violations"]}

    def order_state(self, key: str) -> str:
        rows = self.rows("SELECT state FROM orders WHERE idempotency_key = %s", key)
        return str(rows[0]["state"]) if rows else ""

    def provider(self, name: str, method: str, path: str, **options: Any) -> requests.Response:
        headers = {
            "Authorization": f"Bearer {self.environment['PAYMENT_API_KEY']}",
            **options.pop("headers", {}),
        }
        port = self.settings.port(f"pay-{name}")
        with requests.Session() as session:
            session.trust_env = False
            return session.request(
                method, f"http://127.0.0.1:{port}{path}", headers=headers, timeout=5, **options
            )

    def switch(self, name: str, mode: str, **more: Any) -> None:
        answer = self.provider(name, "PUT", "/switch", json={"mode": mode, **more})
        assert answer.status_code == 200

    def use_provider(self, name: str) -> None:
        token = self.environment["SHOP_ADMIN_TOKEN"]
        headers = {"Authorization": f"Bearer {token}"}
        body = {"provider": name}
        path = "/api/admin/payment-provider"
        assert self.call("PUT", path, json=body, headers=headers).status_code == 200

    def direct(self, name: str, method: str, path: str, **options: Any) -> requests.Response:
        """Ask one instance past the edge."""
        with requests.Session() as session:
            session.trust_env = False
            url = f"http://127.0.0.1:{self.settings.port(name)}{path}"
            return session.request(method, url, timeout=10, **options)

    def captures(self, order_id: str) -> list[dict[str, Any]]:
        found = []
        for name in ("alpha", "beta"):
            ledger = self.provider(name, "GET", "/ledger").json()
            found += [e for e in ledger if e["order_id"] == order_id and e["state"] == "captured"]
        return found
