// QC1 values as the plot needs them: sorted by x, in groups, with running medians. No drawing, no page.
const UNITS = { count: "e⁻", Angstrom: "Å", deg: "°", degC: "°C" };
const WINDOW = 15; // values of a running median, in blocks

export const unitText = (unit) => UNITS[unit] ?? unit.replace("Angstrom", "Å").replace("count", "e⁻");

export function format(value, digits = 5) {
  if (value == null || Number.isNaN(value)) return "–";
  const size = Math.abs(value);
  let text;
  if (Number.isInteger(value) && size < 1e6) text = String(value);
  else if (size !== 0 && (size < 1e-3 || size >= 1e6)) text = value.toExponential(digits - 1).replace(/\.?0+e/, "e");
  else text = String(Number(value.toPrecision(digits)));
  return text.replace("-", "−");
}

// Numbers of an axis with as many decimals as the steps between them need.
export function even(values) {
  const step = Math.min(...values.slice(1).map((value, i) => Math.abs(value - values[i])));
  const largest = Math.max(...values.map(Math.abs));
  if (!Number.isFinite(step) || step === 0 || largest >= 1e6 || step < 1e-5) return values.map((value) => format(value));
  let decimals = 0;
  while (decimals < 6 && Math.abs(step * 10 ** decimals - Math.round(step * 10 ** decimals)) > 1e-6 * step * 10 ** decimals) decimals += 1;
  return values.map((value) => value.toFixed(decimals).replace(/^-(?=0\.?0*$)/, "").replace("-", "−"));
}

export function time(mjd, step = 0, short = false) {
  const iso = new Date((mjd - 40587) * 864e5).toISOString();
  if (short && step >= 1) return step < 30 ? iso.slice(5, 10) : iso.slice(0, 7);
  if (step >= 1) return iso.slice(0, 10);
  return step > 0 ? iso.slice(5, 16).replace("T", " ") : iso.slice(0, 16).replace("T", " ");
}

export function median(values) {
  if (!values.length) return NaN;
  const sorted = Float64Array.from(values).sort();
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

// Median of each block, then the median of a window of blocks around each.
export function runningMedian(times, values) {
  const blocks = new Map();
  times.forEach((t, i) => { const key = Math.round(t * 1e3); if (!blocks.has(key)) blocks.set(key, [t, []]); blocks.get(key)[1].push(values[i]); });
  const points = [...blocks.values()].map(([t, list]) => [t, median(list)]);
  const half = WINDOW >> 1;
  return points.length < 3 ? [] : points.map(([t], i) => [t, median(points.slice(Math.max(0, i - half), i + half + 1).map((point) => point[1]))]);
}

export const INDEX = ["unit", "quadrant", "slice", "lamp", "exposure", "item"];

function keyOf(data, names, i) {
  return names.map((name) => data[name]?.[i] ?? "").join("|");
}

// x against y: pairs of the same block and element; against time: the values as they are.
function pairs(data, xColumn, yColumns) {
  const order = data.parameters.map((item) => item.column);
  if (xColumn === "time") {
    return data.v.map((v, i) => ({ i, x: data.t[i], y: v })).filter((point) => yColumns.includes(order[data.p[point.i]]));
  }
  const byKey = new Map(), axes = data.parameters[order.indexOf(xColumn)].axes, wanted = order.indexOf(xColumn);
  data.v.forEach((v, i) => { if (data.p[i] === wanted) byKey.set(`${data.b[i]}|${keyOf(data, axes, i)}`, v); });
  const found = [];
  data.v.forEach((v, i) => {
    if (!yColumns.includes(order[data.p[i]])) return;
    const x = byKey.get(`${data.b[i]}|${keyOf(data, axes, i)}`);
    if (x !== undefined) found.push({ i, x, y: v });
  });
  return found;
}

// Scale: the inner 99.8 per cent with a margin, and always the narrowest limits if they are near.
function range(values, extra = []) {
  if (!values.length) return [0, 1];
  const sorted = Float64Array.from(values).sort();
  const at = (f) => sorted[Math.min(sorted.length - 1, Math.max(0, Math.round(f * (sorted.length - 1))))];
  let low = at(0.001), high = at(0.999);
  const inner = at(0.95) - at(0.05) || Math.abs(high) * 0.1 || 1;
  // Wild values may double the scale, limits only widen it a little: neither may flatten the rest.
  for (const [list, room] of [[[sorted[0], sorted.at(-1)], 2.5 * inner], [extra, 0.5 * inner]]) {
    const [bottom, top] = [low - room, high + room];
    for (const value of list) {
      if (value != null && value > bottom && value < top) { low = Math.min(low, value); high = Math.max(high, value); }
    }
  }
  const margin = 0.06 * (high - low || Math.abs(high) || 1);
  return [low - margin, high + margin];
}

const withUnit = (item) => `${item.column}${item.unit ? ` [${unitText(item.unit)}]` : ""}`;

export function columns(data, xName, yColumns, split) {
  const xColumn = xName === "time" || !data.parameters.some((item) => item.column === xName) ? "time" : xName;
  const points = pairs(data, xColumn, yColumns).sort((a, b) => a.x - b.x);
  const x = points.map((point) => point.x), y = points.map((point) => point.y), at = points.map((point) => point.i);
  const shown = data.parameters.filter((item) => yColumns.includes(item.column));
  const parameter = at.map((i) => shown.indexOf(data.parameters[data.p[i]]));
  const block = (i) => data.blocks[data.b[at[i]]];

  const names = at.map((i, n) => {
    const parts = shown.length > 1 ? [shown[parameter[n]].column] : [];
    if (split === "mode") parts.push(data.blocks[data.b[i]].mode || "no mode");
    else if (split !== "none" && data[split]) parts.push(data[split][i] == null ? "" : `${data.words[split]} ${data[split][i]}`);
    return parts.join(" ");
  });
  const groups = [...new Set(names)].sort((a, b) => a.localeCompare(b, undefined, { numeric: true }));
  const index = new Map(groups.map((name, g) => [name, g]));
  const group = names.map((name) => index.get(name)), members = groups.map(() => []);
  group.forEach((g, i) => members[g].push(i));

  const back = new Map(at.map((i, n) => [i, n]));
  const outliers = data.outliers.map((i) => back.get(i)).filter((n) => n !== undefined).sort((a, b) => a - b);
  const first = new Map();
  data.b.forEach((b, i) => { if (!first.has(b)) first.set(b, data.t[i]); });
  const rules = new Map();
  if (shown.length === 1) {
    const number = data.parameters.indexOf(shown[0]);
    for (const item of data.bands) {
      if (item.p !== number || !first.has(item.b)) continue;
      if (!rules.has(item.rule)) rules.set(item.rule, []);
      rules.get(item.rule).push({ t: first.get(item.b), low: item.low, high: item.high });
    }
  }
  const bands = [...rules.values()].map((list) => list.sort((a, b) => a.t - b.t));
  const versions = [...first].sort((a, b) => a[1] - b[1]);
  const events = versions.flatMap(([b, t], n) => {
    const before = n ? data.blocks[versions[n - 1][0]].version : null;
    return before !== null && before !== data.blocks[b].version ? [{ t, text: `recipe ${data.blocks[b].version}` }] : [];
  });
  const rulesNow = [...rules].map(([rule, list]) => ({ rule, ...list.reduce((last, item) => (item.t >= last.t ? item : last)) }));
  const t = at.map((i) => data.t[i]);
  const limits = bands.flatMap((list) => list.flatMap((item) => [item.low, item.high]));
  const [x0, x1] = x.length ? [x[0], x.at(-1)] : [0, 1];
  const margin = Math.max(0.02 * (x1 - x0 || 1), xColumn === "time" ? 0.5 : 0);
  return {
    x, y, t, group, groups, members, parameter, shown, outliers, outlierSet: new Set(outliers), bands, rulesNow, events, block,
    blocks: first.size, truncated: data.truncated, xName: xColumn,
    xLabel: xColumn === "time" ? "" : withUnit(data.parameters.find((item) => item.column === xColumn)),
    xUnit: xColumn === "time" ? "" : unitText(data.parameters.find((item) => item.column === xColumn).unit),
    key: (n) => [block(n).name, shown[parameter[n]].column, ...INDEX.map((name) => data[name]?.[at[n]] ?? "")].join("~"),
    product: at.map((i) => data.product[i]),
    where: (n) => INDEX.filter((name) => data[name]?.[at[n]] != null).map((name) => `${data.words[name]} ${data[name][at[n]]}`).join(", ") || "whole instrument",
    medians: xColumn === "time" ? members.map((list) => runningMedian(list.map((i) => t[i]), list.map((i) => y[i]))) : [],
    xRange: [x0 - margin, x1 + margin], yRange: range(y, limits),
  };
}

// One path per point is slow for many: squares are filled rectangles.
export function marker(ctx, shape, size) {
  const r = size / 2;
  switch (shape) {
    case 0: return (x, y) => ctx.fillRect(x - r, y - r, size, size);
    case 1: return (x, y) => { ctx.strokeRect(x - r, y - r, size, size); };
    case 2: return (x, y) => { ctx.beginPath(); ctx.moveTo(x, y - r * 1.3); ctx.lineTo(x + r * 1.2, y + r); ctx.lineTo(x - r * 1.2, y + r); ctx.fill(); };
    default: return (x, y) => { ctx.beginPath(); ctx.moveTo(x, y - r * 1.4); ctx.lineTo(x + r * 1.4, y); ctx.lineTo(x, y + r * 1.4); ctx.lineTo(x - r * 1.4, y); ctx.closePath(); ctx.stroke(); };
  }
}
