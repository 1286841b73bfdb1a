"""Why an input was chosen, and why another was not: in words, with a code for programs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from core.cascade.fit import Ranked, by_validity
from core.cascade.model import InputChoice, Missing, Origin, ProductInfo, Quality, Refusal
from core.cascade.words import age_words, duration_words, iso_day, iso_minutes
from core.instruments.rules import GroupBy, InputRule, MasterSource
from core.instruments.setup import UnitSpec

__all__ = ["choice_reason", "lack", "member_reason", "not_best", "not_paired", "unmade"]


def choice_reason(entry: Ranked, role: str, source: MasterSource, words: UnitSpec, others: Sequence[Ranked]) -> str:
    """Why an input was chosen; ``others`` fitted, too."""
    product = entry.product
    if by_validity(product, source):
        older = next((other.product for other in others if _newer(product, other.product)), None)
        newer = f", newer than {_file_name(older)}" if older is not None else ""
        level = "" if source.static else f", level {entry.level}"
        return f"{role} {_file_name(product)}, {_validity_words(product)}{newer}{level}, rule {source.rule}"
    warmth = f", {_warmth(entry, source)}" if source.kelvins else ""
    lost = f", without {words.named(product.lost)}, which could not be made" if product.lost else ""
    return (
        f"{role} of {iso_minutes(product.mjd)}, {age_words(entry.days)}{warmth}, level {entry.level}, "
        f"rule {source.rule}, {_state(product)}{lost}"
    )


def member_reason(product: ProductInfo, by: GroupBy) -> str:
    """Why a product starts a block."""
    return f"{product.tag} of {iso_minutes(product.mjd)}, of the same {by.value}, {_state(product)}"


def _state(product: ProductInfo) -> str:
    words = {Origin.PLANNED: "planned", Origin.FRAME: "raw frame"}
    state = words.get(product.origin, product.quality.word)
    again = f", expired on {product.expired} and made again first" if product.expired and not product.unmade else ""
    return f"{state} ({product.doubt}){again}" if product.doubt else f"{state}{again}"


def _warmth(entry: Ranked, source: MasterSource) -> str:
    if entry.kelvin is None:
        return "of unknown temperature"
    return f"{abs(entry.kelvin):.1f} K {'warmer' if entry.kelvin > 0 else 'colder'}"


def not_best(entry: Ranked, best: Ranked, role: str, source: MasterSource) -> Refusal:
    """Why an input that fits was not chosen."""
    product = entry.product
    if by_validity(best.product, source):
        return _not_newest(product, best.product, role)
    if entry.level > best.level:
        code, reason = "level", f"level {entry.level}, the chosen has level {best.level}"
    elif product.quality is Quality.DOUBTFUL and best.product.quality is not Quality.DOUBTFUL:
        code, reason = "doubtful", f"doubtful ({product.doubt}), and the chosen of the same level is not"
    elif product.quality < best.product.quality and entry.distance <= best.distance + source.near:
        code = "quality"
        reason = f"{product.quality.word}, while the chosen is {best.product.quality.word} and as near in time"
    elif entry.distance > best.distance and source.kelvins:
        code = "farther"
        far, near = (f"{age_words(e.days)} and {_warmth(e, source)}" for e in (entry, best))
        reason = f"farther in time and temperature than the chosen: {far} against {near}"
    elif entry.distance > best.distance:
        code = "farther"
        reason = f"farther in time than the chosen: {age_words(entry.days)} against {age_words(best.days)}"
    else:
        code = "tie"
        reason = "as near in time as the chosen, which exists already, is earlier or comes first by name"
    return Refusal(role, product.id, code, reason, entry.days)


def _not_newest(product: ProductInfo, best: ProductInfo, role: str) -> Refusal:
    if _newer(best, product):
        reason = f"{_validity_words(product)}; {_file_name(best)} is newer, {_validity_words(best)}"
        return Refusal(role, product.id, "older_static", reason)
    if best.quality > product.quality:
        reason = f"{product.quality.word}, while {_file_name(best)} is {best.quality.word} and as new"
        return Refusal(role, product.id, "quality", reason)
    reason = f"{_validity_words(product)}, as {_file_name(best)}, which comes first by name"
    return Refusal(role, product.id, "tie", reason)


def _newer(product: ProductInfo, other: ProductInfo) -> bool:
    return (product.valid_from, product.version) > (other.valid_from, other.version)


def _validity_words(product: ProductInfo) -> str:
    words = [
        word
        for word in (
            "" if product.valid_from == float("-inf") else f"from {iso_day(product.valid_from)}",
            "" if product.valid_to == float("inf") else f"until {iso_day(product.valid_to)}",
        )
        if word
    ]
    return f"valid {' '.join(words) or 'always'}"


def _file_name(product: ProductInfo) -> str:
    return product.id.rpartition("/")[2]


def not_paired(partners: Sequence[str]) -> tuple[str, str]:
    """Why an input is refused whose partner does not fit: (code, reason)."""
    return "pair", f"no fitting {' or '.join(partners)} was made with it"


def lack(role: InputRule, source: MasterSource, found: int, candidates: bool, refusals: Sequence[Refusal]) -> Missing:
    """What a block lacks of which there are fewer than it needs."""
    if not candidates:
        where = "is known" if source.static else f"within {duration_words(source.widest)} is known or planned"
        return Missing(role.tag, "none", f"no {role.tag} {where}")
    nearest = refusals[0]
    count = f"{found} of {role.minimum} {role.tag}: " if role.minimum > 1 else f"no usable {role.tag}: "
    return Missing(role.tag, nearest.code, f"{count}nearest candidate {nearest.candidate}: {nearest.reason}")


def unmade(inputs: Iterable[InputChoice]) -> tuple[Missing, ...]:
    """What a block lacks although it was chosen: the products that expired and could not be made again."""
    return tuple(
        Missing(
            choice.role,
            "expired",
            f"{choice.product.id} expired on {choice.product.expired}, and {choice.product.unmade}",
        )
        for choice in inputs
        if choice.product.unmade
    )
