"""The application factory.

``uvicorn --factory service.app:create_app`` serves the installation of the environment (`core.settings.Settings`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import PackageNotFoundError, version

from fastapi import FastAPI, Response
from starlette.middleware.cors import CORSMiddleware
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from core.archive.changes import ChangeWatch
from core.archive.definitions import register_definitions
from core.archive.schema import check_schema
from core.archive.sessions import Archive
from core.instruments.catalogue import qc1_definitions
from core.instruments.registry import instruments
from core.settings import Settings
from service import api
from service.compression import GzipPages
from service.conditional import Conditional
from service.guard import BodyLimit, OwnSourcesOnly
from service.heavy import HeavyTurns
from service.kept import KeptAnswers, Pulse
from service.links import Links
from service.media import install_openapi
from service.previews import PreviewCache
from service.problems import PROBLEM_RESPONSES, install_error_handlers
from service.turns import SharedOut, Turns
from service.web import views
from service.web.templating import STATIC_DIR

__all__ = ["create_app"]

_CACHE_MB = 4  # of each connection to SQLite, of which each process has many
# Headers of answers that scripts of the pages of `cors_origins` may read, besides those that every script may.
_EXPOSED = (
    "Accept-Ranges",
    "Content-Disposition",
    "Content-Range",
    "ETag",
    "Link",
    "Retry-After",
    "X-Request-ID",
    "X-Shape",
)


class _VersionedFiles(StaticFiles):
    """Static files whose address changes with their content."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        if b"v=" in scope.get("query_string", b""):
            response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response


def create_app(settings: Settings | None = None) -> FastAPI:
    """Make the application of one installation.

    Parameters
    ----------
    settings : Settings, optional
        Read from the environment if not given.

    Raises
    ------
    SchemaVersionError
        If the database was made by another version; the message says which command cures it.
    """
    settings = settings or Settings()
    check_schema(settings.database_url)
    archive = Archive(settings.database_url, cache_mb=_CACHE_MB)
    watch = ChangeWatch(archive.engine)
    register_definitions(archive, qc1_definitions())

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        app.state.heavy.close()
        watch.close()
        archive.dispose()

    app = FastAPI(
        title="Cascade",
        summary=f"Nights, frames, blocks, products and QC1 of {', '.join(item.name for item in instruments())}",
        version=_version(),
        docs_url=None,
        redoc_url=None,
        openapi_url="/api/openapi.json",
        responses=PROBLEM_RESPONSES,
        lifespan=lifespan,
    )
    app.state.settings = settings
    app.state.archive = archive
    app.state.pulse = Pulse(archive, watch, settings)
    app.state.turns = Turns()
    app.state.heavy = HeavyTurns(settings.data_dir / "turns", settings.heavy_requests)
    app.state.previews = PreviewCache(settings.data_dir / "previews", settings.preview_mb * 1_000_000)
    app.mount("/static", _VersionedFiles(directory=STATIC_DIR), name="static")
    app.include_router(views.router, include_in_schema=False)  # first: of the two it is asked for more
    app.include_router(api.router)
    install_openapi(app)
    app.add_middleware(Links, pages=views.ADDRESSES, rest=api.ADDRESSES)
    app.add_middleware(BodyLimit)
    app.add_middleware(Conditional)
    app.add_middleware(GzipPages)
    app.add_middleware(KeptAnswers, watch=watch)
    install_error_handlers(app, frozenset(name.lower() for name in settings.allowed_hosts))

    app.add_middleware(OwnSourcesOnly)
    app.add_middleware(SharedOut)
    if settings.cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=("GET", "HEAD"),
            allow_headers=("If-None-Match", "If-Range", "Range", "X-Request-ID"),
            expose_headers=_EXPOSED,
        )
    return app


def _version() -> str:
    try:
        return version("cascade-muse")
    except PackageNotFoundError:  # run from a source tree
        return "0.0.0+source"
