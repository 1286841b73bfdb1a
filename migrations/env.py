"""Alembic environment: migrates the connection that `core.archive.schema` hands in.

Called by the `alembic` command (to write a new revision) it takes the database of the settings.
"""

from alembic import context
from sqlalchemy import Connection

from core.archive.models import Base
from core.archive.sessions import make_engine
from core.settings import Settings


def _migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=True,  # SQLite cannot alter a constraint in place
        compare_server_default=True,
    )
    with context.begin_transaction():
        context.run_migrations()


handed_in = context.config.attributes.get("connection")
if handed_in is not None:
    _migrate(handed_in)
else:
    engine = make_engine(Settings().database_url, foreign_keys=False).execution_options(archive_write=True)
    with engine.begin() as own:
        _migrate(own)
