"""Catalogue centre: categories, products, full-text search. All reads, all on the standby."""

from dataclasses import dataclass

from storefront.database import Database, Row
from storefront.errors import NotFoundError

_COLUMNS = "p.id, p.sku, p.name, p.price_cents, p.stock, p.image"
PAGE_SIZE = 24
FEATURED = 10
_ROUND = 490
"""Featured products come from the first ids; the demo has 500."""
_LONGEST_SEARCH = 100


@dataclass(frozen=True, slots=True)
class Page:
    """One page of products."""

    products: list[Row]
    number: int
    pages: int


class Catalogue:
    """What the shop sells."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def categories(self) -> list[Row]:
        """Return the categories with their number of products."""
        return await self._database.read(
            "SELECT c.slug, c.name, count(*) AS products, min(p.image) AS image"
            " FROM categories c JOIN products p ON p.category_id = c.id"
            " GROUP BY c.id ORDER BY c.id"
        )

    async def featured(self, day: int) -> list[Row]:
        """Return a handful of products that changes with the day's number."""
        first = day * FEATURED % _ROUND
        return await self._database.read(
            f"SELECT {_COLUMNS} FROM products p WHERE p.id > %s ORDER BY p.id LIMIT %s",  # noqa: S608
            (first, FEATURED),
        )

    async def in_category(self, slug: str, number: int) -> tuple[Row, Page]:
        """Return a category and one of its pages, counted from 1.

        Raises:
            NotFoundError: there is no such category or page.
        """
        rows = await self._database.read(
            "SELECT c.id, c.slug, c.name, count(p.id) AS products FROM categories c"
            " JOIN products p ON p.category_id = c.id WHERE c.slug = %s GROUP BY c.id",
            (slug,),
        )
        if not rows:
            raise NotFoundError("there is no such category")
        pages = -(-rows[0]["products"] // PAGE_SIZE)
        if not 1 <= number <= pages:
            raise NotFoundError("there is no such page")
        products = await self._database.read(
            f"SELECT {_COLUMNS} FROM products p WHERE p.category_id = %s"  # noqa: S608
            " ORDER BY p.id LIMIT %s OFFSET %s",
            (rows[0]["id"], PAGE_SIZE, (number - 1) * PAGE_SIZE),
        )
        return rows[0], Page(products, number, pages)

    async def product(self, product_id: int) -> Row:
        """Return one product.

        Raises:
            NotFoundError: there is none with this id.
        """
        rows = await self._database.read(
            f"SELECT {_COLUMNS}, p.description, c.slug AS category, c.name AS category_name"  # noqa: S608
            " FROM products p JOIN categories c ON c.id = p.category_id WHERE p.id = %s",
            (product_id,),
        )
        if not rows:
            raise NotFoundError("there is no such product")
        return rows[0]

    async def named(self, product_ids: list[int]) -> dict[int, Row]:
        """Return products by id; unknown ids are left out."""
        rows = await self._database.read(
            f"SELECT {_COLUMNS} FROM products p WHERE p.id = ANY(%s)",  # noqa: S608
            (product_ids,),
        )
        return {row["id"]: row for row in rows}

    async def search(self, words: str) -> list[Row]:
        """Return the best matches of words as people type them (quotes, or, minus)."""
        words = words.strip()[:_LONGEST_SEARCH]
        if not words:
            return []
        return await self._database.read(
            f"SELECT {_COLUMNS} FROM products p,"  # noqa: S608
            " websearch_to_tsquery('english', %s) AS query WHERE p.search @@ query"
            " ORDER BY ts_rank(p.search, query) DESC, p.id LIMIT %s",
            (words.replace("\x00", ""), PAGE_SIZE),
        )
