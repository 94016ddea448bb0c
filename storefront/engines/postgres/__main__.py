"""The database pair. `python -m storefront.engines.postgres run|promote|resync|alone|status`"""

import argparse
import json
import sys
from typing import Any

import psycopg

from storefront.engines.postgres.node import find_node
from storefront.engines.postgres.operate import go_on_alone, promote, resync, status
from storefront.engines.postgres.start import run_node
from storefront.errors import EngineError, SettingsError
from storefront.settings import DATABASES, load_settings


def parse_arguments(argv: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m storefront.engines.postgres")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, text in (
        ("run", "start a node in the foreground, in the role that is safe"),
        ("promote", "make a standby the primary; refused while the other may be it"),
    ):
        command = commands.add_parser(name, help=text)
        command.add_argument("node", choices=DATABASES)
    commands.add_parser("resync", help="wait for the standby, then make commits wait for it again")
    commands.add_parser("alone", help="let the primary commit without its standby")
    commands.add_parser("primary", help="print the name of the primary; exit 1 without one")
    commands.add_parser("standby", help="print the name of the standby; exit 1 without one")
    commands.add_parser("failed", help="print the node that is not what the pair relies on now")
    shown = commands.add_parser("status", help="who is what; exit 1 when there is no primary")
    shown.add_argument("--json", action="store_true", help="for machines")
    shown.add_argument("--whole", action="store_true", help="exit 1 unless a standby is in step")
    return parser.parse_args(argv)


def main() -> None:
    """Do what the command line says; an error is one line."""
    arguments = parse_arguments()
    try:
        settings = load_settings()
        if arguments.command == "run":
            run_node(find_node(settings, arguments.node))
        elif arguments.command == "promote":
            _say(promote(find_node(settings, arguments.node)))
        elif arguments.command == "resync":
            _say(resync(settings))
        elif arguments.command == "alone":
            _say(go_on_alone(settings))
        elif arguments.command == "failed":
            facts = status(settings)
            roles = {node["role"] for node in facts["nodes"].values()}
            relied_on = _only(facts, "primary" if "primary" in roles else "standby")
            _say(find_node(settings, relied_on).peer.name)
        elif arguments.command in {"primary", "standby"}:
            _say(_only(status(settings), arguments.command))
        else:
            facts = status(settings)
            _say(json.dumps(facts) if arguments.json else json.dumps(facts, indent=2))
            sys.exit(0 if _well(facts, whole=arguments.whole) else 1)
    except (EngineError, SettingsError, psycopg.Error) as error:
        sys.exit(f"postgres: {str(error).splitlines()[0]}")


def _only(facts: dict[str, Any], role: str) -> str:
    """Return the one node of a role."""
    names = [name for name, node in facts["nodes"].items() if node["role"] == role]
    if len(names) != 1:
        raise EngineError(f"{len(names)} nodes are {role}; `status` shows the pair")
    return str(names[0])


def _well(facts: dict[str, Any], *, whole: bool) -> bool:
    """Tell whether there is one primary and, if wanted, a standby that its commits wait for."""
    primaries = [node for node in facts["nodes"].values() if node["role"] == "primary"]
    if len(primaries) != 1:
        return False
    in_step = [one for one in primaries[0]["standbys"] if one["sync_state"] == "sync"]
    return not whole or (bool(facts["synchronous"]) and bool(in_step))


def _say(text: str) -> None:
    print(text)  # noqa: T201 - the answer of a command


if __name__ == "__main__":
    main()
