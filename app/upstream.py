"""Calling a module's service: the connection goes to an address that was checked; name and certificate are the host's.

A transport and no client: a client would keep one tenant's cookies for the next, follow redirects into our own network,
and read proxies and passwords from the environment.
"""

import asyncio
import ssl
import time
from collections.abc import AsyncIterable, Sequence

import httpx

from app.lookups import Lookups, is_address
from federation.finding import Finding
from federation.routing import Destination, RoutingPolicy, find_destination

ADDRESS_SECONDS = 5.0  # what a name stands for is asked again after this
DESTINATIONS_MAX = 10_000
CONNECT_SECONDS = 2.0
POOL_SECONDS = 2.0
KEPT_OPEN_SECONDS = 4.0  # servers close idle connections after 5 s, and would do so just as we send

Header = tuple[bytes, bytes]


class Unreachable(Exception):
    """No connection came about, so nothing has been sent: it may be tried elsewhere."""


class Upstreams:
    """The connections of one process to modules' services.

    `connections`: how many at a time, with and without TLS. `tls`: whose certificates are trusted, the public ones
    unless given.
    """

    def __init__(self, routing: RoutingPolicy, *, connections: int, tls: ssl.SSLContext | None = None) -> None:
        self._routing = routing
        self._lookups = Lookups()
        self._known: dict[str, tuple[float, Destination | Finding]] = {}
        plain = httpx.Limits(
            max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=KEPT_OPEN_SECONDS
        )
        # Connections are kept by address, and here a certificate was checked for one name: at the same address another
        # name's request would go out over it unchecked.
        secure = httpx.Limits(max_connections=connections, max_keepalive_connections=0)
        self._transports = {
            "http": httpx.AsyncHTTPTransport(trust_env=False, limits=plain),
            "https": httpx.AsyncHTTPTransport(trust_env=False, limits=secure, verify=True if tls is None else tls),
        }

    async def send(
        self,
        method: str,
        url: str,
        *,
        owner: str,
        target: bytes | None = None,
        headers: Sequence[Header] = (),
        body: AsyncIterable[bytes] | None = None,
        seconds: float,
    ) -> httpx.Response:
        """The answer, its body still to be read and closed. `owner`: whose service it is, a module.

        `target`: path and query in place of the url's.

        Raises Unreachable, and what httpx raises once there was a connection: TimeoutException after `seconds` without
        a byte.
        """
        destination = await self._find(url, owner)
        address_of = httpx.URL(url).copy_with
        transport = self._transports[httpx.URL(url).scheme]
        sent = [(b"host", _authority(httpx.URL(url))), *headers]
        extensions = {
            "timeout": {"connect": CONNECT_SECONDS, "read": seconds, "write": seconds, "pool": POOL_SECONDS},
            **({"sni_hostname": destination.host} if not is_address(destination.host) else {}),
            **({} if target is None else {"target": target}),
        }
        why = ""
        for address in destination.addresses:
            request = httpx.Request(method, address_of(host=address), headers=sent, content=body, extensions=extensions)
            try:
                return await transport.handle_async_request(request)
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                why = type(error).__name__
        raise Unreachable(why)

    async def _find(self, url: str, owner: str) -> Destination:
        now = time.monotonic()
        known = self._known.get(url)
        if known is None or known[0] < now:
            if len(self._known) >= DESTINATIONS_MAX:
                self._known.clear()
            known = self._known[url] = (
                now + ADDRESS_SECONDS,
                await find_destination(url, self._routing, self._lookups.of(owner)),
            )
        if isinstance(known[1], Finding):
            raise Unreachable(known[1].code)
        return known[1]

    async def aclose(self) -> None:
        self._lookups.close()
        for transport in self._transports.values():
            await transport.aclose()


async def discard(response: httpx.Response) -> None:
    """Close an answer that nobody reads to its end."""
    async with asyncio.timeout(CONNECT_SECONDS):
        await response.aclose()


def _authority(url: httpx.URL) -> bytes:
    return url.netloc.rpartition(b"@")[2]
