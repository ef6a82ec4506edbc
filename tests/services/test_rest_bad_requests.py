"""Requests that were made to lead elsewhere, or to be read in two ways: none of them reaches a service."""

import json

import pytest

from tests.services.rest import Served, raw


async def test_no_socket_passes(served: Served) -> None:
    upgrade = (
        f"GET /api/v1/{served.module}/x HTTP/1.1\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
        "sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=="
    )
    answer = await raw(served, upgrade)
    assert answer.startswith(b"HTTP/1.1 501 ")
    assert b'"code":"NOT_IMPLEMENTED"' in answer


@pytest.mark.parametrize(
    "path",
    [
        "/../other/x",
        "/a/../../other",
        "/a/..",
        "/./a",
        "/%2e%2e/other",
        "/%2E%2e%2fother",
        "/a%2fb",
        "/a%5cb",
        "/a\\b",
        "/%252e%252e/x",
        "/%25252e%25252e/x",
        "/%2525252525252e/x",
        "/..;/x",
        "/..%3b/x",
        "//evil.example/x",
        "/a//b",
        "/a%00b",
        "/a%0d%0aX-Injected:%201",
        "/a%zz",
        "/ä",
        "/" + "x" * 9000,
    ],
)
async def test_paths_that_could_lead_elsewhere_are_refused(served: Served, path: str) -> None:
    before = len(served.echo.asked)
    answer = await raw(served, f"GET /api/v1/{served.module}{path} HTTP/1.1")
    assert answer.startswith(b"HTTP/1.1 400 "), answer[:200]
    assert len(served.echo.asked) == before


@pytest.mark.parametrize(
    ("head", "body", "status"),
    [
        ("POST {path} HTTP/1.1\r\ncontent-length: 3\r\ncontent-length: 4", b"abcd", 400),
        ("POST {path} HTTP/1.1\r\ncontent-length: 3\r\ntransfer-encoding: chunked", b"0\r\n\r\n", 400),
        ("POST {path} HTTP/1.1\r\ncontent-length: -1", b"", 400),
        ("POST {path} HTTP/1.1\r\ntransfer-encoding: gzip, x", b"", 400),
        ("GET {path} HTTP/1.1\r\nx-long: {long}", b"", 431),
        ("GET {path} HTTP/1.1\r\nx-bad: a\x01b", b"", 400),
        ("GET {path} HTTP/1.1\r\nx bad: a", b"", 400),
        ("GET {path} HTTP/1.1\r\nx-folded: a\r\n b", b"", 400),
    ],
)
async def test_requests_that_no_library_would_send(served: Served, head: str, body: bytes, status: int) -> None:
    before = len(served.echo.asked)
    answer = await raw(served, head.format(path=f"/api/v1/{served.module}/x", long="x" * 33_000), body)
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer[:300]
    assert len(served.echo.asked) == before


async def test_an_absolute_form_leads_to_nowhere_else(served: Served) -> None:
    answer = await raw(served, f"GET http://evil.example/api/v1/{served.module}/x HTTP/1.1")
    assert answer.startswith(b"HTTP/1.1 200 ")
    said = json.loads(answer.partition(b"\r\n\r\n")[2])
    assert (said["path"], dict(said["headers"])["host"]) == ("/x", served.instance.removeprefix("http://"))
