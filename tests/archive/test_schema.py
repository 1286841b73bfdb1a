from __future__ import annotations

import threading

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import inspect

from core.archive.models import Base
from core.archive.schema import SchemaVersionError, check_schema, current_revision, head_revision, upgrade
from core.archive.sessions import make_engine


def test_migrations_make_what_the_models_declare(empty_url: str) -> None:
    upgrade(empty_url)
    engine = make_engine(empty_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
    engine.dispose()


def test_check_names_the_cure_until_the_database_is_upgraded(empty_url: str) -> None:
    with pytest.raises(SchemaVersionError, match="cascade db upgrade"):
        check_schema(empty_url)
    upgrade(empty_url)
    check_schema(empty_url)
    assert current_revision(empty_url) == head_revision()


def test_upgrade_twice_changes_nothing(empty_url: str) -> None:
    upgrade(empty_url)
    upgrade(empty_url)
    assert current_revision(empty_url) == head_revision()


def test_two_processes_may_upgrade_at_once(empty_url: str) -> None:
    errors: list[BaseException] = []

    def run() -> None:
        try:
            upgrade(empty_url)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert current_revision(empty_url) == head_revision()


def test_downgrade_leaves_nothing_behind(empty_url: str) -> None:
    from alembic import command

    from core.archive import schema

    upgrade(empty_url)
    engine = make_engine(empty_url, foreign_keys=False).execution_options(archive_write=True)
    with engine.begin() as connection:
        config = schema._config()
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
    with engine.connect() as connection:
        assert set(inspect(connection).get_table_names()) <= {"alembic_version"}
    engine.dispose()


def test_every_constraint_has_a_name_of_the_convention() -> None:
    for table in Base.metadata.tables.values():
        for constraint in table.constraints:
            assert constraint.name, (table.name, constraint)
        for index in table.indexes:
            assert str(index.name).startswith(("ix_", "uq_")), index
