"""Trusted documents: those a client was built with, called by the SHA-256 of their text. Never holds: what they mean.

A directory holds one file for each client, `<client>.json`, as GraphQL code generators write it: an object from id to
document, the id being the hexadecimal SHA-256 of the text. Files are looked at again when an id is asked for that is
not known, at most once in five seconds: a client's new release needs no restart.
"""

import hashlib
import logging
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from app.transport.refusal import Refused, bad_request

log = logging.getLogger("modplane.trusted")

PREFIX = "sha256:"
CLIENT_HEADER = "graphql-client-name"
NOT_FOUND, REQUIRED = "PERSISTED_DOCUMENT_NOT_FOUND", "PERSISTED_DOCUMENT_REQUIRED"
CLIENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
CLIENTS_MAX = 100
FILE_BYTES_MAX = 4 * 1024 * 1024
DOCUMENTS_MAX = 1_000  # of one client
LOOK_AGAIN_SECONDS = 5.0


@dataclass(kw_only=True)
class TrustedDocuments:
    """What each client may call. A file that can't be read is left out, and said why in the log; the version of it
    that was read before stays in use."""

    directory: Path | None = None
    only: bool = False  # nothing else is executed
    _by_client: dict[str, dict[str, str]] = field(default_factory=dict)
    _read: dict[str, tuple[int, int]] = field(default_factory=dict)  # each file's time and size
    _looked: float = field(default=float("-inf"))

    def __post_init__(self) -> None:
        self._look()

    def find(self, client: str, document_id: str) -> str | None:
        """The text of a client's document; `document_id` with or without its prefix. None: not one of this client's."""
        wanted = document_id.removeprefix(PREFIX)
        found = self._by_client.get(client, {}).get(wanted)
        if found is None and time.monotonic() - self._looked >= LOOK_AGAIN_SECONDS:
            self._look()
            found = self._by_client.get(client, {}).get(wanted)
        return found

    def text_of(self, client: str, parameters: Mapping[str, object]) -> str:
        """The document that a request's parameters send or call; raises Refused."""
        query, called = parameters.get("query"), parameters.get("documentId")
        if called is None:
            if not isinstance(query, str) or not query:
                raise bad_request("The parameter 'query' must be a GraphQL document.")
            if self.only:
                message = "Only trusted documents are executed here: send the 'documentId' of one."
                raise Refused(status=403, code=REQUIRED, message=message)
            return query
        if not isinstance(called, str):
            raise bad_request("The parameter 'documentId' must be a string.")
        if query is not None:
            raise bad_request("Send 'query' or 'documentId', not both.")
        found = self.find(client, called)
        if found is None:
            message = f"This document is not known of this client; {CLIENT_HEADER} has to name the one it belongs to."
            raise Refused(status=400, code=NOT_FOUND, message=message)
        return found

    def texts(self) -> Iterator[str]:
        """All documents, each once."""
        yield from dict.fromkeys(text for each in self._by_client.values() for text in each.values())

    def __len__(self) -> int:
        return sum(len(each) for each in self._by_client.values())

    def _look(self) -> None:
        self._looked = time.monotonic()
        if self.directory is None:
            return
        try:
            files = sorted(each for each in self.directory.iterdir() if each.suffix == ".json")[:CLIENTS_MAX]
        except OSError as error:
            log.warning("trusted documents: %s", error)
            return
        for path in files:
            try:
                state = path.stat()
                if self._read.get(path.stem) == (state.st_mtime_ns, state.st_size):
                    continue
                self._read[path.stem] = (state.st_mtime_ns, state.st_size)
                self._by_client[path.stem] = _read_file(path, state.st_size)
            except (OSError, ValueError) as error:
                log.warning("trusted documents: %s is not used: %s", path.name, error)
        for client in self._by_client.keys() - {path.stem for path in files}:
            del self._by_client[client], self._read[client]


def _read_file(path: Path, size: int) -> dict[str, str]:
    """Raises ValueError with what is wrong: all of a file is used, or nothing."""
    if not CLIENT.fullmatch(path.stem):
        raise ValueError("a client's name is made of letters, digits, '.', '_' and '-'")
    if size > FILE_BYTES_MAX:
        raise ValueError(f"it is larger than {FILE_BYTES_MAX} bytes")
    documents = orjson.loads(path.read_bytes())
    if not isinstance(documents, Mapping) or not all(isinstance(each, str) for each in documents.values()):
        raise ValueError("it is not a JSON object from id to document")
    if len(documents) > DOCUMENTS_MAX:
        raise ValueError(f"it has more than {DOCUMENTS_MAX} documents")
    known = {key.removeprefix(PREFIX): text for key, text in documents.items()}
    for key, text in known.items():
        if document_id(text) != key:
            raise ValueError(f"{key} is not the SHA-256 of its document")
    return known


def document_id(text: str) -> str:
    """The hexadecimal SHA-256 of the text in UTF-8."""
    return hashlib.sha256(text.encode()).hexdigest()
