// The QC1 plot: points drawn on a uPlot frame, grouped, with running medians, score bands, outliers and events.
import uPlot from "../vendor/uplot/uPlot.esm.js";
import { INDEX, columns, even, median, marker, format, unitText, time } from "./qcdata.js";

const $ = (selector) => document.querySelector(selector);
const place = $("#plot"), readout = $("#readout"), legend = $("#legend");
const form = $("#controls");
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
let palette, plot = null, set = null, picked = null, compared = null, hovered = -1;

function readPalette() {
  palette = { ink: css("--ink"), muted: css("--muted"), line: css("--line"), strong: css("--strong"), bad: css("--bad"), good: css("--good"), band: css("--band"), panel: css("--panel") };
}

// -- the address is the state ------------------------------------------------------------------------------------------
function stateOf() {
  const data = new FormData(form), state = new URLSearchParams();
  for (const [key, value] of data) {
    if (value !== "" && !(key === "x" && value === "time")) state.append(key, value);
  }
  return state;
}

function seriesQuery(state) {
  const query = new URLSearchParams();
  for (const [key, value] of state) {
    if (["y", "from", "to", ...INDEX].includes(key)) query.append(key, value);
    if (key === "mode" && value !== "all") query.append(key, value);
    if (key === "x" && value !== "time" && !state.getAll("y").includes(value)) query.append("y", value);
  }
  return query;
}

const zoomOf = () => (new URLSearchParams(location.search).get("zoom") ?? "").split(",").map(Number);

function remember(changes) {
  const address = new URL(location.href);
  for (const [key, value] of Object.entries(changes)) {
    if (value == null) address.searchParams.delete(key); else address.searchParams.set(key, value);
  }
  history.replaceState(null, "", address);
}

// -- data ---------------------------------------------------------------------------------------------------------------
async function load(keepZoom) {
  const state = stateOf();
  readout.innerHTML = '<span class="muted">Reading the values …</span>';
  const response = await fetch(`/api/qc1/${place.dataset.table}/series?${seriesQuery(state)}`);
  const data = await response.json();
  if (!response.ok) { readout.textContent = `${data.title}: ${data.detail} [${data.request_id}]`; return; }
  set = columns(data, state.get("x") ?? "time", state.getAll("y"), state.get("split") ?? "none");
  picked = null; compared = null; hovered = -1;
  if (keepZoom) selectAsAddressed();
  build(keepZoom ? zoomOf() : []);
}

// The group and the point that the address names, if they are among the values.
function selectAsAddressed() {
  const query = new URLSearchParams(location.search);
  const group = set.groups.indexOf(query.get("pick") ?? ""), point = set.x.findIndex((_, i) => set.key(i) === query.get("compare"));
  if (group >= 0) picked = group;
  if (point >= 0) compared = point;
}

function build(zoom) {
  plot?.destroy(); plot = null;
  place.querySelectorAll(".empty").forEach((item) => item.remove());
  showLegend();
  if (!set.x.length) {
    const note = document.createElement("p");
    note.className = "empty muted";
    note.textContent = "No value with these filters: widen the dates, or take all setups.";
    place.append(note);
    readout.textContent = "";
    return;
  }
  const unit = [...new Set(set.shown.map((item) => unitText(item.unit)))];
  const axis = { stroke: palette.muted, grid: { stroke: palette.line, width: 1 }, ticks: { stroke: palette.line, width: 1 }, font: "13px system-ui" };
  const isTime = set.xName === "time";
  plot = new uPlot({
    width: place.clientWidth, height: place.clientHeight, padding: [12, named() ? 12 + 7 * Math.max(...set.groups.map((name) => name.length)) : 40, 0, 4], legend: { show: false },
    cursor: { drag: { x: true, y: true, uni: 24, dist: 6, setScale: false }, points: { show: false }, x: false, y: false },
    scales: {
      x: { time: false, range: (u, low, high) => (low === high ? [low - 1, high + 1] : [low, high]) },
      y: { range: (u, low, high) => { const [a, b] = zoomedY ?? set.yRange; return [a, b]; } },
    },
    axes: [
      { ...axis, space: isTime ? Math.min(90, place.clientWidth / 5) : 60, values: isTime ? (u, splits) => splits.map((t) => time(t, splits.length > 1 ? splits[1] - splits[0] : 1, narrow())) : (u, splits) => even(splits),
        splits: isTime ? timeSplits : undefined, label: isTime ? undefined : set.xLabel, labelSize: 18, labelFont: "13px system-ui" },
      { ...axis, size: 66, values: (u, splits) => even(splits), label: unit.length === 1 ? (set.shown.length === 1 ? `${set.shown[0].column}${unit[0] ? ` [${unit[0]}]` : ""}` : unit[0]) : "different units", labelSize: 18, labelFont: "13px system-ui" },
    ],
    series: [{}, { show: true, paths: () => null, points: { show: false } }],
    hooks: { drawClear: [drawBehind], draw: [drawPoints], setCursor: [onCursor], setSelect: [onSelect], ready: [listen] },
  }, [set.x, set.y], place);
  zoomedY = null;
  if (zoom.length === 4 && zoom.every(Number.isFinite)) zoomTo(...zoom); else plot.setScale("x", { min: set.xRange[0], max: set.xRange[1] });
  if (compared === null) showSummary(); else readPoint(compared);
}

let zoomedY = null;

function zoomTo(x0, x1, y0, y1) {
  zoomedY = [y0, y1];
  plot.batch(() => { plot.setScale("x", { min: x0, max: x1 }); plot.setScale("y", { min: y0, max: y1 }); });
}

function resetZoom() {
  zoomedY = null;
  plot.batch(() => { plot.setScale("x", { min: set.xRange[0], max: set.xRange[1] }); plot.setScale("y", { min: set.yRange[0], max: set.yRange[1] }); });
  remember({ zoom: null });
}

const narrow = () => place.clientWidth < 560;

function timeSplits(u, axisIndex, low, high) {
  const width = u.bbox.width / devicePixelRatio;
  const steps = [1 / 96, 1 / 24, 0.125, 0.25, 0.5, 1, 2, 3, 5, 7, 10, 14, 20, 30.4375, 45, 61, 91.3, 182.6, 365.25, 730.5];
  const fits = (item) => Math.floor(high / item) - Math.ceil(low / item) < Math.max(2, Math.floor(width / (narrow() ? (item < 1 ? 85 : 55) : 95)));
  const step = steps.find(fits) ?? steps.at(-1);
  const found = [];
  for (let t = Math.ceil(low / step) * step; t <= high; t += step) found.push(t);
  return found;
}

// -- drawing ----------------------------------------------------------------------------------------------------------
function clip(u) {
  u.ctx.save();
  u.ctx.beginPath();
  u.ctx.rect(u.bbox.left, u.bbox.top, u.bbox.width, u.bbox.height);
  u.ctx.clip();
}

function drawBehind(u) {
  const { ctx } = u, ratio = devicePixelRatio;
  clip(u);
  if (set.xName === "time" && set.shown.length === 1) {
    for (const band of set.bands) {
      // from one block to the next the limits hold as they were
      ctx.beginPath();
      const low = [], high = [];
      band.forEach((item, i) => {
        const x0 = u.valToPos(i ? item.t : item.t - 0.5, "x", true), x1 = u.valToPos(band[i + 1]?.t ?? item.t + 0.5, "x", true);
        const top = item.high == null ? u.bbox.top : u.valToPos(item.high, "y", true);
        const bottom = item.low == null ? u.bbox.top + u.bbox.height : u.valToPos(item.low, "y", true);
        high.push([x0, top], [x1, top]); low.push([x0, bottom], [x1, bottom]);
      });
      if (!high.length) continue;
      ctx.fillStyle = palette.band;
      [...high, ...low.slice().reverse()].forEach(([x, y], i) => (i ? ctx.lineTo(x, y) : ctx.moveTo(x, y)));
      ctx.fill();
      ctx.strokeStyle = palette.good; ctx.lineWidth = ratio; ctx.setLineDash([4 * ratio, 4 * ratio]); ctx.globalAlpha = 0.55;
      for (const edge of [low, high]) { ctx.beginPath(); edge.forEach(([x, y], i) => (i ? ctx.lineTo(x, y) : ctx.moveTo(x, y))); ctx.stroke(); }
      ctx.setLineDash([]); ctx.globalAlpha = 1;
    }
  }
  if (set.xName === "time") {
    ctx.strokeStyle = palette.strong; ctx.fillStyle = palette.muted; ctx.lineWidth = ratio; ctx.font = `${12 * ratio}px system-ui`; ctx.textAlign = "left"; ctx.textBaseline = "alphabetic";
    for (const event of set.events) {
      const x = Math.round(u.valToPos(event.t, "x", true));
      ctx.beginPath(); ctx.moveTo(x, u.bbox.top); ctx.lineTo(x, u.bbox.top + u.bbox.height); ctx.stroke();
      ctx.fillText(event.text, x + 4 * ratio, u.bbox.top + 13 * ratio);
    }
  }
  ctx.restore();
}

function drawPoints(u) {
  const { ctx } = u, ratio = devicePixelRatio;
  clip(u);
  const [x0, x1] = [u.scales.x.min, u.scales.x.max], [y0, y1] = [u.scales.y.min, u.scales.y.max];
  const kx = u.bbox.width / (x1 - x0), ky = u.bbox.height / (y1 - y0), left = u.bbox.left, bottom = u.bbox.top + u.bbox.height;
  const many = set.x.length > 4000, size = (many ? 2.2 : set.x.length > 400 ? 3.6 : 5) * ratio;
  const { x, y, group } = set, count = set.groups.length;
  for (let g = 0; g < count; g += 1) {
    const dim = picked !== null && picked !== g;
    ctx.fillStyle = ctx.strokeStyle = dim ? palette.strong : palette.ink;
    // groups are told apart by shape and shade; colour is kept for the state
    ctx.globalAlpha = dim ? 0.18 : (many ? 0.45 : 0.75) * (picked === g ? 1.3 : count > 4 ? 0.35 + 0.65 * ((g + 1) / count) : 1);
    ctx.lineWidth = ratio;
    const draw = marker(ctx, count > 4 || many ? 0 : g, size);
    for (const i of set.members[g]) {
      if (x[i] < x0 || x[i] > x1 || y[i] < y0 || y[i] > y1) continue;
      draw(left + (x[i] - x0) * kx, bottom - (y[i] - y0) * ky);
    }
  }
  ctx.globalAlpha = 1;
  if (set.xName === "time") {
    for (const [g, line] of set.medians.entries()) {
      if (!line.length || (picked !== null && picked !== g)) continue;
      ctx.strokeStyle = palette.ink; ctx.lineWidth = (picked === g || count === 1 ? 2 : 1.2) * ratio; ctx.globalAlpha = count > 4 && picked !== g ? 0.5 : 0.95;
      ctx.setLineDash(count > 1 && count <= 4 ? [[], [6, 3], [2, 3], [8, 3, 2, 3]][g].map((d) => d * ratio) : []);
      ctx.beginPath();
      line.forEach(([t, v], i) => { const px = left + (t - x0) * kx, py = bottom - (v - y0) * ky; if (i) ctx.lineTo(px, py); else ctx.moveTo(px, py); });
      ctx.stroke();
    }
    ctx.setLineDash([]); ctx.globalAlpha = 1;
  }
  ctx.strokeStyle = palette.bad; ctx.fillStyle = palette.bad; ctx.lineWidth = 1.6 * ratio;
  for (const i of set.outliers) {
    if (picked !== null && group[i] !== picked) continue;
    const px = left + (x[i] - x0) * kx, py = Math.min(Math.max(bottom - (y[i] - y0) * ky, u.bbox.top + 6 * ratio), bottom - 6 * ratio), r = 4 * ratio;
    ctx.beginPath(); ctx.moveTo(px - r, py - r); ctx.lineTo(px + r, py + r); ctx.moveTo(px - r, py + r); ctx.lineTo(px + r, py - r); ctx.stroke();
  }
  ctx.restore();
  if (named()) labelMedians(u, bottom, y0, ky);
  placeRings(u);
}

// Whether the groups are named beside the plot; in narrow windows the legend below must do.
const named = () => set.xName === "time" && set.groups.length > 1 && set.groups.length <= 4 && !narrow();

// The name of a group stands beside the end of its median, right of the frame.
function labelMedians(u, bottom, y0, ky) {
  const { ctx } = u, ratio = devicePixelRatio;
  ctx.font = `${12 * ratio}px system-ui`;
  ctx.textAlign = "left"; ctx.textBaseline = "middle"; ctx.fillStyle = palette.ink;
  const labels = set.medians.map((line, g) => ({ g, end: line.at(-1) })).filter((item) => item.end && (picked === null || picked === item.g));
  let last = -Infinity;
  for (const item of labels.sort((a, b) => b.end[1] - a.end[1])) {
    const wanted = bottom - (item.end[1] - y0) * ky;
    if (wanted < u.bbox.top || wanted > bottom) continue;
    last = Math.max(wanted, last + 14 * ratio);
    ctx.fillText(set.groups[item.g], u.bbox.left + u.bbox.width + 6 * ratio, last);
  }
}

// Rings around the points under the cursor and compared with: elements of the page, so that nothing is drawn again.
function placeRings(u) {
  for (const [name, i] of [["hovered", hovered], ["compared", compared]]) {
    let ring = u.over.querySelector(`.ring.${name}`);
    if (!ring) { ring = document.createElement("i"); ring.className = `ring ${name}`; u.over.append(ring); }
    const shown = i !== null && i >= 0;
    ring.classList.toggle("hidden", !shown);
    if (!shown) continue;
    ring.style.left = `${u.valToPos(set.x[i], "x")}px`;
    ring.style.top = `${u.valToPos(set.y[i], "y")}px`;
  }
}

// -- hover, click, zoom ------------------------------------------------------------------------------------------------
function nearest(u, px, py) {
  const { x, y, group } = set, reach = 18;
  const from = lower(x, u.posToVal(px - reach, "x")), to = lower(x, u.posToVal(px + reach, "x"));
  let best = -1, least = reach * reach;
  for (let i = from; i < to; i += 1) {
    if (picked !== null && group[i] !== picked) continue;
    const dx = u.valToPos(x[i], "x") - px, dy = u.valToPos(y[i], "y") - py, d = dx * dx + dy * dy;
    if (d < least) { least = d; best = i; }
  }
  return best;
}

function lower(x, value) {
  let low = 0, high = x.length;
  while (low < high) { const middle = (low + high) >> 1; if (x[middle] < value) low = middle + 1; else high = middle; }
  return low;
}

function onCursor(u) {
  if (u.cursor.left == null || u.cursor.left < 0) return;
  const found = nearest(u, u.cursor.left, u.cursor.top);
  if (found === hovered) return;
  hovered = found;
  u.over.style.cursor = found >= 0 ? "pointer" : "crosshair";
  placeRings(u);
  if (found >= 0) readPoint(found); else if (compared === null) showSummary();
}

function pointText(i) {
  const shown = set.shown[set.parameter[i]];
  const outlier = set.outlierSet.has(i) ? ' <span class="s bad" data-g="✕">outlier</span>' : "";
  const xText = set.xName === "time" ? "" : `, ${set.xName} ${format(set.x[i])} ${set.xUnit}`.trimEnd();
  return `<b>${format(set.y[i])} ${unitText(shown.unit)}</b> ${shown.column}${xText} · ${set.where(i)} · ${time(set.t[i])} UT · night ${set.block(i).night} · ${set.block(i).mode || "no mode"}${outlier}`;
}

function readPoint(i) {
  let text = pointText(i);
  if (compared !== null && compared !== i) {
    const d = set.y[i] - set.y[compared], base = Math.abs(set.y[compared]);
    text = `${text}<br>compared with ${pointText(compared)}<br>difference <b>${format(d, 3)}</b>${base ? ` (${format((100 * d) / base, 3)} %)` : ""}, ${format(Math.abs(set.t[i] - set.t[compared]), 3)} d apart`;
  }
  readout.innerHTML = text;
}

function showSummary() {
  const values = set.y, out = set.outliers.length;
  const [low, high] = extremes(values), unit = set.shown.length === 1 && set.shown[0].unit ? ` ${unitText(set.shown[0].unit)}` : "";
  const limits = set.rulesNow.map((item) => `${item.low == null ? "" : `${format(item.low, 4)} `}to${item.high == null ? "" : ` ${format(item.high, 4)}`}${unit} (${item.rule})`);
  readout.innerHTML = `${values.length} values of ${set.blocks} block${set.blocks === 1 ? "" : "s"}, median <b>${format(median(values), 4)}${unit}</b>, ${format(low, 4)} to ${format(high, 4)}${unit}; ` +
    (limits.length ? `limits ${limits.join(" and ")}; ` : "") +
    (out ? `<span class="s bad" data-g="✕">${out} outlier${out === 1 ? "" : "s"}</span>` : "no outlier") +
    (set.truncated ? ' · <span class="s warn" data-g="▲">only the newest values are shown</span>' : "") +
    '<br><span class="muted">Drag zooms, double click resets, click opens the product, shift-click compares.</span>';
}

const extremes = (values) => values.reduce((range, value) => [Math.min(range[0], value), Math.max(range[1], value)], [Infinity, -Infinity]);

function onSelect(u) {
  const { left, top, width, height } = u.select;
  if (width < 6 && height < 6) return;
  const wide = width >= 6, high = height >= 6;
  const x = wide ? [u.posToVal(left, "x"), u.posToVal(left + width, "x")] : [u.scales.x.min, u.scales.x.max];
  const y = high ? [u.posToVal(top + height, "y"), u.posToVal(top, "y")] : [u.scales.y.min, u.scales.y.max];
  u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  zoomTo(x[0], x[1], y[0], y[1]);
  remember({ zoom: [...x, ...y].map((v) => Number(v.toPrecision(9))).join(",") });
}

function listen(u) {
  u.over.addEventListener("dblclick", resetZoom);
  u.over.addEventListener("mouseleave", () => { hovered = -1; placeRings(u); if (compared === null) showSummary(); });
  let down = null;
  u.over.addEventListener("mousedown", (event) => { down = [event.clientX, event.clientY]; });
  u.over.addEventListener("click", (event) => {
    if (!down || Math.hypot(event.clientX - down[0], event.clientY - down[1]) > 4 || hovered < 0) return;
    if (event.shiftKey) { compared = compared === hovered ? null : hovered; remember({ compare: compared === null ? null : set.key(compared) }); placeRings(u); readPoint(hovered); return; }
    const product = set.product[hovered];
    location.assign(product ? `/products/${product}` : `/blocks/${encodeURIComponent(set.block(hovered).name)}`);
  });
}

// -- legend -------------------------------------------------------------------------------------------------------------
function showLegend() {
  legend.replaceChildren();
  if (set.groups.length < 2) return;
  const signs = ["■", "□", "▲", "◇"];
  set.groups.forEach((name, g) => {
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("aria-pressed", String(picked === g));
    const values = set.members[g].map((i) => set.y[i]);
    button.innerHTML = `${set.groups.length <= 4 ? signs[g] : ""} ${name} <span class="n">${format(median(values), 4)}</span>`;
    button.title = `${values.length} values; click to show only these`;
    button.addEventListener("click", () => {
      picked = picked === g ? null : g;
      remember({ pick: picked === null ? null : name });
      [...legend.children].forEach((item, number) => item.setAttribute("aria-pressed", String(number === picked)));
      plot.redraw(false, false);
    });
    legend.append(button);
  });
}

// -- form, ranges, save ------------------------------------------------------------------------------------------------
function apply() {
  const state = stateOf();
  history.replaceState(null, "", `?${state}`);
  for (const link of document.querySelectorAll("a.export")) link.href = `${link.pathname}?${seriesQuery(state)}`;
  for (const link of document.querySelectorAll("a[data-view]")) {
    const query = new URLSearchParams(state);
    if (link.textContent === "browse") query.set("view", "browse");
    link.href = `${link.pathname}?${query}`;
  }
  const names = state.getAll("y").join(", ");
  $("#plot-title").firstChild.textContent = `${names} `;
  $("#plot-title span").textContent = `${state.get("mode") === "all" ? "all setups" : state.get("mode")}, ${state.get("from") ?? "begin"} to ${state.get("to") ?? "now"}`;
  load(false);
}

function shiftRange(months) {
  const to = form.elements.to.value ? new Date(form.elements.to.value) : new Date();
  if (months === null) { form.elements.from.value = form.elements.to.value = ""; apply(); return; }
  form.elements.from.value = new Date(to - months * 30.5 * 864e5).toISOString().slice(0, 10);
  apply();
}

function prepare() {
  readPalette();
  $("#apply").classList.add("hidden");
  for (const [label, months] of [["1 month", 1], ["3 months", 3], ["1 year", 12], ["all", null]]) {
    const button = document.createElement("button");
    button.type = "button"; button.textContent = label;
    button.addEventListener("click", () => shiftRange(months));
    $("#ranges").append(button);
  }
  form.addEventListener("change", () => { if (form.reportValidity()) apply(); });
  form.addEventListener("submit", (event) => { event.preventDefault(); apply(); });
  $("#png").addEventListener("click", savePng);
  $("#link").addEventListener("click", async () => {
    // With the dates as they are now: the default moves on with time.
    const state = stateOf(), query = new URLSearchParams(location.search);
    for (const name of ["zoom", "pick", "compare"]) if (query.has(name)) state.set(name, query.get(name));
    await navigator.clipboard.writeText(`${location.origin}${location.pathname}?${state}`);
    $("#link").textContent = "Link copied";
  });
  new ResizeObserver(() => plot?.setSize({ width: place.clientWidth, height: place.clientHeight })).observe(place);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readPalette(); if (set) build(zoomOf()); });
  load(true);
}

function savePng() {
  const source = place.querySelector("canvas"), canvas = document.createElement("canvas"), head = 28 * devicePixelRatio;
  canvas.width = source.width; canvas.height = source.height + head;
  const ctx = canvas.getContext("2d");
  ctx.fillStyle = palette.panel; ctx.fillRect(0, 0, canvas.width, canvas.height);
  ctx.fillStyle = palette.ink; ctx.font = `${14 * devicePixelRatio}px system-ui`;
  ctx.fillText($("#plot-title").textContent, 10 * devicePixelRatio, 19 * devicePixelRatio);
  ctx.drawImage(source, 0, head);
  canvas.toBlob((blob) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob); link.download = `${place.dataset.table}_${form.elements.y.value}.png`; link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
}

prepare();
