"""Where a subgraph's service may be: not inside our own network. What is called is what was checked.

Never holds: requests (live.py).
"""

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import SplitResult, urlsplit

from federation.finding import Finding, Severity

LOOKUP_SECONDS = 2.0
URL_LENGTH_MAX = 2048
PORTS = {"http": 80, "https": 443}

HOST = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*", re.IGNORECASE)
# The C library reads such labels as numbers: 127.1, 0x7f000001, 2130706433 and 0177.0.0.1 are all 127.0.0.1.
NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+", re.IGNORECASE)
LOCAL_NAMES = ("localhost", "local", "internal", "intranet", "lan", "home", "corp", "home.arpa")

# Lists of our own: what `ipaddress` calls private leaves out some of these, and differs between Python versions.
DENIED_4 = tuple(
    map(
        ip_network,
        (
            "0.0.0.0/8",
            "10.0.0.0/8",
            "100.64.0.0/10",  # carrier-grade NAT; some clouds' metadata
            "127.0.0.0/8",
            "168.63.129.16/32",  # a cloud's metadata in the middle of public addresses
            "169.254.0.0/16",  # link-local; most clouds' metadata
            "172.16.0.0/12",
            "192.0.0.0/24",
            "192.0.2.0/24",
            "192.88.99.0/24",
            "192.168.0.0/16",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/3",  # multicast, reserved and broadcast
        ),
    )
)
GLOBAL_6 = ip_network("2000::/3")
# Inside it what stands for IPv4 addresses, what is documentation and what is benchmarks.
DENIED_6 = tuple(map(ip_network, ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")))

Lookup = Callable[[str, int], Awaitable[Sequence[str]]]


@dataclass(frozen=True)
class RoutingPolicy:
    """What may be called although it is private: `host`, `host:port`, or a network like 10.1.0.0/16."""

    allowed_hosts: frozenset[str] = frozenset()

    def allows_host(self, host: str, port: int) -> bool:
        return host in self.allowed_hosts or f"{host}:{port}" in self.allowed_hosts

    def allows_address(self, address: str) -> bool:
        """Public, or in a network that is listed."""
        ip = ip_address(address)
        return is_public(ip) or any(
            ip in ip_network(entry, strict=False) for entry in self.allowed_hosts if "/" in entry
        )


@dataclass(frozen=True)
class Destination:
    """A host with the addresses that it has been found to have, all of them allowed."""

    host: str
    port: int
    addresses: tuple[str, ...]


def is_public(ip: IPv4Address | IPv6Address) -> bool:
    """Is it on the internet, and nothing of ours?"""
    if isinstance(ip, IPv4Address):
        return not any(ip in network for network in DENIED_4)
    return ip in GLOBAL_6 and not any(ip in network for network in DENIED_6)


def check_routing_url(url: str, policy: RoutingPolicy) -> tuple[Finding, ...]:
    """What is wrong with the URL itself, without asking anybody what its host stands for."""
    parts = _split(url)
    if parts is None:
        return (_error("ROUTING_URL_INVALID", "The routing URL is not a URL."),)
    found = []
    if parts.scheme not in PORTS:
        found.append(
            _error("ROUTING_URL_SCHEME", f"The routing URL begins with http: or https:, not {parts.scheme!r}.")
        )
    if parts.username is not None or parts.password is not None:
        found.append(
            _error("ROUTING_URL_CREDENTIALS", "The routing URL holds credentials; the gateway sends signed headers.")
        )
    if parts.fragment:
        found.append(_error("ROUTING_URL_INVALID", "The routing URL has a fragment, which is never sent."))
    if found:
        return tuple(found)
    host, port = _host(parts), _port(parts)
    if policy.allows_host(host, port):
        return ()
    if port < 1024 and port not in PORTS.values():
        found.append(
            _error("ROUTING_URL_PORT", f"Port {port} is another service's; 80, 443 and those from 1024 on are allowed.")
        )
    if why := _why_not(host, policy):
        found.append(_error("ROUTING_URL_PRIVATE", why))
    elif parts.scheme == "http" and not _is_listed(host, policy):
        why = "The routing URL is not encrypted: tenants' identities and data can be read on the way."
        found.append(Finding(Severity.WARNING, "ROUTING_URL_PLAINTEXT", why))
    return tuple(found)


async def look_up(host: str, port: int) -> Sequence[str]:
    """All addresses of a host; OSError when it has none."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


async def find_destination(url: str, policy: RoutingPolicy, lookup: Lookup = look_up) -> Destination | Finding:
    """Where the URL leads now. Every address has to be allowed: which one a client takes is not ours to say.

    Whoever calls the service connects to these addresses, and does not ask again: another answer could differ.
    """
    if errors := [finding for finding in check_routing_url(url, policy) if finding.severity is Severity.ERROR]:
        return errors[0]
    parts = urlsplit(url)
    host, port = _host(parts), _port(parts)
    try:
        async with asyncio.timeout(LOOKUP_SECONDS):
            addresses = tuple(dict.fromkeys(await lookup(host, port)))
    except (OSError, TimeoutError, UnicodeError):
        addresses = ()
    if not addresses:
        return _error("ROUTING_HOST_UNKNOWN", f"The routing URL's host {host!r} has no address.")
    if not policy.allows_host(host, port):
        for address in addresses:
            if not policy.allows_address(address):
                return _error(
                    "ROUTING_URL_PRIVATE", f"The routing URL's host {host!r} leads to {address}, which is not public."
                )
    return Destination(host, port, addresses)


def _split(url: str) -> SplitResult | None:
    # urlsplit drops tabs and line ends, which another reader of the same URL would not
    if len(url) > URL_LENGTH_MAX or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
        return None
    try:
        parts = urlsplit(url)
        is_whole = bool(parts.hostname) and parts.port != 0
        if "[" in parts.netloc:
            IPv6Address(parts.hostname or "")  # what else brackets may hold, no client understands
    except ValueError:
        return None
    return parts if is_whole else None


def _host(parts: SplitResult) -> str:
    assert parts.hostname
    return parts.hostname.removesuffix(".")


def _port(parts: SplitResult) -> int:
    return parts.port or PORTS[parts.scheme]


def _is_listed(host: str, policy: RoutingPolicy) -> bool:
    ip = _literal(host)
    return ip is not None and not is_public(ip) and policy.allows_address(host)


def _literal(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _why_not(host: str, policy: RoutingPolicy) -> str | None:
    ip = _literal(host)
    if ip is not None:
        is_fine = not getattr(ip, "scope_id", None) and policy.allows_address(host)
        return None if is_fine else f"The routing URL's host {host} is not a public address."
    labels = host.split(".")
    if not HOST.fullmatch(host):
        return f"The routing URL's host {host!r} is not a host name."
    if NUMBER.fullmatch(labels[-1]):
        return f"The routing URL's host {host!r} is a number in disguise; write addresses in full."
    if len(labels) == 1 or host.lower().endswith(tuple(f".{name}" for name in LOCAL_NAMES)):
        return f"The routing URL's host {host!r} is a name of a local network."
    return None


def _error(code: str, why: str) -> Finding:
    return Finding(Severity.ERROR, code, why)
