"""One module per page; a view asks the archive and renders a template."""

from __future__ import annotations

from fastapi import APIRouter

from service.links import addresses
from service.web.views import blocks, docs, frames, live, nights, now, products, qc1, search

__all__ = ["ADDRESSES", "router"]

_MODULES = (now, nights, frames, blocks, products, qc1, docs, search, live)
ADDRESSES = tuple(addresses(module.router for module in _MODULES))
"""Path templates of the pages."""

router = APIRouter()
for module in _MODULES:
    router.include_router(module.router)
