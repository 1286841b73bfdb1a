"""Alembic migrations of the archive database; run by `core.archive.schema.upgrade`."""
