"""Asks a running service for its SDL: what was checked is only worth something when it is what is served.

Never holds: where a service may be (routing.py).
"""

import asyncio
import json
from ipaddress import ip_address

import httpx
from graphql import DocumentNode

from federation.facts import facts
from federation.finding import Finding, Severity
from federation.routing import Destination, Lookup, RoutingPolicy, find_destination, look_up
from federation.sdl import parse_sdl

# Word for word: a module's service may answer this one query to whoever asks.
QUERY = "{ _service { sdl } }"
SECONDS_MAX = 5.0
BYTES_MAX = 2 * 1024 * 1024
SHOWN_MAX = 3


class _NotAnswered(Exception):
    """The service has not said what its SDL is; the message is the end of a sentence that says so."""


async def check_live(
    url: str,
    sdl: str,
    policy: RoutingPolicy,
    *,
    severity: Severity,
    seconds_max: float = SECONDS_MAX,
    lookup: Lookup = look_up,
) -> tuple[Finding, ...]:
    """Does the service at the URL serve this SDL? An address that may not be called is an ERROR in any case."""
    destination = await find_destination(url, policy, lookup)
    if isinstance(destination, Finding):
        is_unknown = destination.code == "ROUTING_HOST_UNKNOWN"
        return (Finding(severity, destination.code, destination.message) if is_unknown else destination,)
    try:
        async with asyncio.timeout(seconds_max):
            served = await _fetch(url, destination)
    except TimeoutError:
        return (Finding(severity, "SERVICE_UNAVAILABLE", f"The service has not answered within {seconds_max:g} s."),)
    except _NotAnswered as error:
        return (Finding(severity, "SERVICE_UNAVAILABLE", f"The service {error}."),)
    return await asyncio.to_thread(_compare, sdl, served, severity)


def _compare(registered_sdl: str, served_sdl: str, severity: Severity) -> tuple[Finding, ...]:
    registered, served = parse_sdl(registered_sdl), parse_sdl(served_sdl)
    if isinstance(served, Finding):
        return (Finding(severity, "SERVICE_SDL_INVALID", f"What the service serves is not SDL: {served.message}"),)
    assert isinstance(registered, DocumentNode)
    ours, theirs = facts(registered), facts(served)
    if ours == theirs:
        return ()
    differing = [f"-{fact}" for fact in sorted(ours - theirs)] + [f"+{fact}" for fact in sorted(theirs - ours)]
    shown = "; ".join(differing[:SHOWN_MAX]) + ("; …" if len(differing) > SHOWN_MAX else "")
    return (
        Finding(severity, "SERVICE_SDL_DIFFERS", f"The service serves another schema than was registered: {shown}"),
    )


async def _fetch(url: str, destination: Destination) -> str:
    """The SDL. The connection goes to an address that was checked; name and certificate are still the host's."""
    target = httpx.URL(url)
    extensions = {"sni_hostname": destination.host} if _is_name(destination.host) else {}
    headers = {"host": _authority(target), "accept-encoding": "identity"}
    why = "can't be reached"
    # neither proxies nor credentials of this machine's environment
    async with httpx.AsyncClient(trust_env=False, follow_redirects=False, timeout=SECONDS_MAX) as client:
        for address in destination.addresses:
            try:
                async with client.stream(
                    "POST",
                    target.copy_with(host=address),
                    json={"query": QUERY},
                    headers=headers,
                    extensions=extensions,
                ) as response:
                    return _sdl(await _read(response))
            except (httpx.HTTPError, OSError) as error:
                why = f"can't be reached ({type(error).__name__})"
    raise _NotAnswered(why)


async def _read(response: httpx.Response) -> bytes:
    if response.is_redirect:
        raise _NotAnswered("redirects to another place, which is never followed")
    if response.status_code != 200:
        raise _NotAnswered(f"answers with status {response.status_code}")
    if response.headers.get("content-encoding", "identity") != "identity":
        raise _NotAnswered("compresses its answer although it was asked not to")
    body = bytearray()
    async for chunk in response.aiter_raw():
        body += chunk
        if len(body) > BYTES_MAX:
            raise _NotAnswered(f"answers with more than {BYTES_MAX:,} bytes")
    return bytes(body)


def _sdl(body: bytes) -> str:
    try:
        sdl = json.loads(body)["data"]["_service"]["sdl"]
    except (ValueError, TypeError, LookupError, RecursionError):
        sdl = None
    if not isinstance(sdl, str):
        raise _NotAnswered(f"does not answer {QUERY}")
    return sdl


def _authority(url: httpx.URL) -> str:
    return url.netloc.decode("ascii").rpartition("@")[2]


def _is_name(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return True
    return False
