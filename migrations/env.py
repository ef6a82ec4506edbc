"""Alembic's entry. Runs on a connection that app/migrate.py hands over; there is no offline mode and no ini file."""

from alembic import context

connection = context.config.attributes["connection"]
context.configure(connection=connection, target_metadata=None, transaction_per_migration=True)
with context.begin_transaction():
    context.run_migrations()
