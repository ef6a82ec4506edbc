"""Is the database there, and which one is it?"""

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


# The cluster's own number, which its replicas share and a restored copy keeps, and the database in it.
IDENTITY = text(
    "SELECT system_identifier, (SELECT oid FROM pg_database WHERE datname = current_database())"
    " FROM pg_control_system()"
)


async def load_identity(database: Database) -> str:
    """A name for this database, the same for every process that uses it. Raises when it does not answer."""
    async with database.platform_session() as session:
        cluster, oid = (await session.execute(IDENTITY)).one()
        return f"{cluster:x}.{oid:x}:"
