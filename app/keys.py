"""The keys in the data directory. Each is made once, at first use; whoever can read one can be whom it stands for."""

import os
import secrets
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

KEY_FILE = "signing.pem"
GATEWAY_FILE = "gateway.pem"  # the gateway signs with it what it sends to subgraphs
GATEWAY_KEY_FILE = "gateway.key"  # a shared secret: the gateway shows it to the platform


@dataclass(frozen=True)
class FederationKeys:
    """What the platform signs identities with, what the gateway shows to it, and the gateway's own public key."""

    signing: Ed25519PrivateKey
    gateway_key: str
    gateway_public: Ed25519PublicKey | None = None


def signing_key(keys_dir: Path) -> Ed25519PrivateKey:
    """The private key that tokens are signed with."""
    return _private_key(keys_dir / KEY_FILE)


def federation_keys(keys_dir: Path, *, gateway_key: str | None, gateway_public_file: Path | None) -> FederationKeys:
    """The keys of a platform and its gateway; both are given the same directory, or told each other's."""
    if gateway_public_file is None:
        gateway_public = _private_key(keys_dir / GATEWAY_FILE).public_key()
    else:
        gateway_public = _public_key(gateway_public_file)
    return FederationKeys(
        signing=signing_key(keys_dir),
        gateway_key=gateway_key or _gateway_key(keys_dir / GATEWAY_KEY_FILE),
        gateway_public=gateway_public,
    )


def _gateway_key(path: Path) -> str:
    if not path.exists():
        _make(path, secrets.token_urlsafe(32).encode())
    return path.read_text().strip()


def _public_key(path: Path) -> Ed25519PublicKey:
    key = serialization.load_pem_public_key(path.read_bytes())
    if not isinstance(key, Ed25519PublicKey):
        raise TypeError(f"{path} is not an Ed25519 public key")
    return key


def _private_key(path: Path) -> Ed25519PrivateKey:
    if not path.exists():
        _make(path, _new_pem())
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise TypeError(f"{path} is not an Ed25519 key")
    return key


def _new_pem() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _make(path: Path, content: bytes) -> None:
    """Two processes that make it at once end up with the same one."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    write_private(draft, content)
    try:
        os.link(draft, path)  # fails when somebody was faster: theirs is the key
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
