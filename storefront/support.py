"""Support centre: who asked about what, and when somebody first answered.

Times and topics only; what was written stays with the mail system.
"""

from storefront.database import Connection, Database, Row
from storefront.errors import InvalidRequestError, NotFoundError
from storefront.security import record_audit

TOPICS = ("order", "payment", "delivery", "return", "other")


class Support:
    """Enquiries of shoppers and the first answers of staff."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def ask(self, user_id: int, topic: str) -> int:
        """Open an enquiry and return its number.

        Raises:
            InvalidRequestError: there is no such topic.
        """
        if topic not in TOPICS:
            raise InvalidRequestError(f"topic must be one of {', '.join(TOPICS)}")

        async def work(connection: Connection) -> int:
            cursor = await connection.execute(
                "INSERT INTO enquiries (user_id, topic) VALUES (%s, %s) RETURNING id",
                (user_id, topic),
            )
            row: Row | None = await cursor.fetchone()
            assert row is not None
            return int(row["id"])

        return await self._database.write(work)

    async def answer(self, enquiry_id: int) -> None:
        """Note that an enquiry was answered; only the first answer counts.

        Raises:
            NotFoundError: there is no such enquiry.
        """

        async def work(connection: Connection) -> None:
            cursor = await connection.execute(
                "UPDATE enquiries SET answered_at = coalesce(answered_at, now()) WHERE id = %s",
                (enquiry_id,),
            )
            if cursor.rowcount == 0:
                raise NotFoundError("there is no such enquiry")
            await record_audit(connection, "enquiry_answered", f"enquiry:{enquiry_id}")

        await self._database.write(work)
