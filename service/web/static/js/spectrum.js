// The spectrum at the place under the cursor of an image of a cube. A click keeps one, beside which others are seen.
import uPlot from "../vendor/uplot/uPlot.esm.js";
import { even, format, unitText, withUnit } from "./qcstats.js";

const FONT = "13px system-ui", HEIGHT = 320, STILL = 4; // a click that moves by more pixels is a drag
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

const two = (number) => String(number).padStart(2, "0");
function sexagesimal(value, digits) {
  const scale = 10 ** digits, units = Math.round(Math.abs(value) * 3600 * scale), seconds = Math.floor(units / scale);
  const rest = digits ? `.${String(units % scale).padStart(digits, "0")}` : "";
  return `${two(Math.floor(seconds / 3600))}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}${rest}`;
}
export const skyText = ({ ra, dec }) => (ra == null ? "" : `${sexagesimal(ra / 15, 3)} ${dec < 0 ? "−" : "+"}${sexagesimal(dec, 2)}`);

// Where most values are, and what rises above them by as much again; single wild ones are left outside.
export function inner(values) {
  const sorted = Float64Array.from(values.filter((value) => value != null)).sort();
  if (!sorted.length) return [0, 1];
  const at = (f) => sorted[Math.round(f * (sorted.length - 1))], low = at(0.005), high = at(0.995), room = 0.5 * (high - low) || Math.abs(high) || 1;
  return [Math.max(sorted[0], low - room) - 0.04 * room, Math.min(sorted.at(-1), high + room) + 0.04 * room];
}

class Spectra {
  constructor(root) {
    Object.assign(this, { root, base: root.dataset.spectrum, kept: null, here: null, asked: null, busy: false, all: false });
    this.place = root.querySelector(".spectrum");
    this.out = root.querySelector(".wavelength");
    this.place.parentElement.classList.remove("hidden");
    this.listen();
    this.begin();
  }

  async begin() {
    const response = await fetch(`${this.base}/view`), facts = await response.json();
    if (!response.ok) { this.out.textContent = `${facts.detail} [${facts.request_id}]`; return; }
    this.facts = facts;
    this.unit = unitText(facts.unit);
    this.build();
    this.want({ x: (facts.width >> 1) + 1, y: (facts.height >> 1) + 1 });
  }

  build() {
    const axis = { stroke: css("--muted"), grid: { stroke: css("--line"), width: 1 }, ticks: { stroke: css("--line"), width: 1 }, font: FONT, labelFont: FONT, labelSize: 18 };
    const line = (colour, width) => ({ stroke: css(colour), width, points: { show: false }, spanGaps: false });
    const range = (_, low, high) => (this.all || !this.shown().length ? [low ?? 0, high ?? 1] : inner(this.shown()));
    this.plot = new uPlot({
      width: this.place.clientWidth, height: HEIGHT, padding: [12, 16, 0, 4], legend: { show: false },
      cursor: { y: false, drag: { x: true, y: false }, points: { size: 7 } },
      scales: { x: { time: false }, y: { range } },
      axes: [
        { ...axis, label: `wavelength in ${this.facts.vacuum ? "vacuum" : "air"} [Å]`, values: (_, splits) => even(splits) },
        { ...axis, size: 66, label: `flux of a spaxel [${this.unit}]`, values: (_, splits) => even(splits) },
      ],
      series: [{}, line("--series-2", 1.4), line("--series-1", 1)],
      hooks: { setCursor: [() => this.read()] },
    }, this.data(), this.place);
    new ResizeObserver(() => { if (this.place.clientWidth) this.plot.setSize({ width: this.place.clientWidth, height: HEIGHT }); }).observe(this.place);
  }

  data() { return [this.facts.wave, ...[this.kept, this.here].map((item) => item?.values ?? this.facts.wave.map(() => null))]; }

  // Values within the wavelengths that are seen.
  shown() {
    const { min, max } = this.plot?.scales.x ?? {};
    return [this.kept, this.here].flatMap((item) => item?.values.filter((_, i) => !(this.facts.wave[i] < min || this.facts.wave[i] > max)) ?? []);
  }

  // -- places -----------------------------------------------------------------------------------------------------------
  // One request at a time: what the cursor has passed meanwhile is not asked for.
  async want(place) {
    this.asked = place;
    if (this.busy || !this.facts) return;
    this.busy = true;
    try {
      while (this.asked) {
        const { x, y } = this.asked;
        this.asked = null;
        if (this.here && inside(x, this.here.x_range) && inside(y, this.here.y_range)) { Object.assign(this.here, { x, y }); continue; }
        const response = await fetch(`${this.base}/spectrum?x=${x}&y=${y}`), found = await response.json();
        if (!response.ok) { this.out.textContent = `${found.detail} [${found.request_id}]`; return; }
        this.here = found;
        this.show();
      }
    } finally { this.busy = false; }
    this.read();
  }

  keep() {
    this.kept = this.kept && this.here && same(this.kept, this.here) ? null : this.here;
    this.show();
  }

  show() {
    this.plot.setData(this.data(), false);
    this.plot.redraw(true, true);
    this.rescale();
    this.root.marks = [[this.here, "--series-1"], [this.kept, "--series-2"]].flatMap(([item, colour]) => (item ? [{ x: item.x_range, y: item.y_range, colour: css(colour) }] : []));
    this.root.dispatchEvent(new Event("marks"));
    this.read();
  }

  rescale() {
    const { min, max } = this.plot.scales.x, { wave } = this.facts;
    this.plot.setScale("x", min == null ? { min: wave[0], max: wave.at(-1) } : { min, max });
  }

  // -- what is read out ---------------------------------------------------------------------------------------------------
  read() {
    if (!this.facts) return;
    const { box, planes, wave } = this.facts, at = this.plot.cursor.idx, mean = `${box > 1 ? `mean of ${box} × ${box} spaxels` : "one spaxel"}${planes > 1 ? `, bins of ${planes} planes` : ""}`;
    const lines = [[this.here, "one"], [this.kept, "two"]].filter(([item]) => item).map(([item, mark]) => {
      const value = at == null ? "" : `: <b>${withUnit(item.values[at], this.unit, 4)}</b>`;
      return `<span class="series ${mark}">${mark === "one" ? "here" : "kept"}</span> x ${item.x}, y ${item.y} pix ${skyText(item)}${value}`;
    });
    const first = at == null ? mean : `${format(Number(wave[at].toFixed(2)), 7)} Å, ${mean}`;
    this.out.innerHTML = `${lines.join("<br>")}<br><span class="muted">${first}. A click on the image keeps a spectrum; dragging in the plot zooms, a double click shows all.</span>`;
  }

  listen() {
    const canvas = this.root.querySelector("canvas.image");
    let down = null;
    this.root.addEventListener("spaxel", (event) => this.want(event.detail));
    canvas.addEventListener("pointerdown", (event) => { down = [event.clientX, event.clientY]; });
    canvas.addEventListener("pointerup", (event) => { if (down && Math.hypot(event.clientX - down[0], event.clientY - down[1]) < STILL) this.keep(); down = null; });
    canvas.addEventListener("keydown", (event) => { if (event.key === "Enter") this.keep(); });
    this.root.querySelector("[name=all]").addEventListener("change", (event) => { this.all = event.target.checked; this.rescale(); });
  }
}

const inside = (value, [low, high]) => value >= low && value <= high;
const same = (one, other) => one.x_range[0] === other.x_range[0] && one.y_range[0] === other.y_range[0];

for (const root of document.querySelectorAll("[data-spectrum]")) new Spectra(root);
