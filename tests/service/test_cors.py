"""Scripts of other sites: they read where a setting says so, and order nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import pytest
from pydantic import ValidationError

from core.settings import Settings

SITE = "https://qc.example.org"


@pytest.fixture(scope="module")
def open_to_a_site(
    tmp_path_factory: pytest.TempPathFactory,
    migrated_sqlite: Path,
    serve: Callable[..., AbstractContextManager[str]],
) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("open")
    shutil.copy(migrated_sqlite, folder / "cascade.sqlite")
    settings = Settings(data_dir=folder, cors_origins=(SITE,))
    with serve(settings) as address, httpx.Client(base_url=address, timeout=120) as client:
        yield client


def asks(client: httpx.Client, verb: str, origin: str = SITE) -> httpx.Response:
    """What a browser asks before it sends a request that is no plain one."""
    return client.options(
        "/api/frames",
        headers={
            "Origin": origin,
            "Access-Control-Request-Method": verb,
            "Access-Control-Request-Headers": "range,if-none-match",
        },
    )


def test_by_default_no_other_site_may_read(client: httpx.Client) -> None:
    answer = client.get("/api/frames", headers={"Origin": SITE})
    assert not [name for name in answer.headers if name.startswith("access-control")]
    assert asks(client, "GET").status_code == 405


def test_a_site_of_the_setting_reads(open_to_a_site: httpx.Client) -> None:
    for address in ("/api/frames", "/api/frames/nothing", "/api/frames?after=x"):  # errors are read too
        answer = open_to_a_site.get(address, headers={"Origin": SITE})
        assert answer.headers["access-control-allow-origin"] == SITE, address
        assert "access-control-allow-credentials" not in answer.headers
        assert {"ETag", "Link"} <= set(answer.headers["access-control-expose-headers"].split(", "))
        assert "Origin" in answer.headers["vary"]
    before = asks(open_to_a_site, "GET")
    assert (before.status_code, before.headers["access-control-allow-methods"]) == (200, "GET, HEAD")
    known = open_to_a_site.get("/api/recipes").headers["etag"]
    again = open_to_a_site.get("/api/recipes", headers={"Origin": SITE, "If-None-Match": known})
    assert (again.status_code, again.headers["access-control-allow-origin"]) == (304, SITE)


@pytest.mark.parametrize("origin", ["https://evil.example.org", "http://qc.example.org", f"{SITE}.evil.org", "null"])
def test_others_do_not(open_to_a_site: httpx.Client, origin: str) -> None:
    assert "access-control-allow-origin" not in open_to_a_site.get("/api/frames", headers={"Origin": origin}).headers
    assert asks(open_to_a_site, "GET", origin).status_code == 400


@pytest.mark.parametrize("verb", ["POST", "PUT", "DELETE"])
def test_no_site_may_order(open_to_a_site: httpx.Client, verb: str) -> None:
    assert asks(open_to_a_site, verb).status_code == 400
    order = open_to_a_site.post("/api/blocks/x/rerun", json={}, headers={"Origin": SITE})
    assert (order.status_code, order.json()["error_type"]) == (403, "foreign_request")


def test_the_setting_is_a_list_of_origins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CASCADE_CORS_ORIGINS", f"{SITE}, http://localhost:8888,http://[::1]:8000")
    assert Settings().cors_origins == (SITE, "http://localhost:8888", "http://[::1]:8000")
    for wrong in ("qc.example.org", f"{SITE}/", f"{SITE}/page", "https://", "https://*.example.org", "HTTPS://A"):
        monkeypatch.setenv("CASCADE_CORS_ORIGINS", wrong)
        with pytest.raises(ValidationError, match="is no origin like"):
            Settings()
