// A column of a table over wavelength, and the same of earlier products: what changed since then.
import uPlot from "../vendor/uplot/uPlot.esm.js";
import { even, format, unitText, withUnit } from "./qcstats.js";

const FONT = "13px system-ui", HEIGHT = 360, SHORT = 24; // longer units are read out, not written along the axis
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

class Curves {
  constructor(root) {
    Object.assign(this, { root, base: root.dataset.curves, plot: null });
    [this.place, this.out, this.choice] = [".plot", ".wavelength", "[name=column]"].map((item) => root.querySelector(item));
    for (const input of root.querySelectorAll("select, input")) input.addEventListener("change", () => this.load());
    this.load();
  }

  get relative() { return this.root.querySelector("[name=ratio]").checked; }

  async load() {
    const column = this.choice.value ? `&column=${encodeURIComponent(this.choice.value)}` : "";
    const response = await fetch(`${this.base}${column}`), facts = await response.json();
    if (!response.ok) { this.root.classList.add("hidden"); return; }
    this.root.classList.remove("hidden");
    this.facts = facts;
    this.unit = unitText(facts.unit);
    this.choice.replaceChildren(...facts.columns.map((name) => new Option(name, name, false, name === facts.column)));
    this.build();
  }

  // Magnitudes and the like are compared by their difference.
  get isLog() { return this.facts.unit.includes("log"); }

  values({ values }) {
    const own = this.facts.curves[0].values;
    if (!this.relative) return values;
    return values.map((value, i) => (value == null || own[i] == null ? null : this.isLog ? value - own[i] : own[i] ? value / own[i] : null));
  }

  build() {
    const { wave, curves, column } = this.facts;
    this.plot?.destroy();
    const axis = { stroke: css("--muted"), grid: { stroke: css("--line"), width: 1 }, ticks: { stroke: css("--line"), width: 1 }, font: FONT, labelFont: FONT, labelSize: 18 };
    const compared = this.isLog ? "less that of this product" : "over that of this product";
    const name = this.relative ? `${column}, ${compared}` : `${column}${this.unit && this.unit.length <= SHORT ? ` [${this.unit}]` : ""}`;
    const series = curves.slice(1).map((_, i) => ({ stroke: css(`--series-${2 + (i % 4)}`), width: 1, points: { show: false } })).reverse();
    this.plot = new uPlot({
      width: this.place.clientWidth, height: HEIGHT, padding: [12, 16, 0, 4], legend: { show: false }, cursor: { y: false, drag: { x: true, y: false }, points: { size: 7 } },
      scales: { x: { time: false } },
      axes: [{ ...axis, label: "wavelength [Å]", values: (_, splits) => even(splits) }, { ...axis, size: 76, label: name, values: (_, splits) => even(splits) }],
      series: [{}, ...series, { stroke: css("--series-1"), width: 1.6, points: { show: false } }],
      hooks: { setCursor: [() => this.read()] },
    }, [wave, ...[...curves].reverse().map((curve) => this.values(curve))], this.place);
    this.observer ??= new ResizeObserver(() => { if (this.place.clientWidth) this.plot.setSize({ width: this.place.clientWidth, height: HEIGHT }); });
    this.observer.observe(this.place);
    this.read();
  }

  read() {
    const { wave, curves } = this.facts, at = this.plot?.cursor.idx;
    const rows = curves.map((curve, i) => {
      const value = at == null ? "" : `: <b>${withUnit(curve.values[at], this.unit, 5)}</b>`, night = i ? `<a href="/products/${curve.product}">${curve.night}</a>` : "this product";
      const [word, median] = this.isLog ? ["difference", curve.difference] : ["ratio", curve.ratio];
      const change = i && median != null ? `, median ${word} ${format(median, 4)}` : "";
      return `<span class="series" style="--own: var(--series-${i ? 2 + ((i - 1) % 4) : 1})">${night}${value}${change}</span>`;
    });
    const place = at == null ? "Point into the plot to read it; dragging zooms, a double click shows all." : `${format(Number(wave[at].toFixed(2)), 7)} Å`;
    this.out.innerHTML = `${rows.join("<br>")}<br><span class="muted">${curves.length > 1 ? "" : "No earlier product of this set-up to compare with. "}${place}</span>`;
  }
}

for (const root of document.querySelectorAll("[data-curves]")) new Curves(root);
