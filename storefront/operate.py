"""Operators' commands over the shop's API: `python -m storefront.operate payment-provider beta`."""

import argparse
import sys

import httpx

from storefront.errors import SettingsError
from storefront.settings import HOST, PROVIDERS, Settings, load_settings

_TIMEOUT_S = 10.0


def payment_provider(settings: Settings, provider: str | None) -> str:
    """Send new payments to a provider, or only ask which one has them; return its name."""
    with httpx.Client(
        base_url=f"https://{HOST}:{settings.port('tls')}",
        headers={"Authorization": f"Bearer {settings.secret('SHOP_ADMIN_TOKEN')}"},
        verify=str(settings.shop / "tls" / "ca.pem"),
        timeout=_TIMEOUT_S,
    ) as client:
        if provider is None:
            response = client.get("/api/admin/payment-provider")
        else:
            response = client.put("/api/admin/payment-provider", json={"provider": provider})
        response.raise_for_status()
        return str(response.json()["provider"])


def main() -> None:
    """Do what the command line says; an error is one line."""
    parser = argparse.ArgumentParser(prog="python -m storefront.operate")
    commands = parser.add_subparsers(dest="command", required=True)
    switch = commands.add_parser("payment-provider", help="who gets new payments")
    switch.add_argument("provider", nargs="?", choices=PROVIDERS)
    arguments = parser.parse_args()
    try:
        print(payment_provider(load_settings(), arguments.provider))  # noqa: T201 - the answer
    except (SettingsError, httpx.HTTPError, OSError) as error:
        sys.exit(f"operate: {error or type(error).__name__}")


if __name__ == "__main__":
    main()
