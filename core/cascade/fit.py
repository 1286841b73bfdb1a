"""Whether an input fits a block, and how well: match keys, units, validity, distance in time and temperature."""

from __future__ import annotations

from dataclasses import dataclass

from core.cascade.model import Origin, ProductInfo, Quality
from core.cascade.words import duration_words, iso_day
from core.instruments.rules import OB_KEY, OBSERVATION_KEY, UNITS_KEY, MasterSource, Rules
from core.instruments.setup import Setup, UnitSpec

__all__ = ["Ranked", "Target", "by_validity", "judge"]

Fault = tuple[str, str]  # code for programs, reason for people


@dataclass(frozen=True)
class Target:
    """What a calibration is wanted for.

    Attributes
    ----------
    observation : tuple of str
        Night, observation block and target; see `OBSERVATION_KEY`.
    temperature : float or None
        Ambient temperature [deg C].
    pairs : tuple of (str, str)
        Tag and pair of the calibrations that the data were made with, or that were chosen for the block already.
    """

    setup: Setup
    mjd: float
    units: tuple[int, ...]
    older_only: bool = False
    observation: tuple[str, str, str] = ("", "", "")
    temperature: float | None = None
    pairs: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Ranked:
    """An input that fits.

    Attributes
    ----------
    level : int
        The worse of those of time and temperature; 0 for static calibrations.
    days : float
        Input minus block [d]; 0 for static calibrations.
    kelvin : float or None
        Difference of ambient temperature, if it counts and is known.
    distance : float
        Distance in time [d]; where temperature counts, its difference adds to it in the ratio of the closest limits of
        both, so that half of the one is as far as half of the other.
    """

    product: ProductInfo
    level: int
    days: float
    kelvin: float | None = None
    distance: float = 0.0

    @property
    def preference(self) -> tuple[float, bool, bool, str]:
        """Closest first; then what exists, what is earlier, and the name."""
        planned = self.product.origin is Origin.PLANNED
        return self.distance, planned, self.days > 0, self.product.id


def by_validity(product: ProductInfo, source: MasterSource) -> bool:
    """Whether dates of validity decide of a product, not its distance in time."""
    return source.static or product.origin is Origin.STATIC


def judge(product: ProductInfo, source: MasterSource, target: Target, rules: Rules) -> Ranked | Fault:
    """How well an input fits a block; or why it does not, as (code, reason)."""
    fault = _unfit(product, source, target, rules)
    if fault:
        return fault
    if by_validity(product, source):
        level = 0 if source.static else source.windows[-1][1] + 1
        return _outside_validity(product, target) or Ranked(product, level, 0.0)
    days = product.mjd - target.mjd
    if source.standard and (fault := _no_standard(product, days)):
        return fault
    if abs(days) > source.widest:
        return "window", f"{duration_words(days)} exceeds the widest window of {duration_words(source.widest)}"
    if target.older_only and days > 0:
        return "younger", f"{duration_words(days)} younger than the data, and only older calibrations are allowed"
    level = next(level for window, level in source.windows if abs(days) <= window)
    if not source.kelvins:
        return Ranked(product, level, days, None, abs(days))
    return _with_temperature(product, source, target, days, level)


def _no_standard(product: ProductInfo, days: float) -> Fault | None:
    """Why a product is no standard solution."""
    if product.quality is not Quality.CERTIFIED:
        state = "planned" if product.origin is Origin.PLANNED else product.quality.word
        return "no_standard", f"{state}: a standard solution is certified by a person, or delivered"
    if days > 0:
        return "younger", f"{duration_words(days)} younger than the data: a standard solution was there before them"
    return None


def _with_temperature(
    product: ProductInfo, source: MasterSource, target: Target, days: float, level: int
) -> Ranked | Fault:
    widest, worst = source.kelvins[-1]
    if product.temperature is None or target.temperature is None:  # as far off as may be
        return Ranked(product, max(level, worst), days, None, abs(days) + source.windows[0][0])
    kelvin = product.temperature - target.temperature
    if abs(kelvin) > widest:
        warmer = "warmer" if kelvin > 0 else "colder"
        return "temperature", f"{abs(kelvin):.1f} K {warmer} than the data exceeds the widest limit of {widest:g} K"
    level = max(level, next(level for limit, level in source.kelvins if abs(kelvin) <= limit))
    distance = abs(days) + abs(kelvin) * source.windows[0][0] / source.kelvins[0][0]
    return Ranked(product, level, days, kelvin, distance)


def _unfit(product: ProductInfo, source: MasterSource, target: Target, rules: Rules) -> Fault | None:
    if product.quality is Quality.REJECTED:
        return "rejected", "rejected: it must not be used"
    for key in source.match:
        difference = _difference(key, product, target, rules)
        if difference:
            return key, difference
    for partner in rules.partners(product.tag):
        for tag, pair in target.pairs:
            if tag == partner and pair and product.pair and pair != product.pair:
                return "pair", f"made with another {partner} ({product.pair}) than the data ({pair})"
    return None


def _outside_validity(product: ProductInfo, target: Target) -> Fault | None:
    if target.mjd < product.valid_from:
        return "validity", f"valid from {iso_day(product.valid_from)}, after the data"
    if target.mjd >= product.valid_to:
        return "validity", f"valid until {iso_day(product.valid_to)}, before the data"
    return None


def _difference(key: str, product: ProductInfo, target: Target, rules: Rules) -> str:
    """In what a product differs from what is wanted by one match key; empty if in nothing, or if it does not tell."""
    if key == UNITS_KEY:
        return _lacking_units(product, target, rules.units)
    if key == OBSERVATION_KEY:
        same = (product.night, product.obs, product.target) == target.observation
        return "" if same else "made from another observation"
    if key == OB_KEY:
        night, block, _ = target.observation
        same = bool(block) and (product.night, product.obs) == (night, block)
        return "" if same else "made from another observation block"
    if product.setup is None:
        return ""
    return rules.setup.key(key).difference(product.setup.get(key), target.setup.get(key))


def _lacking_units(product: ProductInfo, target: Target, words: UnitSpec) -> str:
    lacking = set(target.units) - set(product.units)
    # The others of its units serve all the same; one that has few of them must not stand before one that has all.
    if product.units and 2 * len(lacking) > len(target.units):
        return f"lacks {words.named(lacking)}"
    # Some of its units may have failed: the block leaves them out. It is of no use only if it has none at all.
    if target.units and not set(target.units) - set(product.lost):
        return f"{words.named(target.units)} could not be made"
    return ""
