"""User centre: passwords (argon2id) and sessions in Redis."""

import asyncio
import hashlib
import secrets
from dataclasses import dataclass
from typing import Any

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from storefront.analytics import Analytics
from storefront.cache import answer
from storefront.database import Database
from storefront.errors import InvalidRequestError, NotSignedInError
from storefront.security import Security
from storefront.settings import PasswordCost

_WRONG = "mail address or password is wrong"


@dataclass(frozen=True, slots=True)
class Session:
    """A browser or API client: the key of its data in Redis, and who has signed in."""

    key: str
    user_id: int | None

    @property
    def cart_key(self) -> str:
        """Return where the session's cart lies in Redis."""
        return f"cart:{self.key}"


class Users:
    """Signs shoppers in and out."""

    def __init__(
        self,
        database: Database,
        cache: Any,
        security: Security,
        analytics: Analytics,
        cost: PasswordCost,
        session_s: int,
    ) -> None:
        self._database = database
        self._cache = cache
        self._security = security
        self._analytics = analytics
        self._session_s = session_s
        self._hasher = PasswordHasher(
            time_cost=cost.time_cost, memory_cost=cost.memory_kib, parallelism=cost.parallelism
        )
        self._nobody = self._hasher.hash(secrets.token_hex(16))

    async def sign_in(
        self, email: str, password: str, address: str, before: Session | None
    ) -> tuple[str, Session]:
        """Check the password and return a new token with its session; an old cart comes along.

        Args:
            email: what the shopper typed.
            password: what the shopper typed.
            address: the client's address, for counting failures only.
            before: the session the shopper had until now.

        Raises:
            NotSignedInError: the account or the password is wrong.
            TooManyRequestsError: too many failures.
        """
        account = email.strip().lower()
        if not 3 <= len(account) <= 254 or len(password) > 200:
            raise InvalidRequestError("email and password are needed")
        await self._security.check_login(account, address)
        rows = await self._database.read(
            "SELECT id, password_hash FROM users WHERE email = %s", (account,)
        )
        stored = rows[0]["password_hash"] if rows else self._nobody
        right = await asyncio.to_thread(self._verify, stored, password)
        if not rows or not right:
            await self._security.login_failed(account, address, rows[0]["id"] if rows else None)
            raise NotSignedInError(_WRONG)
        user_id = int(rows[0]["id"])
        self._analytics.signed_in(user_id)
        return await self._start(user_id, before)

    async def visit(self) -> tuple[str, Session]:
        """Return a session for somebody who has not signed in: enough for a cart."""
        return await self._start(None, None)

    async def find(self, token: str) -> Session | None:
        """Return the session of a token and prolong it, None when it is unknown or too old."""
        if not token or len(token) > 64:
            return None
        key = _key(token)
        user = await answer(self._cache.getex(f"session:{key}", ex=self._session_s))
        if user is None:
            return None
        return Session(key, int(user) if user else None)

    async def sign_out(self, session: Session) -> None:
        """Forget the session and its cart."""
        await answer(self._cache.delete(f"session:{session.key}", session.cart_key))

    async def _start(self, user_id: int | None, before: Session | None) -> tuple[str, Session]:
        token = secrets.token_urlsafe(24)
        session = Session(_key(token), user_id)
        value = "" if user_id is None else str(user_id)
        pipeline = self._cache.pipeline(transaction=False)
        pipeline.set(f"session:{session.key}", value, ex=self._session_s)
        if before is not None:
            pipeline.delete(f"session:{before.key}")
            pipeline.copy(before.cart_key, session.cart_key, replace=True)
            pipeline.delete(before.cart_key)
        await answer(pipeline.execute())
        return token, session

    def _verify(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False


def _key(token: str) -> str:
    """Return the token's digest: whoever reads Redis cannot use a session."""
    return hashlib.sha256(token.encode()).hexdigest()[:40]
