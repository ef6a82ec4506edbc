"""What Debezium would put on Kafka for a row of the log: the rules of the shipped configuration, applied in Python.

The rules are those of Debezium's sources (EventRouterDelegate, PostgresValueConverter) and of Kafka Connect's
(InsertHeader, Values, StringConverter, SimpleHeaderConverter); an option that is not known here is a failure.
"""

import json
import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

SHIPPED = Path(__file__).parent.parent.parent / "deploy" / "debezium" / "modplane-outbox.json"
ROUTER = "io.debezium.transforms.outbox.EventRouter"
INSERT_HEADER = "org.apache.kafka.connect.transforms.InsertHeader"
# What the rules below take for granted. Each of these, changed, would change a message.
FIXED = {
    "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
    "plugin.name": "pgoutput",
    "table.include.list": "public.event_log",
    "snapshot.mode": "no_data",
    "tombstones.on.delete": "false",
    "extended.headers.enabled": "false",
    "key.converter": "org.apache.kafka.connect.storage.StringConverter",
    "value.converter": "org.apache.kafka.connect.storage.StringConverter",
    "header.converter": "org.apache.kafka.connect.storage.SimpleHeaderConverter",
}
# These say where to read, under which name, and how safely to write: nothing that a consumer sees.
UNSEEN = re.compile(
    r"(database\.|producer\.override\.|heartbeat\.interval|topic\.prefix|tasks\.max|slot\.name|publication\.)"
)
ROUTER_OPTIONS = {
    "type",
    "table.field.event.id",
    "table.field.event.key",
    "table.field.event.payload",
    "table.expand.json.payload",
    "table.op.invalid.behavior",
    "table.fields.additional.placement",
    "route.by.field",
    "route.topic.replacement",
}
Headers = list[tuple[str, bytes | None]]


@dataclass(frozen=True)
class Message:
    topic: str
    key: bytes
    value: bytes
    headers: tuple[tuple[str, bytes | None], ...]


class Connector:
    """The connector as configured. `types`: the log's columns by name, with PostgreSQL's names of their types."""

    def __init__(self, config: dict[str, str], types: dict[str, str]) -> None:
        self._types = types
        self._names = config["transforms"].split(",")
        self._transforms = {name: _options(config, f"transforms.{name}.") for name in self._names}
        unknown = {
            key
            for key in config
            if key not in FIXED and key != "transforms" and not UNSEEN.match(key) and not key.startswith("transforms.")
        }
        assert unknown == set()
        assert {key: config.get(key) for key in FIXED} == FIXED
        assert {key.split(".")[1] for key in config if key.startswith("transforms.")} == set(self._names)

    def message_of(self, row: dict[str, Any]) -> Message:
        """Through all transforms in their order; the router comes first, for the others see its record."""
        first, *others = (self._transforms[name] for name in self._names)
        topic, key, value, headers = self._route(first, row)
        for options in others:
            assert options.keys() == {"type", "header", "value.literal"}
            assert options["type"] == INSERT_HEADER
            headers.append((options["header"], inserted(options["value.literal"])))
        return Message(topic=topic, key=key, value=value, headers=tuple(headers))

    def _route(self, options: dict[str, str], row: dict[str, Any]) -> tuple[str, bytes, bytes, Headers]:
        """The id's header first, then the additional fields as they are listed; the payload as it is."""
        assert options["type"] == ROUTER
        assert options.keys() <= ROUTER_OPTIONS
        assert options["table.expand.json.payload"] == "false"
        headers: Headers = [("id", self._bytes(row, options["table.field.event.id"]))]
        for placement in options["table.fields.additional.placement"].split(","):
            column, kind, *alias = placement.split(":")
            assert kind == "header", "anything in the envelope would wrap the payload"
            headers.append((alias[0] if alias else column, self._bytes(row, column)))
        key = self._bytes(row, options["table.field.event.key"])
        value = self._bytes(row, options["table.field.event.payload"])
        assert key is not None
        assert value is not None
        routed = row[options["route.by.field"]]
        return options["route.topic.replacement"].replace("${routedByValue}", routed), key, value, headers

    def _bytes(self, row: dict[str, Any], column: str) -> bytes | None:
        """A column as Debezium reads it and the converters print it: uuid and jsonb are strings, bigint an int64."""
        value = row[column]
        if value is None:
            return None
        assert self._types[column] in {"uuid", "jsonb", "text", "bigint"}, f"no rule for {self._types[column]}"
        return str(value).encode()


def shipped() -> dict[str, str]:
    """The configuration that operators are given."""
    document = json.loads(SHIPPED.read_text())
    config: dict[str, str] = document["config"]
    return config


def inserted(literal: str) -> bytes | None:
    """InsertHeader parses its literal: what looks like a whole number becomes one, and loses its fraction."""
    assert not re.match(r"[\[{]", literal), "arrays and maps have rules of their own"
    if literal == "null":
        return None
    if re.match(r"[0-9+-]", literal):
        assert ":" not in literal, "times and dates have rules of their own"
        try:
            number = Decimal(literal)
        except InvalidOperation:
            return literal.encode()
        assert number == int(number), "fractions become floats, which have rules of their own"
        return str(int(number)).encode()
    return literal.encode()


def _options(config: dict[str, str], prefix: str) -> dict[str, str]:
    return {key.removeprefix(prefix): value for key, value in config.items() if key.startswith(prefix)}
