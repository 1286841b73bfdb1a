"""``/api/docs``: the OpenAPI page with local files only."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from service.web.templating import render

router = APIRouter()


@router.get("/docs")
def get_docs(request: Request) -> HTMLResponse:
    """Swagger UI over ``/api/openapi.json``."""
    return render(request, "openapi.html", {})
