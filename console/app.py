"""The desk and the console: Alertmanager's webhook, and the pages people look at."""

import hmac
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from markupsafe import Markup
from sqlalchemy.exc import SQLAlchemyError
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from alerting.incidents import IncidentBook
from alerting.webhook import read_webhook
from console.drills import trend
from console.load import load_page
from runbooks.page import Library
from storewatch.core.clock import utc_now
from storewatch.core.errors import AlertError, StorewatchError, UsageError
from storewatch.core.targets import Verdict
from storewatch.pages import page_environment
from storewatch.store.evidence import EvidenceStore

_TEMPLATES = Path(__file__).parent / "templates"
_EVIDENCE_SHOWN = 200
_SECTIONS = {
    "overview.html": "overview",
    "incidents.html": "incidents",
    "incident.html": "incidents",
    "evidence.html": "evidence",
    "one_evidence.html": "evidence",
    "drills.html": "drills",
    "load.html": "load",
    "runbooks.html": "runbooks",
    "runbook.html": "runbooks",
}
_BODY_LIMIT_BYTES = 4 * 1024 * 1024
# No script runs on any page and nothing is fetched from elsewhere, whatever a label contains.
_SEALED = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:"
    "; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
}


class Console:
    """Handlers over the book of incidents, the evidence and the runbooks.

    Args:
        book: incidents.
        evidence: evidence.
        library: runbook pages.
        token: the bearer token that Alertmanager sends.
        name: of the shop, for the titles.
        links: label -> address of Prometheus and the like.
    """

    def __init__(
        self,
        book: IncidentBook,
        evidence: EvidenceStore,
        library: Library,
        token: str,
        name: str,
        links: dict[str, str],
    ) -> None:
        self._book, self._evidence, self._library = book, evidence, library
        self._token = token
        self._pages = page_environment(_TEMPLATES)
        self._pages.globals |= {"shop_name": name, "links": links}

    def app(self) -> Starlette:
        """Return the ASGI application."""
        pages = {
            "/": self.overview,
            "/incidents": self.incidents,
            "/incidents/{id}": self.incident,
            "/evidence": self.evidence,
            "/evidence/{id}": self.one_evidence,
            "/evidence/{id}/files/{path:path}": self.artefact,
            "/drills": self.drills,
            "/load": self.load,
            "/runbooks": self.runbooks,
            "/runbooks/{name}": self.runbook,
        }
        return Starlette(
            routes=[
                Route("/health", self.health),
                Route("/favicon.ico", _no_icon),
                Route("/webhook", self.webhook, methods=["POST"]),
                *(Route(path, _in_thread(handler)) for path, handler in pages.items()),
            ],
            exception_handlers={StorewatchError: _one_line},
        )

    async def health(self, _request: Request) -> Response:
        """Answer as long as the database does."""
        await run_in_threadpool(self._book.list, unresolved_only=True)
        return JSONResponse({"status": "ok"})

    async def webhook(self, request: Request) -> Response:
        """Take in a delivery; anything that was not stored is answered so that it comes again."""
        sent = request.headers.get("authorization", "")
        if not hmac.compare_digest(sent.encode(), f"Bearer {self._token}".encode()):
            return JSONResponse({"error": "a bearer token is needed"}, 401)
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > _BODY_LIMIT_BYTES:
                return JSONResponse({"error": "more than 4 MiB"}, 413)
        try:
            alerts = read_webhook(json.loads(body))
            counts = await run_in_threadpool(self._book.receive, alerts)
        except (AlertError, ValueError) as error:
            return JSONResponse({"error": str(error)}, 400)
        except SQLAlchemyError as error:
            return JSONResponse({"error": f"not stored: {type(error).__name__}"}, 503)
        return JSONResponse(counts)

    def overview(self, _request: Request) -> Response:
        """What is wrong now, and what the last rehearsals were worth."""
        latest: dict[tuple[str, str], Any] = {}
        for evidence in self._evidence.list():
            latest.setdefault((evidence.kind, evidence.subject), evidence)
        return self._page(
            "overview.html",
            unresolved=self._book.list(unresolved_only=True),
            latest=sorted(latest.values(), key=lambda e: (e.kind, e.subject)),
        )

    def incidents(self, _request: Request) -> Response:
        """All incidents."""
        return self._page("incidents.html", incidents=self._book.list())

    def incident(self, request: Request) -> Response:
        """One incident with its time line."""
        incident = self._book.get(request.path_params["id"])
        return self._page("incident.html", incident=incident, page=Path(incident.runbook).stem)

    def evidence(self, _request: Request) -> Response:
        """All evidence, newest first."""
        return self._page("evidence.html", evidence=self._evidence.list()[:_EVIDENCE_SHOWN])

    def one_evidence(self, request: Request) -> Response:
        """One record with its artefacts."""
        return self._page(
            "one_evidence.html", evidence=self._evidence.get(request.path_params["id"])
        )

    def artefact(self, request: Request) -> Response:
        """A file that an evidence record lists; nothing else is served."""
        evidence = self._evidence.get(request.path_params["id"])
        path = request.path_params["path"]
        file = self._evidence.folder(evidence) / path
        if path not in {artefact.path for artefact in evidence.artefacts} or not file.is_file():
            raise UsageError(f"evidence {evidence.id} has no artefact {path!r}")
        return FileResponse(file, headers=_SEALED)

    def drills(self, _request: Request) -> Response:
        """Restore drills and their trend."""
        drills = self._evidence.list(kind="drill")[:_EVIDENCE_SHOWN]
        sabotages = self._evidence.list(kind="sabotage")[:_EVIDENCE_SHOWN]
        found = sum(one.verdict is Verdict.PASS for one in sabotages)
        failovers = self._evidence.list(kind="failover")[:_EVIDENCE_SHOWN]
        values = trend(drills, utc_now())
        return self._page(
            "drills.html", sabotages=sabotages, found=found, failovers=failovers, **values
        )

    def load(self, _request: Request) -> Response:
        """Load tests under way, and the newest records of what came of them."""
        return self._page("load.html", **load_page(self._evidence))

    def runbooks(self, _request: Request) -> Response:
        """All pages."""
        return self._page("runbooks.html", names=self._library.names())

    def runbook(self, request: Request) -> Response:
        """One page as people read it; raw HTML in it stays text."""
        page = self._library.page(request.path_params["name"])
        html = MarkdownIt("commonmark", {"html": False}).enable("table").render(page.text)
        return self._page("runbook.html", page=page, html=Markup(html))  # noqa: S704 - see above

    def _page(self, template: str, **values: Any) -> Response:
        section = _SECTIONS[template]
        html = self._pages.get_template(template).render(section=section, **values)
        return HTMLResponse(html, headers=_SEALED)


def _in_thread(handler: Callable[[Request], Response]) -> Any:
    async def run(request: Request) -> Response:
        return await run_in_threadpool(handler, request)

    return run


async def _no_icon(_request: Request) -> Response:
    return Response(status_code=204)


async def _one_line(_request: Request, error: Exception) -> Response:
    status = 404 if isinstance(error, UsageError) else 500
    return Response(f"{error}\n", status, media_type="text/plain")
