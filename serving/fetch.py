"""Pictures by URL, from the public internet and from nowhere else.

A URL is a stranger's wish to have this machine open a connection. So each one, and each redirect anew, must be plain
HTTP or HTTPS, its host is resolved once, every address of it must be public, and the connection goes to such an
address itself: no second look-up could give another one (DNS rebinding). Proxies of the environment are not asked, as
they would look the name up for themselves. What answers is told apart only where it is public: of a name that does not
exist and of one that points inside the same is said.
"""

import asyncio
import socket
import ssl
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv6Address, ip_address, ip_network

import httpx2
from pydantic import BaseModel, ConfigDict

from serving.errors import Busy, Refused

TIMEOUT_S = 10.0
"""For all of a picture: names, redirects, and bytes."""
MAX_REDIRECTS = 3
MAX_LETTERS = 2_048
NUM_RESOLVERS = 8
"""Names that are looked up at once, in threads of their own: a server of names that is slow holds nothing else up."""
HEADERS = {"accept": "image/*", "accept-encoding": "identity", "user-agent": "gencv"}

NOT_PUBLIC = tuple(
    map(
        ip_network,
        (
            "192.0.0.0/24",  # of protocols
            "192.88.99.0/24",  # relays of 6to4
            "168.63.129.16/32",  # Azure's own server for its machines
            "2001::/23",  # of protocols, Teredo among them
            "2001:db8::/32",
            "2002::/16",  # 6to4
            "3fff::/20",
        ),
    )
)
"""Beside what `ipaddress` calls private, as that list differs from version to version."""
UNICAST = ip_network("2000::/3")
"""The public part of IPv6. Outside of it lie all forms of an IPv4 address: mapped, compatible, translated, NAT64."""

Resolve = Callable[[str, int], list[str]]
"""A host and a port to addresses, in a thread. Raises OSError."""


class Urls(BaseModel):
    """Whether pictures may be given by URL, and from where."""

    model_config = ConfigDict(extra="forbid")

    on: bool = False
    ports: tuple[int, ...] = (80, 443)


class Fetcher:
    """Gets pictures."""

    def __init__(self, urls: Urls, resolve: Resolve | None = None, tls: ssl.SSLContext | None = None) -> None:
        """tls: whom to believe; default: the machine's authorities."""
        self.urls, self.resolve = urls, resolve or addresses_of
        self.tls = tls or ssl.create_default_context()
        self.threads = ThreadPoolExecutor(NUM_RESOLVERS, "resolve")

    async def fetch_all(self, urls: Sequence[str], take: Callable[[int], None]) -> list[tuple[str, bytes | Refused]]:
        """Return URLs and the bytes of each, or why there are none. Raises Refused where it is off, or Busy."""
        if urls and not self.urls.on:
            raise Refused(403, "urls_off", "Pictures by URL are not fetched here; send the picture itself.", "url")
        found = await asyncio.gather(*(self._tried(url, take) for url in urls))
        if busy := next((one for one in found if isinstance(one, Busy)), None):
            raise busy
        return list(zip(urls, found, strict=True))

    async def _tried(self, url: str, take: Callable[[int], None]) -> bytes | Refused:
        try:
            return await self.fetch(url, take)
        except Refused as error:
            return error

    async def fetch(self, url: str, take: Callable[[int], None]) -> bytes:
        """Return the bytes at a URL. take: asked for room before bytes are kept. Raises Refused."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                for _ in range(1 + MAX_REDIRECTS):
                    found = await self._get(parsed(url, self.urls.ports), take)
                    if isinstance(found, bytes):
                        return found
                    url = found
        except TimeoutError:
            raise refused("url_timeout", f"A picture by URL took longer than {TIMEOUT_S:g} s.") from None
        except (httpx2.HTTPError, httpx2.InvalidURL, OSError, ValueError):
            raise refused("url_unreachable", "The picture cannot be fetched from its URL.") from None
        raise refused("url_failed", f"The URL leads on more than {MAX_REDIRECTS} times.")

    async def _get(self, url: httpx2.URL, take: Callable[[int], None]) -> bytes | str:
        """Return the bytes at a URL, or where it leads on to. Each has a connection of its own, and no cookies."""
        host = url.raw_host.decode()
        address = await self._address(host, port_of(url))
        request = httpx2.Request(
            "GET",
            url.copy_with(host=address),
            headers={**HEADERS, "host": url.netloc.decode()},
            extensions={"sni_hostname": host},
        )
        async with httpx2.AsyncHTTPTransport(verify=self.tls, trust_env=False) as transport:
            answer = await transport.handle_async_request(request)
            if answer.has_redirect_location:
                return str(url.join(answer.headers["location"]))
            if answer.status_code != 200:
                raise refused("url_failed", f"The URL answers {answer.status_code}, not 200.")
            data = bytearray()
            async for chunk in answer.aiter_raw():
                take(len(chunk))
                data += chunk
            return bytes(data)

    async def _address(self, host: str, port: int) -> str:
        """Return a public address of a host, none of whose addresses is another. Raises Refused."""
        try:
            found = await asyncio.get_running_loop().run_in_executor(self.threads, self.resolve, host, port)
        except (OSError, UnicodeError):
            found = []
        if not found or not all(map(is_public, found)):
            raise refused("url_not_public", "The URL's host is not known on the public internet.")
        return found[0]


def parsed(text: str, ports: tuple[int, ...]) -> httpx2.URL:
    """Return a URL that may be asked. Raises Refused."""
    try:
        url = httpx2.URL(text)
    except (httpx2.InvalidURL, ValueError, TypeError):
        raise refused("invalid_url", "The URL is none.") from None
    if len(text) > MAX_LETTERS:
        raise refused("invalid_url", f"The URL is too long; {MAX_LETTERS:,} characters are accepted.")
    if url.scheme not in ("http", "https") or not url.host:
        raise refused("invalid_url", "The URL is of another kind; http:// and https:// are accepted.")
    if url.userinfo:
        raise refused("invalid_url", "The URL has a user or password; leave them out.")
    if port_of(url) not in ports:
        raise refused("invalid_url", f"The URL's port is another one; {', '.join(map(str, ports))} are accepted.")
    return url


def port_of(url: httpx2.URL) -> int:
    return url.port or {"http": 80, "https": 443}[url.scheme]


def refused(code: str, message: str) -> Refused:
    return Refused(400, code, message, "url")


def addresses_of(host: str, port: int) -> list[str]:
    """Return what the machine's resolver says, each address once."""
    found = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(one[4][0]) for one in found))


def is_public(address: str) -> bool:
    """Whether an address is one machine's on the public internet, and no other spelling of an IPv4 address."""
    try:
        found = ip_address(address)  # an IPv6 address with a zone is outside of UNICAST or of no use
    except ValueError:
        return False
    if not found.is_global or found.is_multicast or found.is_reserved or found.is_unspecified:
        return False
    if isinstance(found, IPv6Address) and (found.scope_id or found not in UNICAST):
        return False
    return not any(found in network for network in NOT_PUBLIC)
