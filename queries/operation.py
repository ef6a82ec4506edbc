"""Questions about long work."""

from uuid import UUID

from sqlalchemy import select

from models.operation import OperationRow
from queries.reader import Reader


async def find_operation(reader: Reader, operation_id: UUID) -> OperationRow | None:
    statement = select(OperationRow).where(OperationRow.id == operation_id)
    return await reader.session.scalar(statement)
