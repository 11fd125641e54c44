"""What Alembic runs for a command; `opening.migrate` brings the connection, in a transaction under its lock."""

from alembic import context

from gencv.history.schema import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table=context.config.attributes["version_table"],
)
context.run_migrations()
