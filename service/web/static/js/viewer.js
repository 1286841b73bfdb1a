// An image at any scale: tiles of numbers are read as they are needed, cut and coloured here, and read out under the cursor.
import { unitText, withUnit } from "./qcstats.js";

const TILE = 256, FACTORS = [1, 2, 4, 8, 16, 32], LARGEST = 16, KEPT = 200;
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

class Viewer {
  constructor(root) {
    this.root = root;
    this.base = root.dataset.pixels;
    this.ext = root.dataset.ext;
    this.tiles = new Map();
    this.view = null; // x, y of the middle [pixel], scale [screen pixel per pixel]
    this.cut = root.dataset.cuts;
    this.minus = false;
    this.at = null;
    root.querySelector("img").classList.add("hidden");
    root.querySelector(".viewer").classList.remove("hidden");
    this.canvas = root.querySelector("canvas.image");
    this.bar = root.querySelector("canvas.colours");
    this.out = root.querySelector(".pixel");
    this.listen();
    this.begin();
  }

  field(name) { return this.root.querySelector(`[name=${name}]`); }

  query(more) { return new URLSearchParams({ ...(this.ext ? { ext: this.ext } : {}), ...(this.minus ? { minus: "true" } : {}), ...more }); }

  async begin() {
    const response = await fetch(`${this.base}/levels?${this.query({})}`);
    const facts = await response.json();
    if (!response.ok) { this.say(`${facts.detail} [${facts.request_id}]`); this.minus = false; this.field("minus").checked = false; return; }
    this.facts = facts;
    this.unit = unitText(facts.unit);
    this.tiles.clear();
    this.applyCuts();
    if (!this.view) this.fit(); else this.draw();
  }

  say(text) { this.out.textContent = text; }

  applyCuts() {
    const { facts, cut } = this;
    if (cut === "zscale" || cut === "minmax") this.levels = facts[cut];
    else if (cut === "view") this.levels = this.levelsOfView();
    else {
      const low = Number(this.field("low").value), high = Number(this.field("high").value);
      if (high > low) this.levels = [low, high];
    }
    for (const [name, value] of [["low", this.levels[0]], ["high", this.levels[1]]]) if (cut !== "own") this.field(name).value = Number(value.toPrecision(5));
    this.field("cuts").value = cut;
    this.drawBar();
  }

  // The inner 99 per cent of what is seen.
  levelsOfView() {
    const values = [];
    for (const { tile } of this.shown()) if (tile?.data) for (let i = 0; i < tile.data.length; i += 7) if (Number.isFinite(tile.data[i])) values.push(tile.data[i]);
    if (!values.length) return this.levels;
    const sorted = Float32Array.from(values).sort(), at = (f) => sorted[Math.round(f * (sorted.length - 1))];
    return at(0.995) > at(0.005) ? [at(0.005), at(0.995)] : [at(0.005), at(0.005) + 1];
  }

  // -- what is seen -------------------------------------------------------------------------------------------------
  size() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    return { width, height };
  }

  fit() {
    const { width, height } = this.size(), { facts } = this;
    this.least = Math.min(width / facts.width, height / facts.height);
    this.view = { x: facts.width / 2, y: facts.height / 2, scale: this.least };
    this.draw();
  }

  zoomAt(factor, px, py) {
    const { width, height } = this.size(), { view } = this, scale = clamp(view.scale * factor, Math.min(this.least, 1) / 2, LARGEST);
    const dx = px - width / 2, dy = height / 2 - py;
    this.view = { x: view.x + dx / view.scale - dx / scale, y: view.y + dy / view.scale - dy / scale, scale };
    this.draw();
  }

  pan(dx, dy) {
    const { view, facts } = this;
    this.view = { ...view, x: clamp(view.x - dx / view.scale, 0, facts.width), y: clamp(view.y + dy / view.scale, 0, facts.height) };
    this.draw();
  }

  factor() { return FACTORS.find((item) => item * this.view.scale >= 0.99) ?? FACTORS.at(-1); }

  shown(factor = this.factor()) {
    const { width, height } = this.size(), { view, facts } = this, span = TILE * factor, found = [];
    const [x0, x1] = [view.x - width / 2 / view.scale, view.x + width / 2 / view.scale], [y0, y1] = [view.y - height / 2 / view.scale, view.y + height / 2 / view.scale];
    for (let row = Math.max(0, Math.floor(y0 / span)); row * span < Math.min(y1, facts.height); row += 1) {
      for (let column = Math.max(0, Math.floor(x0 / span)); column * span < Math.min(x1, facts.width); column += 1) {
        const key = `${factor}/${column}/${row}`;
        found.push({ key, factor, column, row, tile: this.tiles.get(key) });
      }
    }
    return found;
  }

  async read({ key, factor, column, row }) {
    const tile = {};
    this.tiles.set(key, tile);
    const { minus } = this, response = await fetch(`${this.base}/pixels?${this.query({ factor, column, row })}`);
    if (!response.ok || minus !== this.minus) { this.tiles.delete(key); if (!response.ok) this.say(`A part of the image cannot be read: status ${response.status}`); return; }
    const [ny, nx] = response.headers.get("X-Shape").split(",").map(Number);
    Object.assign(tile, { ny, nx, data: new Float32Array(await response.arrayBuffer()) });
    for (const old of this.tiles.keys()) { if (this.tiles.size <= KEPT) break; if (old !== key) this.tiles.delete(old); }
    if (this.cut === "view") this.applyCuts();
    this.draw();
  }

  // -- drawing --------------------------------------------------------------------------------------------------------
  picture(tile) {
    const [low, high] = this.levels, inverse = this.field("inverse").checked, drawn = `${low}/${high}/${inverse}`;
    if (tile.drawn === drawn) return tile.picture;
    const canvas = document.createElement("canvas"), { nx, ny, data } = tile;
    canvas.width = nx; canvas.height = ny;
    const ctx = canvas.getContext("2d"), pixels = ctx.createImageData(nx, ny), words = new Uint32Array(pixels.data.buffer), k = 255 / (high - low);
    for (let y = 0; y < ny; y += 1) {
      for (let x = 0, i = (ny - 1 - y) * nx, o = y * nx; x < nx; x += 1, i += 1, o += 1) {
        const value = data[i];
        if (Number.isNaN(value)) { words[o] = 0xff905020; continue; } // no value: blue
        const grey = clamp(Math.round((value - low) * k), 0, 255), shade = inverse ? 255 - grey : grey;
        words[o] = 0xff000000 | (shade << 16) | (shade << 8) | shade;
      }
    }
    ctx.putImageData(pixels, 0, 0);
    Object.assign(tile, { drawn, picture: canvas });
    return canvas;
  }

  draw() {
    if (this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => { this.waiting = false; this.drawNow(); });
  }

  drawNow() {
    const { width, height } = this.size(), ratio = devicePixelRatio, { canvas, view } = this;
    if (!view) return;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) { canvas.width = Math.round(width * ratio); canvas.height = Math.round(height * ratio); }
    const ctx = canvas.getContext("2d");
    ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    ctx.clearRect(0, 0, width, height);
    ctx.imageSmoothingEnabled = false;
    const px = (x) => width / 2 + (x - view.x) * view.scale, py = (y) => height / 2 - (y - view.y) * view.scale;
    const wanted = this.shown();
    // What is there of coarser scales is seen until the tiles of this one have come.
    for (const factor of FACTORS.filter((item) => item > this.factor()).reverse()) this.paint(ctx, this.shown(factor), px, py);
    this.paint(ctx, wanted, px, py);
    for (const { x, y, colour } of this.root.marks ?? []) { // boxes of pixels, from 1, whose spectra are shown
      const left = px(x[0] - 1), top = py(y[1]);
      ctx.strokeStyle = colour;
      ctx.lineWidth = 2;
      ctx.strokeRect(left - 1, top - 1, px(x[1]) - left + 2, py(y[0] - 1) - top + 2);
    }
    for (const item of wanted) if (!item.tile) this.read(item);
    this.root.querySelector(".scale").textContent = `${view.scale >= 1 ? `${Number(view.scale.toPrecision(3))} ×` : `1 / ${Number((1 / view.scale).toPrecision(3))}`}, ${this.facts.width} × ${this.facts.height} pix`;
    this.readout();
  }

  paint(ctx, tiles, px, py) {
    for (const { tile, factor, column, row } of tiles) {
      if (!tile?.data) continue;
      const x0 = column * TILE * factor, y0 = row * TILE * factor, left = Math.floor(px(x0)), top = Math.floor(py(y0 + tile.ny * factor));
      ctx.drawImage(this.picture(tile), left, top, Math.ceil(px(x0 + tile.nx * factor)) - left, Math.ceil(py(y0)) - top);
    }
  }

  drawBar() {
    const ctx = this.bar.getContext("2d"), inverse = this.field("inverse").checked, { width, height } = this.bar;
    for (let x = 0; x < width; x += 1) {
      const grey = Math.round((255 * x) / (width - 1)), shade = inverse ? 255 - grey : grey;
      ctx.fillStyle = `rgb(${shade}, ${shade}, ${shade})`;
      ctx.fillRect(x, 0, 1, height);
    }
    const [low, high] = this.levels.map((value) => withUnit(Number(value.toPrecision(4)), this.unit));
    this.root.querySelector(".lowest").textContent = low;
    this.root.querySelector(".highest").textContent = high;
  }

  readout() {
    const { width, height } = this.size(), { view, at, facts } = this;
    if (!at || !view) { this.say("Point at the image to read a pixel. Wheel, + and − zoom, dragging and arrows move, 0 shows all."); return; }
    const x = Math.floor(view.x + (at[0] - width / 2) / view.scale), y = Math.floor(view.y - (at[1] - height / 2) / view.scale);
    if (x < 0 || y < 0 || x >= facts.width || y >= facts.height) { this.say("outside of the image"); return; }
    this.root.dispatchEvent(new CustomEvent("spaxel", { detail: { x: x + 1, y: y + 1 } }));
    const factor = this.factor(), column = Math.floor(x / factor / TILE), row = Math.floor(y / factor / TILE), tile = this.tiles.get(`${factor}/${column}/${row}`);
    const value = tile?.data?.[(Math.floor(y / factor) - row * TILE) * tile.nx + Math.floor(x / factor) - column * TILE];
    const text = value === undefined ? "reading …" : Number.isNaN(value) ? "no value" : `${withUnit(value, this.unit, 6)}${factor > 1 ? ` (mean of ${factor} × ${factor} pixels; zoom in for each)` : ""}`;
    this.say(`x ${x + 1}, y ${y + 1} pix: ${text}`);
  }

  // -- what a person does -----------------------------------------------------------------------------------------------
  listen() {
    const { canvas, root } = this;
    let down = null;
    const place = (event) => { const box = canvas.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
    canvas.addEventListener("wheel", (event) => {
      if (!this.view) return;
      event.preventDefault();
      this.zoomAt(event.deltaY < 0 ? 1.25 : 0.8, ...place(event));
      this.readout();
    }, { passive: false });
    canvas.addEventListener("pointerdown", (event) => { down = place(event); canvas.setPointerCapture(event.pointerId); });
    canvas.addEventListener("pointerup", () => { down = null; });
    canvas.addEventListener("pointermove", (event) => {
      this.at = place(event);
      if (down && this.view) { this.pan(this.at[0] - down[0], this.at[1] - down[1]); down = this.at; }
      this.readout();
    });
    canvas.addEventListener("pointerleave", () => { this.at = null; this.readout(); });
    canvas.addEventListener("dblclick", (event) => this.zoomAt(2, ...place(event)));
    canvas.addEventListener("keydown", (event) => this.key(event));
    root.addEventListener("marks", () => this.draw());
    root.addEventListener("change", (event) => {
      if (event.target.name === "cuts") { this.cut = event.target.value; this.applyCuts(); this.draw(); }
      if (["low", "high"].includes(event.target.name)) { this.cut = "own"; this.applyCuts(); this.draw(); }
      if (event.target.name === "inverse") { this.drawBar(); this.draw(); }
      if (event.target.name === "minus") { this.minus = event.target.checked; this.begin(); }
    });
    root.addEventListener("click", (event) => {
      const order = event.target.closest("button[data-zoom]")?.dataset.zoom, { width, height } = this.size();
      if (!order || !this.view) return;
      if (order === "all") this.fit(); else this.zoomAt(order === "full" ? 1 / this.view.scale : Number(order), width / 2, height / 2);
    });
    new ResizeObserver(() => this.draw()).observe(canvas);
    this.readout();
  }

  key(event) {
    const { width, height } = this.size(), step = 40, move = { ArrowLeft: [step, 0], ArrowRight: [-step, 0], ArrowUp: [0, step], ArrowDown: [0, -step] }[event.key];
    if (!this.view || event.ctrlKey || event.metaKey || event.altKey) return;
    this.at = [width / 2, height / 2];
    if (move) this.pan(...move);
    else if (event.key === "+" || event.key === "=") this.zoomAt(1.5, ...this.at);
    else if (event.key === "-") this.zoomAt(1 / 1.5, ...this.at);
    else if (event.key === "1") this.zoomAt(1 / this.view.scale, ...this.at);
    else if (event.key === "0") this.fit();
    else return;
    event.preventDefault();
    event.stopPropagation();
    this.readout();
  }
}

for (const root of document.querySelectorAll("[data-pixels]")) new Viewer(root);
