"""The SQL that makes a cluster and fills the shop, as scripts for PostgreSQL's single-user mode.

In that mode (`postgres --single -j`) a statement ends with a semicolon and an empty line.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from argon2 import PasswordHasher
from psycopg import sql

from storefront.demo.products import CATEGORIES, SHOPPER_PASSWORD, SHOPPERS, make_products
from storefront.settings import Settings

_ROLES = (
    ("shop", "SHOP_DB_PASSWORD", ""),
    ("storewatch_backup", "BACKUP_DB_PASSWORD", "REPLICATION"),
    ("replicator", "REPLICATION_DB_PASSWORD", "REPLICATION"),
)
_MONITORING_ROLE = Path(__file__).with_name("monitoring_role.sql")
"""The same as storewatch ships (a test compares); nothing here may read storewatch's own file."""
_SCHEMA = Path(__file__).with_name("schema.sql")
_ROWS_PER_INSERT = 100


def cluster_script(settings: Settings) -> str:
    """Return what the cluster needs: roles with their passwords, and the database `shop`."""
    statements = []
    for role, secret, options in _ROLES:
        password = _literal(settings.secret(secret))
        statements.append(f"CREATE ROLE {role} LOGIN {options} PASSWORD {password}")
    statements += [
        "GRANT pg_monitor, pg_read_all_data, pg_read_all_settings, pg_checkpoint"
        " TO storewatch_backup",
        "CREATE DATABASE shop OWNER shop",
        "REVOKE CONNECT, TEMPORARY ON DATABASE shop FROM PUBLIC",
        "GRANT CONNECT ON DATABASE shop TO storewatch_backup",
    ]
    return _script(statements)


def shop_script(settings: Settings) -> str:
    """Return schema, rights and demo data of the database `shop`."""
    password = _literal(settings.secret("MONITOR_DB_PASSWORD"))
    return _script(
        [
            *_statements(_MONITORING_ROLE),
            f"ALTER ROLE storewatch_monitor PASSWORD {password}",
            *_statements(_SCHEMA),
            "GRANT EXECUTE ON FUNCTION pg_switch_wal() TO storewatch_backup",
            *_demo_data(settings),
        ]
    )


def _statements(file: Path) -> list[str]:
    parts = [part.strip() for part in file.read_text().split(";\n\n")]
    return [part.removesuffix(";") for part in parts if part]


def _demo_data(settings: Settings) -> Iterable[str]:
    numbers = {category.slug: number for number, category in enumerate(CATEGORIES, start=1)}
    yield from _insert(
        "categories", ("id", "slug", "name"),
        [(numbers[c.slug], c.slug, c.name) for c in CATEGORIES],
    )  # fmt: skip
    columns = ("id", "sku", "name", "description", "category_id", "price_cents", "stock",
               "initial_stock", "safety_stock", "image")  # fmt: skip
    yield from _insert(
        "products",
        columns,
        [
            (p.id, p.sku, p.name, p.description, numbers[p.category.slug], p.price_cents,
             p.stock, p.stock, p.safety_stock, p.image)
            for p in make_products()
        ],
    )  # fmt: skip
    # One hash for all: they share one published password, and 500 hashes would only cost time.
    cost = settings.password_cost
    password_hash = PasswordHasher(
        time_cost=cost.time_cost, memory_cost=cost.memory_kib, parallelism=cost.parallelism
    ).hash(SHOPPER_PASSWORD)
    yield from _insert(
        "users", ("id", "email", "name", "password_hash"),
        [
            (n + 1, f"shopper-{n}@example.test", f"Demo Shopper {n}", password_hash)
            for n in range(SHOPPERS)
        ],
    )  # fmt: skip
    yield "INSERT INTO shop_settings (key, value) VALUES ('payment_provider', 'alpha')"
    yield "ANALYZE"


def _insert(table: str, columns: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> Iterable[str]:
    head = f"INSERT INTO {table} ({', '.join(columns)}) VALUES "  # noqa: S608 - our own names
    for start in range(0, len(rows), _ROWS_PER_INSERT):
        part = rows[start : start + _ROWS_PER_INSERT]
        yield head + ", ".join("(" + ", ".join(map(_literal, row)) + ")" for row in part)


def _literal(value: Any) -> str:
    return sql.Literal(value).as_string(None).strip()


def _script(statements: Iterable[str]) -> str:
    return "".join(f"{statement};\n\n" for statement in statements)
