"""Which node of the database pair is what."""

import json

from shop_stack import Stack


def roles(shop: Stack) -> dict[str, str]:
    facts = json.loads(shop.operate("status", "--json").stdout)
    return {name: node["role"] for name, node in facts["nodes"].items()}


def primary_and_standby(shop: Stack) -> tuple[str, str]:
    found = roles(shop)
    assert sorted(found.values()) == ["primary", "standby"]
    return tuple(sorted(found, key=lambda name: found[name]))  # type: ignore[return-value]
