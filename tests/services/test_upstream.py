"""Calling services over TLS: a certificate is checked for the name that is called, whoever else is at that address."""

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID

from app.lookups import THREADS_MAX, Lookups
from app.upstream import Unreachable, Upstreams
from federation.routing import RoutingPolicy

ROUTING = RoutingPolicy(frozenset({"127.0.0.1", "localhost"}))


def certificate(folder: Path) -> Path:
    """A file with a key and a certificate of its own for the name `localhost`, and for no address."""
    key = Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, None)
    )
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file = folder / "localhost.pem"
    file.write_bytes(key.private_bytes(*form) + made.public_bytes(serialization.Encoding.PEM))
    return file


@asynccontextmanager
async def serving(file: Path) -> AsyncIterator[int]:
    """The port of a service with this certificate, that keeps connections open."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
        except (asyncio.IncompleteReadError, OSError):
            writer.close()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def test_a_connection_that_was_checked_for_one_name_is_not_used_for_another(tmp_path: Path) -> None:
    file = certificate(tmp_path)
    trusted = ssl.create_default_context(cafile=str(file))
    upstreams = Upstreams(ROUTING, connections=10, tls=trusted)
    async with serving(file) as port:
        try:
            for _ in range(2):
                response = await upstreams.send("GET", f"https://localhost:{port}/", owner="a", seconds=5)
                assert await response.aread() == b"ok"
                await response.aclose()
                with pytest.raises(Unreachable):
                    await upstreams.send("GET", f"https://127.0.0.1:{port}/", owner="a", seconds=5)
        finally:
            await upstreams.aclose()


async def test_who_is_trusted_by_nobody_is_not_called(tmp_path: Path) -> None:
    upstreams = Upstreams(ROUTING, connections=10)
    async with serving(certificate(tmp_path)) as port:
        with pytest.raises(Unreachable):
            await upstreams.send("GET", f"https://localhost:{port}/", owner="a", seconds=5)
        await upstreams.aclose()


async def test_names_that_nobody_answers_for_keep_no_other_module_waiting() -> None:
    is_over = threading.Event()

    def resolve(host: str, *_: Any, **__: Any) -> list[tuple[Any, ...]]:
        if host == "quick.example.com":
            return [(None, None, None, None, ("192.0.2.1", 80))]
        is_over.wait(10)
        raise socket.gaierror

    lookups = Lookups(resolve)
    slow, other = lookups.of("slow"), lookups.of("other")
    waiting = [asyncio.ensure_future(slow(f"{number}.example.com", 80)) for number in range(THREADS_MAX)]
    try:
        async with asyncio.timeout(2):
            assert await slow("127.0.0.1", 80) == ["127.0.0.1"]
            assert await other("quick.example.com", 80) == ["192.0.2.1"]
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await slow("quick.example.com", 80)
        for each in waiting:
            each.cancel()  # nobody waits for them any more, and their threads are held all the same
        await asyncio.gather(*waiting, return_exceptions=True)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await slow("quick.example.com", 80)
    finally:
        is_over.set()
    async with asyncio.timeout(2):
        assert await slow("quick.example.com", 80) == ["192.0.2.1"]
    lookups.close()
