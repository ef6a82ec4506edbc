"""The inputs of fields about configurations, and the requests that they become."""

from uuid import UUID

import strawberry

from commands.config import SetCompanyConfig, SetOrganizationConfig
from graph.types.inputs.shared import ConfigWrite, organization_of
from graph.types.scalars import JSON


@strawberry.input
class SetOrganizationConfigInput:
    organization_id: strawberry.ID
    module: str
    write: ConfigWrite | None = ConfigWrite.MERGE_PATCH
    value: JSON
    reason: str | None = None
    dry_run: bool | None = False
    expected_revision: int | None = None
    idempotency_key: str | None = None

    def request(self) -> SetOrganizationConfig:
        return SetOrganizationConfig(
            organization_id=organization_of(self.organization_id),
            module=self.module,
            write=(self.write or ConfigWrite.MERGE_PATCH).value,
            value=self.value,
            reason=self.reason,
            dry_run=bool(self.dry_run),
            expected_revision=self.expected_revision,
            idempotency_key=self.idempotency_key,
        )


@strawberry.input
class SetCompanyConfigInput:
    company_id: strawberry.ID
    module: str
    write: ConfigWrite | None = ConfigWrite.MERGE_PATCH
    value: JSON
    reason: str | None = None
    dry_run: bool | None = False
    expected_revision: int | None = None
    idempotency_key: str | None = None


def company_request(given: SetCompanyConfigInput, organization_id: UUID, company_id: UUID) -> SetCompanyConfig:
    """The organization is the company's; it is looked up, never asked for."""
    return SetCompanyConfig(
        organization_id=organization_id,
        company_id=company_id,
        module=given.module,
        write=(given.write or ConfigWrite.MERGE_PATCH).value,
        value=given.value,
        reason=given.reason,
        dry_run=bool(given.dry_run),
        expected_revision=given.expected_revision,
        idempotency_key=given.idempotency_key,
    )
