"""The recovery point in orders: what production took since, asked without changing anything."""

from datetime import datetime

import psycopg
from pydantic import SecretStr

from backup.errors import one_line
from backup.sources.postgres_login import CONNECT_TIMEOUT_S
from storewatch.core.errors import BackupError

_LONGEST_S = 60


def orders_lost(url: SecretStr, query: str, until: datetime, begun: datetime) -> int:
    """Count the orders that production has and a recovery until then would not.

    Orders are counted by the moment that the query compares; an order whose transaction was under
    way at `until` may be counted on the wrong side.

    Args:
        url: of production.
        query: with %(until)s and, where it is asked for, %(begun)s; it returns one number.
        until: the last recovered commit.
        begun: the beginning of the drill; production may have gone on since.

    Raises:
        BackupError: production does not answer, or the query cannot be asked read-only.
    """
    try:
        with psycopg.connect(
            url.get_secret_value(),
            connect_timeout=CONNECT_TIMEOUT_S,
            application_name="storewatch drill",
        ) as connection:
            connection.read_only = True
            connection.execute(f"SET statement_timeout = '{_LONGEST_S}s'")
            row = connection.execute(query.encode(), {"until": until, "begun": begun}).fetchone()
    except psycopg.OperationalError as error:
        raise BackupError(f"production does not answer: {one_line(error)}") from error
    except psycopg.Error as error:
        raise BackupError(f"drill.orders_lost_query: {one_line(error)}") from error
    try:
        return int(row[0])  # type: ignore[index]
    except (TypeError, ValueError):
        raise BackupError(
            "drill.orders_lost_query returns no number; it begins SELECT count(*)"
        ) from None
