"""One module per page; a view asks the archive and renders a template."""

from __future__ import annotations

from fastapi import APIRouter

from service.web.views import blocks, docs, frames, live, nights, now, products, qc1, search

__all__ = ["router"]

router = APIRouter()
for module in (now, nights, frames, blocks, products, qc1, docs, search, live):
    router.include_router(module.router)
