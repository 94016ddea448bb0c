"""Alembic's entry: brings the connection handed over by `store.database` to the newest form."""

from alembic import context

from storewatch.store.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
with context.begin_transaction():
    context.run_migrations()
