"""No spelling of a private address gets by, and what is called is what was checked."""

from collections.abc import Sequence
from ipaddress import ip_address

import pytest

from federation.finding import Severity
from federation.routing import Destination, RoutingPolicy, check_routing_url, find_destination, is_public
from tests.federation.subgraphs import seen

NONE = RoutingPolicy()
DEVELOPMENT = RoutingPolicy(frozenset({"127.0.0.1", "localhost"}))

PRIVATE = """
localhost LOCALHOST localhost. api.localhost printer printer.local db.internal git.corp nas.home nas.home.arpa x.lan
x.intranet 0.0.0.0 127.0.0.1 127.255.255.254 127.0.0.1. 10.0.0.1 10.255.255.255 100.64.0.1 100.100.100.200
100.127.255.255 168.63.129.16 169.254.0.1 169.254.169.254 169.254.170.2 172.16.0.1 172.31.255.255 192.0.0.1
192.0.0.192 192.0.2.1 192.88.99.1 192.168.0.1 198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1
239.255.255.255 240.0.0.1 255.255.255.255 127.1 127.0.1 2130706433 0x7f000001 0x7F.0.0.1 0177.0.0.1 017700000001
127.0.0.0x1 0x 1 00000000 169.254.43518 3232235521 example.0x7f 1.2.3.4.5 256.256.256.256 08.8.8.8 [::] [::1]
[0:0:0:0:0:0:0:1] [::127.0.0.1] [::ffff:127.0.0.1] [::ffff:7f00:1] [::ffff:8.8.8.8] [::ffff:0:127.0.0.1]
[64:ff9b::7f00:1] [64:ff9b:1::1] [100::1] [2001::1] [2001:10::1] [2001:db8::1] [2002:7f00:1::] [3fff::1] [4000::1]
[fc00::1] [fd00:ec2::254] [fe80::1] [fe80::1%25eth0] [fec0::1] [ff02::1] [2606:4700::1%25eth0] under_score.test
-a.test a-.test a..test .test *.test a%2etest localhost.. 127.0.0.1.. financial.test.. [v1.test] [financial.test]
"""
PUBLIC = """
financial.test FINANCIAL.TEST financial.test. a.b-c.example.com xn--bcher-kva.example 1and1.example 8.8.8.8
100.63.255.255 100.128.0.1 172.15.255.255 172.32.0.1 192.0.1.1 198.17.255.255 223.255.255.255 [2606:4700::1111]
[2001:4860:4860::8888] [2a00::1]
"""

URLS = {
    "no URL": ("financial", "ROUTING_URL_INVALID"),
    "no host": ("https:///graphql", "ROUTING_URL_INVALID"),
    "nothing": ("", "ROUTING_URL_INVALID"),
    "too long": ("https://financial.test/" + "a" * 2026, "ROUTING_URL_INVALID"),
    "a tab": ("https://financial.test/a\tb", "ROUTING_URL_INVALID"),
    "a line end": ("https://financial.test/\r\nHost: a", "ROUTING_URL_INVALID"),
    "a space": ("https://financial.test /", "ROUTING_URL_INVALID"),
    "a backslash": ("https://financial.test\\@127.0.0.1/", "ROUTING_URL_INVALID"),
    "full-width digits": ("https://１２７.0.0.1/", "ROUTING_URL_INVALID"),
    "letters of another script": ("https://ⓛocalhost/", "ROUTING_URL_INVALID"),
    "a fragment": ("https://financial.test/#a", "ROUTING_URL_INVALID"),
    "a port that is none": ("https://financial.test:99999/", "ROUTING_URL_INVALID"),
    "port 0": ("https://financial.test:0/", "ROUTING_URL_INVALID"),
    "brackets": ("https://[::1/", "ROUTING_URL_INVALID"),
    "file": ("file://financial.test/etc/passwd", "ROUTING_URL_SCHEME"),
    "gopher": ("gopher://financial.test/", "ROUTING_URL_SCHEME"),
    "ws": ("ws://financial.test/", "ROUTING_URL_SCHEME"),
    "a user": ("https://user@financial.test/", "ROUTING_URL_CREDENTIALS"),
    "a password": ("https://:secret@financial.test/", "ROUTING_URL_CREDENTIALS"),
    "a host as user": ("https://financial.test@127.0.0.1/", "ROUTING_URL_CREDENTIALS"),
    "ssh": ("https://financial.test:22/", "ROUTING_URL_PORT"),
    "mail": ("https://financial.test:25/", "ROUTING_URL_PORT"),
    "plain text": ("http://financial.test/graphql", "~ROUTING_URL_PLAINTEXT"),
}


def test_there_are_enough_of_them() -> None:
    assert len(PRIVATE.split()) + len(PUBLIC.split()) > 100


@pytest.mark.parametrize("host", PRIVATE.split())
def test_private_hosts_are_refused_in_every_spelling(host: str) -> None:
    codes = [code for code, *_ in seen(check_routing_url(f"https://{host}/graphql", NONE))]
    assert codes in (["ROUTING_URL_PRIVATE"], ["ROUTING_URL_INVALID"])


@pytest.mark.parametrize("host", PUBLIC.split())
def test_public_hosts_are_not(host: str) -> None:
    assert check_routing_url(f"https://{host}:8443/graphql?a=b", NONE) == ()


@pytest.mark.parametrize(("url", "code"), URLS.values(), ids=URLS.keys())
def test_urls(url: str, code: str) -> None:
    assert [code for code, *_ in seen(check_routing_url(url, NONE))] == [code]


@pytest.mark.parametrize(
    ("url", "allowed", "expected"),
    [
        ("http://127.0.0.1:8001/graphql", "127.0.0.1", []),
        ("http://127.0.0.1:8001/graphql", "127.0.0.1:8001", []),
        ("http://127.0.0.1:8002/graphql", "127.0.0.1:8001", ["ROUTING_URL_PRIVATE"]),
        ("http://127.0.0.2/graphql", "127.0.0.1", ["ROUTING_URL_PRIVATE"]),
        ("http://localhost/graphql", "localhost", []),
        ("http://LOCALHOST/graphql", "localhost", []),
        ("http://financial/graphql", "financial:80", []),
        ("http://financial:25/graphql", "financial", []),
        ("http://10.1.2.3/graphql", "10.1.0.0/16", []),
        ("http://10.2.2.3/graphql", "10.1.0.0/16", ["ROUTING_URL_PRIVATE"]),
        ("http://[fd00::1]/graphql", "fd00::/64", []),
        ("https://user@127.0.0.1/", "127.0.0.1", ["ROUTING_URL_CREDENTIALS"]),
        ("ftp://127.0.0.1/", "127.0.0.1", ["ROUTING_URL_SCHEME"]),
    ],
)
def test_what_is_listed_is_allowed_and_nothing_beside_it(url: str, allowed: str, expected: list[str]) -> None:
    assert [code for code, *_ in seen(check_routing_url(url, RoutingPolicy(frozenset({allowed}))))] == expected


def test_addresses_at_the_edges_of_networks() -> None:
    edges = [
        "9.255.255.255",
        "11.0.0.0",
        "128.0.0.0",
        "169.253.255.255",
        "169.255.0.0",
        "192.167.255.255",
        "2000::",
        "3ffe::",
    ]
    assert [address for address in edges if not is_public(ip_address(address))] == []


class Names:
    """A name server that answers each question with the next of its answers."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        return self.answers.pop(0)


async def test_every_address_of_a_host_has_to_be_public() -> None:
    found = await find_destination("https://financial.test/", NONE, Names(["8.8.8.8", "10.0.0.1"]))
    assert not isinstance(found, Destination)
    assert (found.severity, found.code) == (Severity.ERROR, "ROUTING_URL_PRIVATE")
    assert found.message == "The routing URL's host 'financial.test' leads to 10.0.0.1, which is not public."


@pytest.mark.parametrize("address", ["::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "169.254.169.254", "fd00:ec2::254"])
async def test_a_public_name_of_a_private_address(address: str) -> None:
    found = await find_destination("https://financial.test/", NONE, Names([address]))
    assert not isinstance(found, Destination)
    assert found.code == "ROUTING_URL_PRIVATE"


async def test_a_host_is_asked_for_once_and_has_the_addresses_it_had_then() -> None:
    names = Names(["8.8.8.8", "2606:4700::1111", "8.8.8.8"], ["127.0.0.1"])
    found = await find_destination("https://financial.test:8443/graphql", NONE, names)
    assert found == Destination("financial.test", 8443, ("8.8.8.8", "2606:4700::1111"))
    assert names.answers == [["127.0.0.1"]]


async def test_the_systems_own_names() -> None:
    found = await find_destination("http://localhost:8001/", DEVELOPMENT)
    assert isinstance(found, Destination)
    assert set(found.addresses) <= {"127.0.0.1", "::1"}
    unknown = await find_destination("https://financial.invalid/", NONE)
    assert not isinstance(unknown, Destination)
    assert unknown.code == "ROUTING_HOST_UNKNOWN"
