// The page of the QC1 plot: what is asked for, panels of one unit each with one time axis, the matrix, and what is read out.
import { INDEX, arrange } from "./qcdata.js";
import { drawMatrix, markPicked } from "./qcmatrix.js";
import { Panel } from "./qcpanel.js";
import { extremes, format, median, robustRange, scatter, time, unitText, withUnit } from "./qcstats.js";

const $ = (selector) => document.querySelector(selector);
const place = $("#plot"), readout = $("#readout"), legend = $("#legend"), matrix = $("#matrix"), form = $("#controls");
const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const LEGEND = 12; // more series than this are found in the matrix
const VIEW = ["show", "night", "log", "low", "high"]; // how values are shown; nothing is read again for them
let data = null, panels = [], newest = place.dataset.newest;

const host = {
  set: null, palette: null, picked: null, compared: null, hovered: -1, own: new Map(),
  limits: () => ["low", "high"].map((name) => number(form.elements[name].value)).map((value) => (value === null || !host.set.log ? value : value > 0 ? Math.log10(value) : null)),
  bands,
  robust,
  zoom,
  resetZoom: () => { panels.forEach((item) => item.show(host.set.xRange, null)); remember({ zoom: null }); showSummary(); },
  point,
  compare,
  open,
};

const number = (text) => (text.trim() === "" || !Number.isFinite(Number(text)) ? null : Number(text));
const escaped = (text) => String(text).replace(/[&<>"]/g, (sign) => `&#${sign.charCodeAt(0)};`);

function readPalette() {
  host.palette = { ...Object.fromEntries(["ink", "muted", "line", "strong", "bad", "good", "band", "panel"].map((name) => [name, css(`--${name}`)])),
    series: [1, 2, 3, 4, 5, 6, 7].map((n) => css(`--series-${n}`)) };
}

// -- the address is the state ------------------------------------------------------------------------------------------
function stateOf() {
  const state = new URLSearchParams();
  for (const [key, value] of new FormData(form)) {
    if (value !== "" && !(key === "x" && value === "time") && !(key === "show" && value === "value")) state.append(key, value);
  }
  return state;
}

function seriesQuery(state) {
  const query = new URLSearchParams();
  for (const [key, value] of state) {
    if (["y", "from", "to", ...INDEX].includes(key)) query.append(key, value);
    if (key === "mode" && value !== "all") query.append(key, value);
    if (key === "x" && !state.getAll("y").includes(value)) query.append("y", value);
  }
  return query;
}

function remember(changes) {
  const address = new URL(location.href);
  for (const [key, value] of Object.entries(changes)) {
    if (value == null) address.searchParams.delete(key); else address.searchParams.set(key, value);
  }
  history.replaceState(null, "", address);
}

// -- data ---------------------------------------------------------------------------------------------------------------
async function load(keepView) {
  if (!keepView) readout.innerHTML = '<span class="muted">Reading the values …</span>';
  const response = await fetch(`/api/qc1/${place.dataset.table}/series?${seriesQuery(stateOf())}`);
  const answer = await response.json();
  if (!response.ok) { readout.textContent = `${answer.title}: ${answer.detail} [${answer.request_id}]`; return; }
  data = answer;
  host.own.clear();
  show(keepView);
}

function show(keepView) {
  const state = stateOf(), wanted = (name, otherwise) => state.get(name) ?? otherwise;
  const night = wanted("night", wanted("to", new Date().toISOString().slice(0, 10)));
  host.set = arrange(data, { x: wanted("x", "time"), y: state.getAll("y"), split: wanted("split", "each"), show: wanted("show", "value"), night, log: state.has("log") });
  host.hovered = -1;
  host.picked = host.compared = null;
  if (keepView) selectAsAddressed();
  build(keepView ? (new URLSearchParams(location.search).get("zoom") ?? "").split(",").map(Number) : []);
}

// The series and the point that the address names, if they are among the values.
function selectAsAddressed() {
  const query = new URLSearchParams(location.search), { set } = host;
  const group = set.groups.findIndex((item) => item.name === query.get("pick")), point = query.has("compare") ? set.x.findIndex((_, n) => set.key(n) === query.get("compare")) : -1;
  if (group >= 0) host.picked = group;
  if (point >= 0) host.compared = point;
}

function build(zoomed) {
  const { set } = host;
  panels.forEach((item) => item.destroy());
  panels = [];
  place.querySelectorAll(".empty").forEach((item) => item.remove());
  showLegend();
  drawMatrix(matrix, set, (n) => valueText(n), pick, host.picked);
  if (!set.x.length) {
    const note = document.createElement("p");
    note.className = "empty muted";
    note.textContent = "No value with these filters: widen the dates, or take all setups.";
    place.append(note);
    readout.textContent = "";
    return;
  }
  place.style.setProperty("--panels", set.panels.length);
  place.classList.toggle("stacked", set.panels.length > 1);
  const height = place.clientHeight / set.panels.length;
  panels = set.panels.map((panel, n) => new Panel(host, place, panel, height, n === set.panels.length - 1));
  const [x0, x1, y0, y1, at = 0] = zoomed, isZoomed = zoomed.length >= 4 && zoomed.every(Number.isFinite);
  panels.forEach((item, n) => item.show(isZoomed ? [x0, x1] : set.xRange, isZoomed && n === at && y1 > y0 ? [y0, y1] : null));
  if (host.picked !== null) fetchBands();
  if (host.compared === null) showSummary(); else readPoint(host.compared);
}

// Limits of the series that is picked are its own; without one, those that hold for all elements alike.
function bands(panel) {
  const own = host.picked === null ? null : host.own.get(host.picked);
  return own && host.set.show === "value" ? own : panel.bands;
}

async function fetchBands() {
  const g = host.picked, { set } = host, item = set.groups[g];
  if (!item.single || host.own.has(g) || ![...set.limits.get(item.parameter).values()].flat().some((limit) => limit.each)) return;
  const query = seriesQuery(stateOf());
  query.delete("y");
  query.append("y", item.parameter.column);
  for (const [column, value] of Object.entries(item.element)) if (value != null) query.set(column, value);
  const response = await fetch(`/api/qc1/${place.dataset.table}/series?${query}`);
  if (!response.ok || host.set !== set) return;
  const mine = arrange(await response.json(), { x: "time", y: [item.parameter.column], split: "each", show: "value", log: set.log });
  host.own.set(g, mine.panels[0]?.bands ?? []);
  if (host.picked === g) { panels.forEach((panel) => panel.plot.redraw(false, true)); showSummary(); }
}

function robust(panel) {
  if (host.picked === null || host.set.groups[host.picked].panel !== panel.number) return panel.yRange;
  const limits = bands(panel).flatMap((list) => list.flatMap((item) => [item.low, item.high]));
  return robustRange(host.set.groups[host.picked].members.map((n) => host.set.y[n]), limits);
}

// -- what is read out ----------------------------------------------------------------------------------------------------
const shownUnit = (n) => (host.set.show === "ratio" ? "" : unitText(host.set.parameters[host.set.parameter[n]].unit));
const shownValue = (n) => (host.set.log ? 10 ** host.set.y[n] : host.set.y[n]);
const rawText = (n) => withUnit(host.set.raw[n], unitText(host.set.parameters[host.set.parameter[n]].unit));
const valueText = (n) => (host.set.show === "value" ? rawText(n) : `${withUnit(shownValue(n), shownUnit(n))} (value ${rawText(n)})`);

function pointText(n) {
  const { set } = host, outlier = set.outlierSet.has(n) ? ' <span class="s bad" data-g="✕">outlier</span>' : "";
  const xText = set.xName === "time" ? "" : `, ${set.xName} ${format(set.x[n])} ${set.xUnit}`.trimEnd();
  const at = set.block(n);
  return `<b>${valueText(n)}</b> ${set.parameters[set.parameter[n]].column}${escaped(xText)} · ${escaped(set.where(n))} · ${time(set.t[n])} UT · night ${at.night} · ${escaped(at.mode || "no mode")}${outlier}`;
}

function readPoint(n) {
  const { set, compared } = host;
  let text = pointText(n);
  if (compared !== null && compared !== n) {
    const same = set.parameters[set.parameter[n]].unit === set.parameters[set.parameter[compared]].unit;
    const d = set.raw[n] - set.raw[compared], base = Math.abs(set.raw[compared]);
    text += `<br>compared with ${pointText(compared)}`;
    if (same) text += `<br>difference <b>${format(d, 3)}</b>${base ? ` (${format((100 * d) / base, 3)} %)` : ""}, ${format(Math.abs(set.t[n] - set.t[compared]), 3)} d apart`;
  }
  readout.innerHTML = text;
}

// What is in view, by parameter; medians are those of single series, never of a mixture.
function showSummary() {
  const { set } = host, hint = "Drag zooms, double click resets, click opens the product, shift-click compares. Keyboard: ← → points, ↑ ↓ series, Enter opens, + − zoom, 0 resets.";
  if (!panels.length) return;
  const lines = panels.flatMap((item) => item.panel.parameters.map((parameter) => summaryOf(item, parameter)));
  readout.innerHTML = `${lines.join("<br>")}${set.truncated ? ' · <span class="s warn" data-g="▲">only the newest values are shown</span>' : ""}<br><span class="muted">${hint}</span>`;
}

function summaryOf({ panel, plot, zoomedY }, parameter) {
  const { set, picked } = host, { min: x0, max: x1 } = plot.scales.x, zoomed = new URLSearchParams(location.search).has("zoom");
  const inView = (n) => set.x[n] >= x0 && set.x[n] <= x1 && (!zoomedY || (set.y[n] >= zoomedY[0] && set.y[n] <= zoomedY[1]));
  const seen = (n) => set.parameters[set.parameter[n]] === parameter && (picked === null || set.group[n] === picked) && (!zoomed || inView(n));
  const members = panel.members.filter(seen), blocks = new Set(members.map((n) => set.block(n))).size, out = members.filter((n) => set.outlierSet.has(n)).length;
  const title = picked !== null ? `${escaped(set.groups[picked].name)}: ` : set.parameters.length > 1 ? `<b>${escaped(parameter.column)}</b>: ` : "";
  if (!members.length) return picked !== null && set.groups[picked].parameter !== parameter ? `<b>${escaped(parameter.column)}</b>: another series is picked` : `${title}no value${zoomed ? " in view" : ""}`;
  const series = set.elements.map((list) => list.filter(seen)).filter((list) => list.length), unit = unitText(parameter.unit);
  const [low, high] = extremes(members.map((n) => set.raw[n])), medians = series.map((list) => median(list.map((n) => set.raw[n]))), [least, most] = extremes(medians);
  const centre = series.length === 1 ? `median <b>${withUnit(least, unit, 4)}</b>, scatter ${withUnit(scatter(series[0].map((n) => set.raw[n])), unit, 2)}` : `medians of the ${series.length} series <b>${format(least, 4)} to ${withUnit(most, unit, 4)}</b>`;
  return `${title}${zoomed ? "in view " : ""}${members.length} values of ${blocks} block${blocks === 1 ? "" : "s"}, ${centre}, values ${format(low, 4)} to ${withUnit(high, unit, 4)}; ${limitsText(parameter, unit)}` +
    (out ? `<span class="s bad" data-g="✕">${out} outlier${out === 1 ? "" : "s"}</span>` : "no outlier");
}

function limitsText(parameter, unit) {
  const parts = [...host.set.limits.get(parameter)].map(([rule, list]) => {
    const last = list.at(-1);
    if (last.each) return `for each element its own (${rule}${host.picked === null ? "; pick one to see them" : ""})`;
    return `${last.low == null ? "" : `${format(last.low, 4)} `}to${last.high == null ? "" : ` ${format(last.high, 4)}`}${unit ? ` ${unit}` : ""} (${rule})`;
  });
  return parts.length ? `limits ${escaped(parts.join(" and "))}; ` : "";
}

// -- what a person does ----------------------------------------------------------------------------------------------------
function point(n, x) {
  panels.forEach((item) => item.placeCursor(x));
  if (n === host.hovered) return;
  host.hovered = n;
  panels.forEach((item) => item.placeRings());
  if (n >= 0) readPoint(n); else if (host.compared === null) showSummary(); else readPoint(host.compared);
}

function compare() {
  host.compared = host.compared === host.hovered ? null : host.hovered;
  remember({ compare: host.compared === null ? null : host.set.key(host.compared) });
  panels.forEach((item) => item.placeRings());
  readPoint(host.hovered);
}

function open() {
  const product = host.set.product(host.hovered);
  location.assign(product ? `/products/${product}` : `/blocks/${encodeURIComponent(host.set.block(host.hovered).name)}`);
}

function zoom(x, panel, y) {
  panels.forEach((item) => item.show(x, item.panel.number === panel ? y : item.zoomedY));
  remember({ zoom: [...x, ...(y ?? [0, 0]), ...(panel ? [panel] : [])].map((v) => Number(v.toPrecision(9))).join(",") });
  showSummary();
}

function pick(g) {
  host.picked = host.picked === g ? null : g;
  host.hovered = -1;
  remember({ pick: host.picked === null ? null : host.set.groups[g].name });
  [...legend.children].forEach((item, n) => item.setAttribute("aria-pressed", String(n === host.picked)));
  markPicked(matrix, host.picked);
  panels.forEach((item) => item.show([item.plot.scales.x.min, item.plot.scales.x.max], item.zoomedY));
  if (host.picked !== null) fetchBands();
  showSummary();
}

// Arrows walk from point to point and from series to series, Enter opens, + and − zoom, 0 resets.
function onKey(event) {
  const { set } = host, step = { ArrowLeft: -1, ArrowRight: 1 }[event.key], turn = { ArrowUp: -1, ArrowDown: 1 }[event.key];
  if (!panels.length || event.ctrlKey || event.metaKey || event.altKey) return;
  const { min, max } = panels[0].plot.scales.x, middle = host.hovered >= 0 ? set.x[host.hovered] : (min + max) / 2, half = (max - min) / 2;
  if (step) {
    const members = set.groups[host.picked ?? (host.hovered >= 0 ? set.group[host.hovered] : 0)].members.filter((n) => set.x[n] >= min && set.x[n] <= max);
    const now = members.indexOf(host.hovered), next = now < 0 ? members.at(step > 0 ? 0 : -1) : members[Math.min(Math.max(now + step, 0), members.length - 1)];
    if (next !== undefined) point(next, set.x[next]);
  } else if (turn) {
    const count = set.groups.length, from = host.picked ?? (turn > 0 ? -1 : count), to = (from + turn + count) % count;
    if (to !== host.picked) pick(to);
  } else if (event.key === "Enter" && host.hovered >= 0) { if (event.shiftKey) compare(); else open(); }
  else if (event.key === "+" || event.key === "=") zoom([middle - half / 2, middle + half / 2], 0, panels[0].zoomedY);
  else if (event.key === "-") zoom([middle - 2 * half, middle + 2 * half], 0, panels[0].zoomedY);
  else if (event.key === "0" || event.key === "Home") host.resetZoom();
  else if (event.key === "Escape" && (host.hovered >= 0 || host.picked !== null)) { if (host.hovered >= 0) point(-1, null); else pick(host.picked); }
  else return;
  event.preventDefault();
  event.stopPropagation();
}

// -- legend -------------------------------------------------------------------------------------------------------------
function showLegend() {
  legend.replaceChildren();
  const { set } = host, signs = ["■", "□", "▲", "◇"];
  if (set.groups.length < 2 || set.groups.length > LEGEND) return;
  set.groups.forEach((item, g) => {
    const button = document.createElement("button"), sign = document.createElement("span"), mean = document.createElement("span");
    button.type = "button";
    button.setAttribute("aria-pressed", String(host.picked === g));
    sign.textContent = signs[item.colour % 4];
    sign.style.color = host.palette.series[item.colour];
    mean.className = "n";
    mean.textContent = item.single ? withUnit(item.median, unitText(item.parameter.unit), 4) : `${item.members.length} values`;
    button.append(sign, ` ${item.name} `, mean);
    button.title = `${item.members.length} values; click to show only these`;
    button.addEventListener("click", () => pick(g));
    legend.append(button);
  });
}

// -- form, ranges, save ------------------------------------------------------------------------------------------------
function apply(again) {
  const state = stateOf();
  history.replaceState(null, "", `?${state}`);
  for (const link of document.querySelectorAll("a.export")) link.href = `${link.pathname}?${seriesQuery(state)}`;
  for (const link of document.querySelectorAll("a[data-view]")) {
    const query = new URLSearchParams(state);
    if (link.textContent === "browse") query.set("view", "browse");
    link.href = `${link.pathname}?${query}`;
  }
  $("#plot-title").firstChild.textContent = `${state.getAll("y").join(", ")} `;
  $("#plot-title span").textContent = `${state.get("mode") === "all" ? "all setups" : state.get("mode")}, ${state.get("from") ?? "begin"} to ${state.get("to") ?? "now"}`;
  form.elements.night.closest("label").classList.toggle("hidden", form.elements.show.value !== "night");
  if (again || !data) load(false); else show(false);
}

function shiftRange(months) {
  const to = form.elements.to.value ? new Date(form.elements.to.value) : new Date();
  if (months === null) form.elements.from.value = form.elements.to.value = "";
  else form.elements.from.value = new Date(to - months * 30.5 * 864e5).toISOString().slice(0, 10);
  apply(true);
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
  form.addEventListener("change", (event) => { if (form.reportValidity()) apply(![...VIEW, "split"].includes(event.target.name)); });
  form.addEventListener("submit", (event) => { event.preventDefault(); apply(true); });
  place.addEventListener("keydown", onKey);
  $("#png").addEventListener("click", savePng);
  $("#link").addEventListener("click", async () => {
    // With the dates as they are now: the default moves on with time.
    const state = stateOf(), query = new URLSearchParams(location.search);
    for (const name of ["zoom", "pick", "compare"]) if (query.has(name)) state.set(name, query.get(name));
    await navigator.clipboard.writeText(`${location.origin}${location.pathname}?${state}`);
    $("#link").textContent = "Link copied";
  });
  let width = place.clientWidth;
  new ResizeObserver(() => {
    if (!panels.length || place.clientWidth === width) return;
    width = place.clientWidth;
    panels.forEach((item) => item.plot.setSize({ width, height: place.clientHeight / panels.length }));
  }).observe(place);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readPalette(); if (data) show(true); });
  // New values came in: they are added to what is looked at.
  document.addEventListener("refreshed", () => {
    if (!place.isConnected || $("#newest")?.dataset.newest === newest) return;
    newest = $("#newest")?.dataset.newest;
    load(true);
  });
  load(true);
}

function savePng() {
  const sources = [...place.querySelectorAll("canvas")], canvas = document.createElement("canvas"), head = 28 * devicePixelRatio;
  canvas.width = sources[0].width; canvas.height = sources.reduce((sum, source) => sum + source.height, head);
  const ctx = canvas.getContext("2d");
  ctx.fillStyle = host.palette.panel; ctx.fillRect(0, 0, canvas.width, canvas.height);
  ctx.fillStyle = host.palette.ink; ctx.font = `${14 * devicePixelRatio}px system-ui`;
  ctx.fillText($("#plot-title").textContent, 10 * devicePixelRatio, 19 * devicePixelRatio);
  let top = head;
  for (const source of sources) { ctx.drawImage(source, 0, top); top += source.height; }
  canvas.toBlob((blob) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob); link.download = `${place.dataset.table}_${form.elements.y.value}.png`; link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  });
}

prepare();
