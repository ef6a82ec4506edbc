"""Questions about long work."""

from uuid import UUID

from sqlalchemy import select

from models.operation import OperationRow
from queries.reader import Reader


async def find_operation(reader: Reader, operation_id: UUID) -> OperationRow | None:
    statement = select(OperationRow).where(OperationRow.id == operation_id)
    return await reader.session.scalar(statement)


async def find_progress(reader: Reader, operation_id: UUID) -> tuple[str, int] | None:
    """Status and number done: what one may ask for again and again, without the errors of a thousand organizations."""
    statement = select(OperationRow.status, OperationRow.done).where(OperationRow.id == operation_id)
    found = (await reader.session.execute(statement)).one_or_none()
    return None if found is None else (found.status, found.done)
