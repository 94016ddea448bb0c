"""Targets of HTTP probes, taken apart; credentials in them become a header."""

import base64
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit, urlunsplit


@dataclass(frozen=True, slots=True)
class Url:
    """A target taken apart. `text` is without user and password, `credentials` is their header."""

    text: str
    secure: bool
    host: str
    netloc: str
    credentials: str


def parse(target: str) -> Url:
    """Take a target apart; without a scheme it is http.

    Raises:
        ValueError: it is no URL of http or https.
    """
    if not target.startswith(("http://", "https://")):
        target = f"http://{target}"
    parts = urlsplit(target)
    try:
        port = parts.port
    except ValueError:
        port = 0
    if not parts.hostname or port == 0:  # it is not repeated: there may be a password in it
        raise ValueError("the URL names no host or no port; such as https://shop.example:8443/")
    user, _, netloc = parts.netloc.rpartition("@")
    credentials = ""
    if user:
        name, _, password = user.partition(":")
        credentials = basic_credentials(unquote(name), unquote(password))
    text = urlunsplit((parts.scheme, netloc, parts.path or "/", parts.query, ""))
    return Url(text, parts.scheme == "https", parts.hostname, netloc, credentials)


def with_host(url: str, host: str) -> str:
    """Return a URL with another host and the same port."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return urlunsplit(parts._replace(netloc=f"[{host}]{port}" if ":" in host else f"{host}{port}"))


def basic_credentials(user: str, password: str) -> str:
    """Return the value of the header Authorization for a name and a password. Source: RFC 7617."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()
