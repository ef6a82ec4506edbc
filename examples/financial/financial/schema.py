"""The module's part of the graph: invoices, on their own and on Organization and Company."""

from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import strawberry
from modplane_sdk.identity import current_identity
from modplane_sdk.subgraph import (
    CompanyStub,
    OrganizationStub,
    RequiresModule,
    TypedError,
    module_schema,
    require_module,
)
from strawberry.dataloader import DataLoader
from strawberry.federation import Schema

from financial.store import CENT, Invoice, Owner, Store

MODULE = "financial"
CUSTOMER_LENGTH_MAX = 200
AMOUNT_MAX = Decimal("999999999.99")
Context = dict[str, Any]
Info = strawberry.Info[Context, None]


@strawberry.federation.type(keys=["id"], description="What a customer owes.")
class FinancialInvoice:
    invoice: strawberry.Private[Invoice]
    id: strawberry.ID
    number: str = strawberry.field(description="Without gaps within the organization.")
    customer: str
    amount: Decimal = strawberry.field(description="Without tax.")
    tax: Decimal
    currency: str = strawberry.field(description="ISO 4217")
    issued_on: date
    due_on: date

    @strawberry.field(description="Null: the organization's own.")
    def company(self) -> "Company | None":
        company_id = self.invoice.company_id
        return None if company_id is None else Company(id=strawberry.ID(str(company_id)))

    @classmethod
    async def resolve_reference(
        cls,
        info: Info,
        id: strawberry.ID,  # noqa: A002  # as the key is called
        **_: object,
    ) -> "FinancialInvoice | None":
        require_module(MODULE)  # another module's field may lead here
        organization_id, invoice_id = own_organization(), uuid_of(id)
        if organization_id is None or invoice_id is None:
            return None
        invoice: Invoice | None = await info.context["invoice"].load((organization_id, invoice_id))
        if invoice is None or not current_identity().may_see_company(str(invoice.company_id)):
            return None
        return cls.of(invoice)

    @classmethod
    def of(cls, invoice: Invoice) -> "FinancialInvoice":
        shown = {name: value for name, value in vars(invoice).items() if name not in {"organization_id", "company_id"}}
        return cls(**{**shown, "invoice": invoice, "id": strawberry.ID(str(invoice.id))})


@strawberry.federation.type(keys=["id"], name="Organization")
class Organization(OrganizationStub):
    @strawberry.field(extensions=[RequiresModule(MODULE)], description="The latest 50.")
    async def financial_invoices(self, info: Info) -> list[FinancialInvoice] | None:
        return await load_invoices(info, uuid_of(self.id), None)


@strawberry.federation.type(keys=["id"], name="Company")
class Company(CompanyStub):
    @strawberry.field(extensions=[RequiresModule(MODULE)], description="The latest 50.")
    async def financial_invoices(self, info: Info) -> list[FinancialInvoice] | None:
        return await load_invoices(info, own_organization(), uuid_of(self.id))


@strawberry.type
class Query:
    @strawberry.field(extensions=[RequiresModule(MODULE)], description="Of your own organization, the latest 50.")
    async def financial_invoices(self, info: Info) -> list[FinancialInvoice] | None:
        return await load_invoices(info, own_organization(), None)


@strawberry.input
class FinancialInvoiceInput:
    customer: str
    amount: Decimal
    company_id: strawberry.ID | None = None


def make_schema(store: Store) -> Schema:
    @strawberry.type
    class Mutation:
        @strawberry.mutation(extensions=[RequiresModule(MODULE)], description="By the configuration that holds now.")
        async def create_invoice(self, input: FinancialInvoiceInput) -> FinancialInvoice | None:  # noqa: A002
            owner, amount = owner_of(input), input.amount
            if not 0 < len(input.customer) <= CUSTOMER_LENGTH_MAX:
                raise TypedError("INVALID_INPUT", f"a customer has 1 to {CUSTOMER_LENGTH_MAX} characters")
            if not (amount.is_finite() and 0 < amount <= AMOUNT_MAX and amount == amount.quantize(CENT)):
                raise TypedError("INVALID_INPUT", f"an amount is in cents, above 0 and at most {AMOUNT_MAX}")
            today = datetime.now(UTC).date()
            invoice = await store.create_invoice(owner, customer=input.customer, amount=amount, today=today)
            return FinancialInvoice.of(invoice)

    return module_schema(query=Query, mutation=Mutation, types=[Organization, Company, FinancialInvoice])


def loaders_of(store: Store) -> Callable[[], Context]:
    """New ones for every request: a loader remembers what it has read."""
    return lambda: {"invoice": DataLoader(store.load_by_ids), "invoices": DataLoader(store.load_by_owners)}


def owner_of(given: FinancialInvoiceInput) -> Owner:
    """The caller's organization. A company of another's would be seen by nobody: rows are read by both ids."""
    organization_id, identity = own_organization(), current_identity()
    if organization_id is None:
        raise TypedError("FORBIDDEN", "an invoice belongs to an organization, and you do not")
    company_id = given.company_id or identity.company_id
    if company_id is None:
        return Owner(organization_id)
    if uuid_of(company_id) is None or not identity.may_see_company(company_id):
        raise TypedError("NOT_FOUND", f"there is no company {company_id[:64]!r}")
    return Owner(organization_id, uuid_of(company_id))


async def load_invoices(info: Info, organization_id: UUID | None, company_id: UUID | None) -> list[FinancialInvoice]:
    """Who is bound to a company sees that company's only, whatever they ask for."""
    bound = uuid_of(current_identity().company_id)
    if organization_id is None:
        return []
    invoices: Sequence[Invoice] = await info.context["invoices"].load(Owner(organization_id, company_id or bound))
    return [FinancialInvoice.of(invoice) for invoice in invoices]


def own_organization() -> UUID | None:
    return uuid_of(current_identity().organization_id)


def uuid_of(text: str | None) -> UUID | None:
    """None also for what is no id: it is answered like one that nobody has."""
    try:
        return None if text is None else UUID(text)
    except ValueError:
        return None
