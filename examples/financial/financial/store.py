"""Invoices in PostgreSQL: a schema of the module's own, and in it tables with its prefix.

Every read names the organization. That is what keeps tenants apart; nothing in front of it does.
"""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from uuid import UUID, uuid4

import asyncpg

SCHEMA = "financial"
PREFIX = "financial_"
LISTED_MAX = 50  # of an organization or company, the latest
CENT = Decimal("0.01")
NO_COMPANY = UUID(int=0)  # the organization's own row of settings

TABLES = """
CREATE TABLE IF NOT EXISTS financial_invoices (
    id uuid PRIMARY KEY,
    organization_id uuid NOT NULL,
    company_id uuid,
    number text NOT NULL,
    customer text NOT NULL,
    amount numeric(14, 2) NOT NULL CHECK (amount > 0),
    tax numeric(14, 2) NOT NULL,
    currency text NOT NULL,
    issued_on date NOT NULL,
    due_on date NOT NULL,
    UNIQUE (organization_id, number)
);
CREATE INDEX IF NOT EXISTS financial_invoices_latest ON financial_invoices (organization_id, issued_on, number);
CREATE INDEX IF NOT EXISTS financial_invoices_of_company
    ON financial_invoices (organization_id, company_id, issued_on, number);
CREATE TABLE IF NOT EXISTS financial_counters (organization_id uuid PRIMARY KEY, last integer NOT NULL);
CREATE TABLE IF NOT EXISTS financial_settings (
    organization_id uuid NOT NULL,
    company_id uuid NOT NULL,
    is_assigned boolean NOT NULL,
    configuration jsonb NOT NULL,
    PRIMARY KEY (organization_id, company_id)
);
ALTER TABLE financial_settings ADD COLUMN IF NOT EXISTS assigned_at timestamptz;
"""


@dataclass(frozen=True)
class Invoice:
    """`tax` comes on top of `amount`; both in `currency`."""

    id: UUID
    organization_id: UUID
    company_id: UUID | None
    number: str
    customer: str
    amount: Decimal
    tax: Decimal
    currency: str
    issued_on: date
    due_on: date


@dataclass(frozen=True)
class Owner:
    """Whose invoices: an organization's, all of them, or those of one of its companies."""

    organization_id: UUID
    company_id: UUID | None = None


@dataclass(frozen=True)
class Settings:
    """What the platform says of an owner. `assigned_at` tells one assignment from the next."""

    configuration: Mapping[str, Any]
    assigned_at: datetime
    is_assigned: bool


class Store:
    """`statements` counts what was sent to the database. Usable inside of `opened` only."""

    def __init__(self, defaults: Mapping[str, Any]) -> None:
        self.statements = 0
        self._defaults = defaults
        self._pool: asyncpg.Pool | None = None

    @property
    def pool(self) -> asyncpg.Pool:
        assert self._pool is not None, "the store is not open"
        return self._pool

    @asynccontextmanager
    async def opened(self, url: str) -> AsyncIterator[None]:
        """Makes schema and tables when they are not there. Raises OSError or PostgresError."""
        connection = await asyncpg.connect(url)
        try:
            # instances may begin at once, and IF NOT EXISTS is no promise to two
            await connection.execute(
                f"BEGIN; SELECT pg_advisory_xact_lock(hashtext('{SCHEMA}')); CREATE SCHEMA IF NOT EXISTS {SCHEMA};"
                f" SET LOCAL search_path TO {SCHEMA}; {TABLES} COMMIT"
            )
        finally:
            await connection.close()
        settings = {"search_path": SCHEMA, "statement_timeout": "5000"}
        async with asyncpg.create_pool(
            url, min_size=1, max_size=8, command_timeout=10, init=self._prepare, server_settings=settings
        ) as pool:
            self._pool = pool
            try:
                yield
            finally:
                self._pool = None

    async def is_healthy(self) -> bool:
        try:
            await self.pool.fetchval("SELECT 1", timeout=2)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
            return False
        return True

    async def create_invoice(self, owner: Owner, *, customer: str, amount: Decimal, today: date) -> Invoice:
        """Numbered without gaps within the organization, by the configuration that holds now."""
        async with self.pool.acquire() as connection, connection.transaction():
            settings = await self.settings_of(owner, connection)
            last = await connection.fetchval(
                "INSERT INTO financial_counters AS counter VALUES ($1, 1)"
                " ON CONFLICT (organization_id) DO UPDATE SET last = counter.last + 1 RETURNING last",
                owner.organization_id,
            )
            invoice = Invoice(
                id=uuid4(),
                organization_id=owner.organization_id,
                company_id=owner.company_id,
                number=f"{settings['invoice_prefix']}-{last:06}",
                customer=customer,
                amount=amount,
                tax=(amount * Decimal(str(settings["tax_rate"]))).quantize(CENT, ROUND_HALF_UP),
                currency=settings["currency"],
                issued_on=today,
                due_on=today + timedelta(days=settings["payment_terms"]),
            )
            places = ", ".join(f"${index}" for index in range(1, 11))
            await connection.execute(f"INSERT INTO financial_invoices VALUES ({places})", *vars(invoice).values())
        return invoice

    async def load_by_owners(self, owners: Sequence[Owner]) -> list[list[Invoice]]:
        """The latest of each: one statement for all."""
        rows = await self.pool.fetch(
            "SELECT asked.place, invoice.* FROM unnest($1::uuid[], $2::uuid[]) WITH ORDINALITY"
            " AS asked (organization, company, place) CROSS JOIN LATERAL ("
            "  SELECT * FROM financial_invoices WHERE organization_id = organization"
            "  AND (company IS NULL OR company_id = company) ORDER BY issued_on DESC, number DESC LIMIT $3) AS invoice"
            " ORDER BY asked.place, invoice.issued_on DESC, invoice.number DESC",
            [owner.organization_id for owner in owners],
            [owner.company_id for owner in owners],
            LISTED_MAX,
        )
        found: list[list[Invoice]] = [[] for _ in owners]
        for place, *values in rows:
            found[place - 1].append(Invoice(*values))
        return found

    async def load_by_ids(self, keys: Sequence[tuple[UUID, UUID]]) -> list[Invoice | None]:
        """By organization and id: another organization's invoice is one that is not there."""
        rows = await self.pool.fetch(
            "SELECT invoice.* FROM unnest($1::uuid[], $2::uuid[]) AS asked (organization, wanted)"
            " JOIN financial_invoices AS invoice ON organization_id = organization AND id = wanted",
            [organization for organization, _ in keys],
            [wanted for _, wanted in keys],
        )
        found = {(row["organization_id"], row["id"]): Invoice(*row) for row in rows}
        return [found.get(key) for key in keys]

    async def settings_of(self, owner: Owner, connection: asyncpg.Connection) -> dict[str, Any]:
        """What the platform last told; before it has told anything, the manifest's defaults.

        A company's settings end with the assignment that they were made for, and no event of their own tells of it.
        """
        rows = await connection.fetch(
            "SELECT own.configuration FROM financial_settings AS own LEFT JOIN financial_settings AS organization"
            " ON organization.organization_id = own.organization_id AND organization.company_id = $3"
            " WHERE own.organization_id = $1 AND own.company_id = ANY($2::uuid[])"
            " AND own.assigned_at IS NOT DISTINCT FROM coalesce(organization.assigned_at, own.assigned_at)"
            " ORDER BY own.company_id",  # the organization's first: its id is nil
            owner.organization_id,
            [NO_COMPANY, owner.company_id or NO_COMPANY],
            NO_COMPANY,
        )
        settings = dict(self._defaults)
        for row in rows:
            settings |= json.loads(row["configuration"])
        return settings

    async def keep_settings(self, owner: Owner, settings: Settings, connection: asyncpg.Connection) -> None:
        await connection.execute(
            "INSERT INTO financial_settings VALUES ($1, $2, $3, $4, $5) ON CONFLICT (organization_id, company_id)"
            " DO UPDATE SET is_assigned = excluded.is_assigned, configuration = excluded.configuration,"
            " assigned_at = excluded.assigned_at",
            owner.organization_id,
            owner.company_id or NO_COMPANY,
            settings.is_assigned,
            json.dumps(settings.configuration),
            settings.assigned_at,
        )

    async def _prepare(self, connection: asyncpg.Connection) -> None:
        connection.add_query_logger(self._count)

    def _count(self, _: object) -> None:
        self.statements += 1
