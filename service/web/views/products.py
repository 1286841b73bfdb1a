"""``/products/<id>``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse

from core.archive.pages import products as queries
from core.archive.pages.frames import quarantine_history
from core.archive.pages.qc1_texts import product_texts
from core.previews.preview import Cuts
from service.dependencies import ProductId
from service.fitsview import extension_cards, extensions, table_rows
from service.places import place
from service.web.page import PageDep

router = APIRouter()
TABLE_ROWS = 25


@router.get("/products/{product_id}")
def product_page(
    page: PageDep,
    product_id: ProductId,
    ext: Annotated[int | None, Query(ge=0, description="Number of the HDU shown")] = None,
    cuts: Cuts = "zscale",
) -> HTMLResponse:
    """Preview, extensions and headers, QC1, what used it, history, download."""
    product = queries.find_product(page.session, product_id)
    path = Path(product.path)
    on_disk = path.is_file()
    infos = extensions(path) if on_disk else ()
    shown = ext if ext is not None and ext < len(infos) else next((item.index for item in infos if item.index), 0)
    info = infos[shown] if infos else None
    return page.render(
        "product.html",
        product=product,
        on_disk=on_disk,
        extensions=infos,
        shown=info,
        cuts=cuts,
        before=queries.previous_product(page.session, product) if info is not None and info.is_image else None,
        cards=extension_cards(path, shown) if info is not None else [],
        table=table_rows(path, shown, TABLE_ROWS) if info is not None and info.kind == "table" else None,
        qc1=queries.product_qc1(page.session, product_id),
        texts=product_texts(page.session, product_id),
        place=place,
        used_by=queries.used_by(page.session, product),
        events=quarantine_history(page.session, str(product.id), "product"),
    )
