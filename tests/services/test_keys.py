"""The keys that a platform and its gateway know each other by: made once, readable by their owner alone."""

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from pydantic import ValidationError

from app.keys import federation_keys, signing_key
from app.settings import Settings


def test_they_are_made_at_first_use_and_stay(tmp_path: Path) -> None:
    made = federation_keys(tmp_path / "keys", gateway_key=None, gateway_public_file=None)
    again = federation_keys(tmp_path / "keys", gateway_key=None, gateway_public_file=None)
    files = sorted((tmp_path / "keys").iterdir())
    assert [each.name for each in files] == ["gateway.key", "gateway.pem", "signing.pem"]
    assert {stat.S_IMODE(each.stat().st_mode) for each in files} == {0o600}
    assert len(made.gateway_key) == 43
    assert again.gateway_key == made.gateway_key == (tmp_path / "keys" / "gateway.key").read_text()
    gateway = serialization.load_pem_private_key((tmp_path / "keys" / "gateway.pem").read_bytes(), password=None)
    assert isinstance(gateway, Ed25519PrivateKey)
    assert made.gateway_public is not None
    assert made.gateway_public.public_bytes_raw() == gateway.public_key().public_bytes_raw()
    assert made.signing.private_bytes_raw() == signing_key(tmp_path / "keys").private_bytes_raw()
    assert made.signing.private_bytes_raw() != gateway.private_bytes_raw()


def test_those_that_are_told_are_not_made(tmp_path: Path) -> None:
    public = Ed25519PrivateKey.generate().public_key()
    file = tmp_path / "gateway.pub"
    file.write_bytes(public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo))
    told = federation_keys(tmp_path / "keys", gateway_key="k" * 32, gateway_public_file=file)
    assert told.gateway_key == "k" * 32
    assert told.gateway_public is not None
    assert told.gateway_public.public_bytes_raw() == public.public_bytes_raw()
    assert [each.name for each in (tmp_path / "keys").iterdir()] == ["signing.pem"]


def test_settings_that_would_be_no_protection_are_refused() -> None:
    with pytest.raises(ValidationError, match="gateway_key"):
        Settings(gateway_key="short")
    with pytest.raises(ValidationError, match="routing_allowed_hosts"):
        Settings(routing_allowed_hosts="10.0.0.0/8, 10.0.0.0/99")
    assert Settings(routing_allowed_hosts="10.1.0.0/16, inside:8001").routing_allowed_hosts
