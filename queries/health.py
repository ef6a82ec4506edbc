"""Is the database there?"""

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from models.database import Database


async def is_database_up(database: Database) -> bool:
    try:
        async with database.tenant_session(None) as session:
            answer: int | None = await session.scalar(text("SELECT 1"))
            return answer == 1
    except (SQLAlchemyError, OSError, TimeoutError):
        return False
