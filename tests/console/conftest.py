"""The console over real data, served on loopback, and Chromium to look at it."""

import os
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn
from console_data import OWN_PAGE, TOKEN, Site, fill
from playwright.sync_api import Browser, sync_playwright

from alerting.incidents import IncidentBook
from console.app import Console
from runbooks.page import Library
from storewatch.store.database import open_database
from storewatch.store.evidence import EvidenceStore


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    book = IncidentBook(open_database(f"sqlite:///{tmp_path / 'state.db'}"))
    store = EvidenceStore(tmp_path)
    load = fill(book, store)
    links = {"Prometheus": "http://127.0.0.1:9090"}
    (tmp_path / "pages").mkdir()
    (tmp_path / "pages" / "OurOwn.md").write_text(OWN_PAGE)
    library = Library((tmp_path / "pages",))
    app = Console(book, store, library, TOKEN, "tea-house", links).app()
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        deadline, pause = time.monotonic() + 10, threading.Event()
        while not server.started:
            assert time.monotonic() < deadline
            pause.wait(0.01)
        yield Site(f"http://127.0.0.1:{listener.getsockname()[1]}", tmp_path, book, store, load)
        server.should_exit = True
        thread.join(10)


# Not for the session: Playwright keeps an event loop running, which others then cannot start.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=program, args=sandbox)
        yield found
        found.close()
