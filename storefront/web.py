"""What pages and API share: reading requests, sessions, JSON answers."""

import hmac
import re
from collections.abc import Mapping
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from storefront.errors import ForbiddenError, InvalidRequestError, NotSignedInError
from storefront.shop import Shop
from storefront.users import Session

COOKIE = "shop_session"
_KEY = re.compile(r"[A-Za-z0-9._:-]{1,128}")
_ORDER = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_LARGEST_ID = 2**53
_DEFAULT: Any = object()


def json_answer(body: Any, status: int = 200) -> Response:
    """Return a JSON response."""
    return Response(
        orjson.dumps(body), status, headers={"Cache-Control": "no-store"},
        media_type="application/json",
    )  # fmt: skip


def shop_of(request: Request) -> Shop:
    """Return the process's shop."""
    shop: Shop = request.app.state.shop
    return shop


def client_address(request: Request) -> str:
    """Return who asks, as the edge says; for counting in memory and in digests only."""
    return request.headers.get("x-real-ip", "direct")


async def json_body(request: Request) -> Mapping[str, Any]:
    """Return the JSON object that was sent.

    Raises:
        InvalidRequestError: it is none.
    """
    try:
        body = orjson.loads(await request.body())
    except orjson.JSONDecodeError as error:
        raise InvalidRequestError("the body is no JSON") from error
    if not isinstance(body, dict):
        raise InvalidRequestError("the body is no JSON object")
    return body


def text_in(fields: Mapping[str, Any], name: str) -> str:
    """Return a text field, or raise InvalidRequestError."""
    value = fields.get(name)
    if not isinstance(value, str) or "\x00" in value:
        raise InvalidRequestError(f"{name} must be a text")
    return value


def number_in(fields: Mapping[str, Any], name: str, default: int = _DEFAULT) -> int:
    """Return a whole number, sent as one or as its digits; raise InvalidRequestError otherwise."""
    value = fields.get(name, default)
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 16:
        value = int(value)
    if type(value) is not int or not 0 <= value < _LARGEST_ID:
        raise InvalidRequestError(f"{name} must be a whole number")
    return value


def idempotency_key(value: str) -> str:
    """Return a usable idempotency key, or raise InvalidRequestError."""
    if not _KEY.fullmatch(value):
        raise InvalidRequestError("Idempotency-Key must be 1 to 128 letters, digits or ._:-")
    return value


def order_id(request: Request) -> str:
    """Return the order id of the path, or raise InvalidRequestError."""
    value = str(request.path_params["order_id"])
    if not _ORDER.fullmatch(value):
        raise InvalidRequestError("an order id looks like 01890a5d-ac96-774b-bcce-b302099a8057")
    return value


async def session_of(request: Request) -> Session | None:
    """Return the session of the Bearer token or the cookie."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        token = request.cookies.get(COOKIE, "")
    return await shop_of(request).users.find(token) if token else None


async def signed_in(request: Request) -> tuple[Session, int]:
    """Return the session and its user.

    Raises:
        NotSignedInError: nobody has signed in.
    """
    session = await session_of(request)
    if session is None or session.user_id is None:
        raise NotSignedInError("sign in first")
    return session, session.user_id


def check_staff(request: Request) -> None:
    """Let only the holder of the admin token pass.

    Raises:
        ForbiddenError: the token is missing or wrong.
    """
    given = request.headers.get("authorization", "").encode()
    expected = f"Bearer {shop_of(request).settings.secret('SHOP_ADMIN_TOKEN')}".encode()
    if not hmac.compare_digest(given, expected):
        raise ForbiddenError("the admin token is missing or wrong")
