from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from core.settings import Settings


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
