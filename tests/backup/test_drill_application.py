"""What an application finds on the restored data, whatever characters the passwords have."""

import json
from pathlib import Path
from typing import Any

import pytest
from backup_engines import PASSWORD
from backup_house import House, assert_clean
from loopback import free_port
from pydantic import ValidationError

from backup.drill import run_drill
from storewatch.core.targets import Verdict

APPLICATION = """
import http.server, json, os, sys
from pathlib import Path
import psycopg, redis
url, password = os.environ["DRILL_DATABASE_URL"], sys.argv[2]
with psycopg.connect(url, user="postgres", password=password) as one:
    one.execute("INSERT INTO notes VALUES ('written by the application')")
    orders = one.execute("SELECT count(*) FROM orders").fetchone()[0]
cache = redis.Redis.from_url(os.environ["DRILL_REDIS_URL"])
cache.set("written", "by the application")
images = len(list(Path(os.environ["DRILL_FILES"], "files-images").iterdir()))
Path("kept").write_text("in its own folder")
found = {"orders": orders, "images": images, "cwd": os.getcwd(), "environment": dict(os.environ)}
Path(sys.argv[3]).write_text(json.dumps(found))
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(204)
        self.end_headers()
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Ready).serve_forever()
"""


def configure(copy: House, **more: Any) -> Path:
    """Have the drill start an application; return where it writes what it found."""
    port = free_port()
    folder = copy.home / "seen"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    seen = folder / "seen.json"
    command = ["python", "-c", APPLICATION, str(port), PASSWORD, str(seen)]
    copy.raw["drill"]["application"] = {
        "command": command,
        "url": f"http://127.0.0.1:{port}/",
        "start_timeout": "20s",
        **more,
    }
    return seen


def test_an_application_reaches_the_restored_data_and_nothing_else(
    copy: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRET_OF_PRODUCTION", "x")
    seen = configure(copy, environment={"PLACE": "redis on {DRILL_REDIS_PORT}", "JSON": '{"a": 1}'})
    with copy.shop.redis() as cache:
        drilled = run_drill(copy.settings, "local", copy.evidence)
        assert not cache.exists("written")
    assert drilled.verdict is Verdict.PASS, drilled.notes
    found = json.loads(seen.read_text())
    environment = found["environment"]
    assert found["orders"] >= 500
    assert found["images"] == 20
    assert found["cwd"] == environment["DRILL_FOLDER"] == environment["HOME"]
    assert environment["DRILL_POSTGRES_PORT"] == str(copy.settings.drill.port)
    assert environment["PLACE"] == f"redis on {environment['DRILL_REDIS_PORT']}"
    assert environment["DRILL_REDIS_PORT"] != str(copy.shop.redis_port)
    assert environment["JSON"] == '{"a": 1}'
    assert "SECRET_OF_PRODUCTION" not in environment
    assert_clean(copy)


def test_a_program_that_is_not_there_fails_the_drill(copy: House) -> None:
    configure(copy, command=["/nowhere/shop"])
    drilled = run_drill(copy.settings, "local", copy.evidence)
    assert drilled.verdict is Verdict.FAIL
    assert any("there is no program /nowhere/shop" in note for note in drilled.notes)
    assert_clean(copy)


def test_an_interrupted_drill_ends_the_application(copy: House) -> None:
    configure(copy)
    port = copy.settings.drill.application.port  # type: ignore[union-attr]

    def interrupt(label: str, done: int, total: int | None) -> None:
        if label == "walk journeys":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_drill(copy.settings, "local", copy.evidence, interrupt)
    assert_clean(copy)
    copy.raw["drill"]["port"] = port  # free again, or the next drill would be refused
    del copy.raw["drill"]["application"]
    assert run_drill(copy.settings, "local", copy.evidence).verdict is Verdict.PASS


def test_an_application_elsewhere_or_on_the_port_of_the_database_is_refused(copy: House) -> None:
    configure(copy, url="http://shop.example/ready")
    with pytest.raises(ValidationError, match="url"):
        _ = copy.settings
    (copy.home / "seen").rmdir()
    configure(copy, url=f"http://127.0.0.1:{copy.raw['drill']['port']}/ready")
    with pytest.raises(ValidationError, match="has the port of the restored PostgreSQL"):
        _ = copy.settings
