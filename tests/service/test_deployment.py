"""Dockerfile and docker-compose.yml, statically: the commands and settings that they name exist."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path
from typing import Any

import psycopg
import pytest

from core.archive.sessions import make_engine
from core.settings import Settings
from core.variables import OTHER_VARIABLES

ROOT = Path(__file__).parents[2]
yaml = pytest.importorskip("yaml")


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """The parsed file."""
    return dict(yaml.safe_load((ROOT / "docker-compose.yml").read_text()))


def module_of(command: list[str]) -> str | None:
    return command[3] if command[:3] == ["python", "-P", "-m"] else None


def test_all_services_are_there(compose: dict[str, Any]) -> None:
    assert {"postgres", "redis", "api", "worker", "ingest", "dispatcher"} <= set(compose["services"])


def test_commands_exist(compose: dict[str, Any]) -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    for name, service in compose["services"].items():
        if "build" not in service:
            continue
        command = service["command"]
        module = module_of(command)
        if module is None:
            assert command[0] in scripts, name
        else:
            spec = importlib.util.find_spec(module)
            assert spec is not None, name
            assert spec.origin is not None
            assert "__main__" in Path(spec.origin).read_text(), f"{module} is no program"


def test_settings_exist(compose: dict[str, Any]) -> None:
    names = {f"CASCADE_{name.upper()}" for name in Settings.model_fields} | set(OTHER_VARIABLES)
    for name, service in compose["services"].items():
        used = {key for key in service.get("environment", {}) if key.startswith("CASCADE_")}
        assert used <= names, name
    docker = (ROOT / "Dockerfile").read_text()
    documents = docker + (ROOT / "docs/operators.md").read_text()
    assert set(re.findall(r"CASCADE_[A-Z_]+[A-Z]", documents)) <= names


def test_what_is_waited_for_says_when_it_is_ready(compose: dict[str, Any]) -> None:
    services = compose["services"]
    for name, service in services.items():
        for other, wanted in service.get("depends_on", {}).items():
            if wanted["condition"] == "service_healthy":
                assert "healthcheck" in services[other], f"{name} waits for {other}"
            else:
                assert wanted["condition"] == "service_completed_successfully"
                assert services[other]["restart"] == "no"


def test_no_secret_is_written_down(compose: dict[str, Any]) -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    assert re.findall(r"(?:POSTGRES_|PG)PASSWORD: (?!\$\{POSTGRES_PASSWORD:\?)", text) == []


def test_any_password_reaches_the_database(compose: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    password = "p@ss/w%rd:#?&= $x"
    server = compose["services"]["postgres"]["environment"]
    assert filled(server["POSTGRES_PASSWORD"], password) == password
    for name, service in compose["services"].items():
        if "build" not in service:
            continue
        values = {key: filled(str(value), password) for key, value in service["environment"].items()}
        monkeypatch.setenv("PGPASSWORD", values.get("PGPASSWORD", ""))
        url = make_engine(values["CASCADE_DATABASE_URL"]).url
        text = psycopg.conninfo.make_conninfo(**url.translate_connect_args(username="user", database="dbname"))
        meant = {item.keyword: item.val for item in psycopg.pq.Conninfo.get_defaults()}
        meant |= {item.keyword: item.val for item in psycopg.pq.Conninfo.parse(text.encode()) if item.val is not None}
        assert (meant[b"host"], meant[b"user"], meant[b"dbname"]) == (b"postgres", b"cascade", b"cascade"), name
        assert meant[b"password"] == password.encode(), name


def filled(text: str, password: str) -> str:
    """What Compose makes of a value."""
    return re.sub(r"\$\{POSTGRES_PASSWORD:\?[^}]*\}", lambda _: password, text)


def test_an_init_process_collects_the_dead_children_of_our_processes(compose: dict[str, Any]) -> None:
    ours = {name: service for name, service in compose["services"].items() if "build" in service}
    assert {"worker", "dispatcher", "ingest", "api"} <= set(ours)
    assert [name for name, service in ours.items() if service.get("init") is not True] == []


def test_the_image_copies_what_it_installs() -> None:
    docker = (ROOT / "Dockerfile").read_text()
    for word in re.findall(r"^COPY (.+) \S+$", docker, re.M):
        for name in word.split():
            assert (ROOT / name).exists(), name
    assert {"core", "workers", "service", "migrations", "setup.py"} <= set(re.findall(r"[\w.]+", docker))


def test_the_installed_package_has_three_names_and_the_migrations_inside(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    build = pytest.importorskip("distutils.core")  # of setuptools; a Python without it cannot build here
    monkeypatch.chdir(ROOT)
    package = build.run_setup("setup.py", stop_after="init")
    assert {name.partition(".")[0] for name in package.packages} == {"core", "service", "workers"}
    assert package.package_dir["core.archive._migrations"] == "migrations"
    found = {str(path.parent.relative_to(ROOT)).replace("/", ".") for path in ROOT.glob("core/**/__init__.py")}
    assert found <= set(package.packages)


def test_the_source_archive_is_complete() -> None:
    said = (ROOT / "MANIFEST.in").read_text()
    for name in ("tests", "docs", "benchmarks", "migrations", "constraints.txt", "docker-compose.yml"):
        assert (ROOT / name).exists()
        assert re.search(rf"\b{re.escape(name)}\b", said), name


def test_links_of_the_readme_work_outside_the_repository() -> None:
    links = re.findall(r"\]\(([^)]+)\)", (ROOT / "README.md").read_text())
    assert [link for link in links if not link.startswith("http")] == []


def test_one_tagged_image_for_all_without_root_and_with_health(compose: dict[str, Any]) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    for name, service in compose["services"].items():
        assert re.fullmatch(r"[a-z-]+:[\d.]+", service["image"]), name
        if "build" in service:
            assert service["image"] == f"cascade-muse:{version}"
            assert service["user"] == "cascade"
        if service["restart"] != "no":
            assert "healthcheck" in service, name
            command = service["healthcheck"]["test"]
            if "-m" in command:
                assert importlib.util.find_spec(command[4]) is not None
    assert re.search(r"^USER cascade$", (ROOT / "Dockerfile").read_text(), re.M)


def test_database_and_broker_are_not_open_beyond_their_network(compose: dict[str, Any]) -> None:
    assert compose["networks"]["inside"]["internal"] is True
    for name in ("postgres", "redis"):
        assert compose["services"][name]["networks"] == ["inside"]
        assert "ports" not in compose["services"][name]
    assert [name for name, service in compose["services"].items() if "ports" in service] == ["api"]
    assert compose["services"]["api"]["ports"] == ["127.0.0.1:8000:8000"]


def test_the_operators_page_names_programs_that_exist() -> None:
    for module in re.findall(r"python (?:-P )?-m ([\w.]+)", (ROOT / "docs/operators.md").read_text()):
        assert importlib.util.find_spec(module) is not None, module
