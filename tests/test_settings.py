from __future__ import annotations

import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from core.errors import ParameterError
from core.settings import Settings, join_paths, setting_faults, unknown_variables
from core.sqliteurl import sqlite_path
from core.variables import OTHER_VARIABLES


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"CASCADE_{name.upper()}", raising=False)


def test_nothing_set_means_everything_below_one_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    settings = Settings()
    home = tmp_path / "cascade-data"
    assert settings.data_dir == home
    assert settings.archive_dirs == (home / "raw",)
    assert settings.database_url == f"sqlite:///{home / 'cascade.sqlite'}"
    assert settings.broker_url == "filesystem://"
    settings.make_directories()
    made = {path.name for path in home.iterdir()}
    assert made == {"raw", "products", "logs", "static", "broker"}


def test_the_environment_sets_everything(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CASCADE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("CASCADE_ARCHIVE_DIRS", "/raw/a:/raw/b")
    monkeypatch.setenv("CASCADE_DATABASE_URL", "postgresql+psycopg://db/cascade")
    monkeypatch.setenv("CASCADE_BROKER_URL", "redis://broker/0")
    monkeypatch.setenv("CASCADE_PRODUCT_DIR", "/products")
    monkeypatch.setenv("CASCADE_LOG_DIR", "")  # empty counts as not set
    settings = Settings()
    assert settings.archive_dirs == (Path("/raw/a"), Path("/raw/b"))
    assert settings.database_url == "postgresql+psycopg://db/cascade"
    assert settings.product_dir == Path("/products")
    assert settings.log_dir == tmp_path / "logs"


def test_a_lease_shorter_than_two_heartbeats_is_refused() -> None:
    with pytest.raises(ValidationError, match="twice heartbeat_seconds"):
        Settings(lease_seconds=20, heartbeat_seconds=15)


def test_values_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValidationError, match="settle_seconds"):
        Settings(settle_seconds=-1)
    with pytest.raises(ValidationError, match="nonsense"):
        Settings(nonsense=1)  # type: ignore[call-arg]


@pytest.mark.parametrize("name", ["what?", "100%", "a#b", "with space", "a:b", "[x]"])
def test_any_directory_may_be_the_data_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    home = tmp_path / name
    settings = Settings(data_dir=home)
    assert sqlite_path(settings.database_url) == home / "cascade.sqlite"
    # as a daemon gets it from the supervisor
    monkeypatch.setenv("CASCADE_ARCHIVE_DIRS", join_paths(settings.archive_dirs))
    monkeypatch.setenv("CASCADE_DATABASE_URL", settings.database_url)
    monkeypatch.setenv("CASCADE_DATA_DIR", str(home))
    assert Settings() == settings


def test_a_data_directory_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ParameterError, match="this is a file") as caught:
        Settings(data_dir=tmp_path / "file").make_directories()
    assert caught.value.context["file"] == str(tmp_path / "file")


def test_a_misspelt_variable_is_told_with_what_may_be_meant() -> None:
    (told,) = unknown_variables({"CASCADE_DATADIR": "/x", "CASCADE_DATA_DIR": "/y", "HOME": "/", **OTHER_VARIABLES})
    assert told == "CASCADE_DATADIR is no setting and has no effect; is CASCADE_DATA_DIR meant?"
    assert unknown_variables({"CASCADE_ZZZ": ""}) == ["CASCADE_ZZZ is no setting and has no effect"]


def test_faults_name_their_variables() -> None:
    with pytest.raises(ValidationError) as caught:
        Settings(max_tries="many", settle_seconds=0)  # type: ignore[arg-type]
    assert [text.partition(" is not accepted")[0] for text in setting_faults(caught.value)] == [
        "CASCADE_SETTLE_SECONDS",
        "CASCADE_MAX_TRIES",
    ]
    with pytest.raises(ValidationError) as caught:
        Settings(lease_seconds=20, heartbeat_seconds=15)
    assert setting_faults(caught.value)[0].startswith("the settings do not fit each other: lease_seconds must be")


def test_a_directory_whose_name_is_no_text_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="is not UTF-8"):
        Settings(data_dir=tmp_path / os.fsdecode(b"\xff"))
    with pytest.raises(ValidationError, match="is not UTF-8"):
        Settings(archive_dirs=(tmp_path / os.fsdecode(b"\xff"),))
