"""The inputs of fields about organizations and companies, and the requests that they become."""

import strawberry

from commands.organization import CreateCompany, SignUpOrganization, UpdateOrganization
from graph.types.inputs.shared import organization_of
from queries.organization import OrganizationFilter as OrganizationsWanted


@strawberry.input
class OrganizationFilter:
    search: str | None = None
    industry_code: str | None = None
    module_code: str | None = None
    plan: str | None = None

    def wanted(self) -> OrganizationsWanted:
        return OrganizationsWanted(
            search=self.search,
            industry_code=self.industry_code,
            module_code=self.module_code,
            plan=self.plan,
        )


@strawberry.input
class SignUpOrganizationInput:
    name: str
    industry_code: str | None = None
    plan: str | None = None
    idempotency_key: str | None = None

    def request(self) -> SignUpOrganization:
        return SignUpOrganization(
            name=self.name,
            industry_code=self.industry_code,
            plan=self.plan,
            idempotency_key=self.idempotency_key,
        )


@strawberry.input
class UpdateOrganizationInput:
    organization_id: strawberry.ID
    name: str | None = None
    plan: str | None = None
    expected_revision: int | None = None
    idempotency_key: str | None = None

    def request(self) -> UpdateOrganization:
        return UpdateOrganization(
            organization_id=organization_of(self.organization_id),
            name=self.name,
            plan=self.plan,
            expected_revision=self.expected_revision,
            idempotency_key=self.idempotency_key,
        )


@strawberry.input
class CreateCompanyInput:
    organization_id: strawberry.ID
    name: str
    idempotency_key: str | None = None

    def request(self) -> CreateCompany:
        return CreateCompany(
            organization_id=organization_of(self.organization_id),
            name=self.name,
            idempotency_key=self.idempotency_key,
        )
