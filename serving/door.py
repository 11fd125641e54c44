"""Who comes in, and with how much: keys, scopes, rates, and the size of a request, before a byte of it is parsed.

An API key is 32 random bytes; what is kept of it is its SHA-256, in a file of JSON lines or in $GENCV_API_KEYS:

    {"name": "triage", "sha256": "9f86d0...", "scopes": ["spoof", "search"], "rate_per_minute": 600}

`python -m serving.keys triage --scopes spoof search` makes one. Without any keys only requests that come over the
loopback interface, from no proxy, and for a loopback name are served: the last keeps pages of other origins out, whose
names can be made to point here (DNS rebinding). What they post by this machine's own name is refused too. Behind
Serve's HAProxy, which does not say from where a request came, they are served where it listens on loopback itself.
"""

import asyncio
import hashlib
import hmac
import json
import os
import time
from collections.abc import AsyncIterator
from ipaddress import ip_address
from pathlib import Path

import ray
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ray.serve.context import _get_global_client  # nothing public tells where the proxies listen
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gencv.core.errors import BadInput
from serving.errors import Refused, answer
from serving.openapi import is_page
from serving.room import Room, Share

OPEN_PATHS = ("/healthz", "/readyz")
"""Served to everybody, for whoever balances load: they name models and versions, nothing else."""

HAPROXY = "RAY_SERVE_ENABLE_HA_PROXY"
FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")


class Door(BaseModel):
    """What is let in; the same for all applications."""

    model_config = ConfigDict(extra="forbid")

    keys_path: str = ""
    """A file of keys, JSON lines; $GENCV_API_KEYS holds such lines too."""
    max_body_mb: float = Field(32, gt=0, le=1024)
    max_held_mb: float = Field(256, gt=0)
    """Of all requests that one copy of an API holds at once; a single one of `max_body_mb` always fits."""
    max_images: int = Field(16, ge=1, le=256)
    max_megapixels: float = Field(40, gt=0, le=178)
    rate_per_minute: int = Field(600, ge=1)
    """Of a key that states none, and of all requests without a key together."""
    body_timeout_s: float = Field(20, gt=0)
    """How long a client may take to send its request."""


class Key(BaseModel):
    """A key, as it is kept."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    sha256: str = Field(pattern="^[0-9a-f]{64}$")
    scopes: tuple[str, ...]
    rate_per_minute: int | None = Field(None, ge=1)


def digest_of(secret: str) -> str:
    """Return what is kept of a key. A plain hash does: a key is random, no word that could be guessed."""
    return hashlib.sha256(secret.encode()).hexdigest()


def read_keys(path: str) -> list[Key]:
    """Read the keys of a file and of $GENCV_API_KEYS. Raises BadInput for a line that is none."""
    try:
        lines = Path(path).read_text().splitlines() if path else []
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"The file of keys {path} cannot be read: {error}.") from None
    lines += os.environ.get("GENCV_API_KEYS", "").splitlines()
    keys = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                keys.append(Key(**json.loads(line)))
            except (ValueError, TypeError, ValidationError):
                raise BadInput(
                    f"Line {number} of the keys is none; name, sha256, and scopes as JSON are accepted."
                ) from None
    return keys


class Rates:
    """Token buckets: a key may use up a minute's worth at once, and gets it back over a minute."""

    def __init__(self) -> None:
        self.buckets: dict[str, tuple[float, float]] = {}

    def wait_s(self, name: str, per_minute: int, now: float) -> float:
        """Take one from a key's bucket; returns 0, or after how many seconds there is one again."""
        left, then = self.buckets.get(name, (float(per_minute), now))
        left = min(float(per_minute), left + (now - then) * per_minute / 60)
        if left < 1:
            self.buckets[name] = (left, now)
            return (1 - left) * 60 / per_minute
        self.buckets[name] = (left - 1, now)
        return 0.0


class Doorkeeper:
    """ASGI middleware that refuses what the door does not let in.

    scope: what a key must be for. is_counted: whether requests use up the rate of their key.
    """

    def __init__(self, app: ASGIApp, door: Door, scope: str, is_counted: bool = True) -> None:
        self.app, self.door, self.scope, self.is_counted = app, door, scope, is_counted
        self.keys = read_keys(door.keys_path)
        self.sees_clients = os.environ.get(HAPROXY) != "1" or is_loopback(proxy_host())
        self.rates = Rates()
        self.room = Room(int(door.max_held_mb * 2**20), int(door.max_body_mb * 2**20))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self.is_open(scope):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        with self.room.share() as share:
            try:
                scope.setdefault("state", {}).update(caller=self.admit(scope, headers), share=share)
                # Waiting for a body that is none is a call of Serve's proxy: a third of a small answer's time.
                body = await self.read(receive, share, stated_length(headers)) if has_body(headers) else b""
            except Refused as refused:
                await answer(refused)(scope, receive, send)
                return
            await self.app(scope, replayed([body], receive), send)

    def is_open(self, scope: Scope) -> bool:
        return path_of(scope) in OPEN_PATHS

    def admit(self, scope: Scope, headers: Headers) -> str:
        """Return the name of the key, "" without one. Raises Refused: 401, 403, 429."""
        scheme, _, secret = headers.get("authorization", "").partition(" ")
        key = self.find(secret.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", ""))
        # Clients that cannot do without a key send some word: where there are no keys, it opens and shuts nothing.
        if key is None and not (is_page(path_of(scope)) if self.keys else self.is_local(scope, headers)):
            raise Refused(
                401,
                "invalid_api_key",
                "Give a valid API key as `Authorization: Bearer KEY`.",
                headers={"WWW-Authenticate": "Bearer"},
            )
        if key is not None and self.scope not in key.scopes:
            raise Refused(403, "wrong_scope", f"This key is not for {self.scope}.")
        name = key.name if key else ""
        rate = (key and key.rate_per_minute) or self.door.rate_per_minute
        if self.is_counted and (wait_s := self.rates.wait_s(name, rate, time.monotonic())):
            after = str(int(wait_s) + 1)
            raise Refused(
                429,
                "rate_limit_exceeded",
                f"Too many requests; try again in {after} seconds.",
                None,
                {"Retry-After": after},
            )
        return name

    def is_local(self, scope: Scope, headers: Headers) -> bool:
        return self.sees_clients and is_local(scope, headers)

    def find(self, secret: str) -> Key | None:
        """Return the key that a secret is of; all are compared, so that the time tells nothing."""
        digest = digest_of(secret)
        found = [key for key in self.keys if hmac.compare_digest(key.sha256, digest)]
        return found[0] if found else None

    async def read(self, receive: Receive, share: Share, stated: int = 0) -> bytes:
        """Read the whole body, which a slow client cannot draw out. Raises Refused: 408, 413, 429.

        stated: its length, for which there must be room before a byte is read.
        """
        share.grow(stated)
        body, until = bytearray(), time.monotonic() + self.door.body_timeout_s
        async for chunk in chunks_of(receive, until):
            share.grow(max(0, len(body) + len(chunk) - share.size))
            body += chunk
        return bytes(body)


def path_of(scope: Scope) -> str:
    """Return the path of a request within its application."""
    path: str = scope["path"].removeprefix(scope.get("root_path", ""))
    return path


def has_body(headers: Headers) -> bool:
    """Whether a request of HTTP/1.1 brings a body (RFC 9112, 6.3)."""
    return stated_length(headers) > 0 or "transfer-encoding" in headers


def stated_length(headers: Headers) -> int:
    """Return the length that a body is said to have, 0 where it is not said."""
    length = headers.get("content-length", "0")
    return int(length[:20]) if length.isascii() and length.isdecimal() else 0


async def chunks_of(receive: Receive, until: float) -> AsyncIterator[bytes]:
    while True:
        try:
            message = await asyncio.wait_for(receive(), max(0.0, until - time.monotonic()))
        except TimeoutError:
            raise Refused(408, "body_timeout", "The request took too long to arrive.") from None
        if message["type"] == "http.disconnect":
            raise Refused(499, "disconnected", "The client went away.")
        yield message.get("body", b"")
        if not message.get("more_body", False):
            return


def replayed(bodies: list[bytes], receive: Receive) -> Receive:
    """Give the one body, keeping it no longer, and then whatever comes: a disconnect."""

    async def again() -> Message:
        return {"type": "http.request", "body": bodies.pop(), "more_body": False} if bodies else await receive()

    return again


def proxy_host() -> str | None:
    """Return the address that the proxies of the Serve around this copy listen at, None without a Serve."""
    client = _get_global_client(raise_if_no_controller_running=False) if ray.is_initialized() else None
    return client.http_config.host if client else None


def is_local(scope: Scope, headers: Headers) -> bool:
    """Whether a request came over the loopback interface, from no proxy nor other site's page, and for a name of it."""
    client, server = scope.get("client"), scope.get("server")
    host = headers.get("host", "").rsplit(":", 1)[0].strip("[]").lower()
    return (
        client is not None
        and server is not None
        and all(is_loopback(one) for one in (client[0], server[0]))
        and (host == "localhost" or is_loopback(host))
        and not any(name in headers for name in FORWARDED)
        and not is_foreign(scope, headers)
    )


def is_foreign(scope: Scope, headers: Headers) -> bool:
    """Whether a browser says that another site's page sent what may change something.

    Forms with files go anywhere without being asked for (CSRF). Older browsers name the page's origin alone.
    """
    if scope["method"] in ("GET", "HEAD"):
        return False
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        return site not in ("same-origin", "none")
    return origin is not None and origin.partition("://")[2] != headers.get("host")


def is_loopback(host: str | None) -> bool:
    try:
        return ip_address(host or "").is_loopback
    except ValueError:
        return False
