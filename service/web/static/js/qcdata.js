// QC1 values as the plot needs them: sorted by x, in series of one element each, in panels of one physical unit.
import { extremes, median, panelled, robustRange, runningMedian, unitText } from "./qcstats.js";

export const INDEX = ["unit", "quadrant", "slice", "lamp", "exposure", "item"];
export const COLOURS = 7; // series are told apart by so many colours

// x against y: pairs of the same block and element; against time: the values as they are.
function pairs(data, xColumn, yColumns) {
  const order = data.parameters.map((item) => item.column);
  const wanted = order.map((column) => yColumns.includes(column));
  const found = [];
  if (xColumn === "time") {
    data.v.forEach((v, i) => { if (wanted[data.p[i]]) found.push({ i, x: data.t[i], y: v }); });
    return found;
  }
  const key = (names, i) => `${data.b[i]}|${names.map((name) => data[name]?.[i] ?? "").join("|")}`;
  const byKey = new Map(), number = order.indexOf(xColumn), axes = data.parameters[number].axes;
  data.v.forEach((v, i) => { if (data.p[i] === number) byKey.set(key(axes, i), v); });
  data.v.forEach((v, i) => {
    const x = wanted[data.p[i]] ? byKey.get(key(axes, i)) : undefined;
    if (x !== undefined) found.push({ i, x, y: v });
  });
  return found;
}

// What a value is shown as: itself, or against the median or a night of its own series.
function shownValues(raw, elements, nights, show, night) {
  if (show === "value") return raw;
  const y = raw.slice();
  for (const members of elements) {
    const centre = median(members.map((n) => raw[n]));
    // the reference is the last block up to the end of the night that is named
    const before = show === "night" ? members.filter((n) => nights[n] <= night) : [];
    const base = show === "night" ? (before.length ? raw[before.at(-1)] : NaN) : centre;
    for (const n of members) y[n] = show === "ratio" ? raw[n] / base : raw[n] - base;
  }
  return y;
}

function grouped(keys) {
  const groups = new Map();
  keys.forEach((key, n) => { const list = groups.get(key); if (list) list.push(n); else groups.set(key, [n]); });
  return groups;
}

function limitsOf(data, parameter, first) {
  const number = data.parameters.indexOf(parameter), rules = new Map();
  for (const item of data.bands) {
    if (item.p !== number || !first.has(item.b)) continue;
    if (!rules.has(item.rule)) rules.set(item.rule, []);
    rules.get(item.rule).push({ t: first.get(item.b), low: item.low, high: item.high, each: item.each });
  }
  for (const list of rules.values()) list.sort((a, b) => a.t - b.t);
  return rules;
}

function versionChanges(data, first) {
  const order = [...first].sort((a, b) => a[1] - b[1]);
  return order.flatMap(([b, t], n) => {
    const before = n ? data.blocks[order[n - 1][0]].version : null;
    return before !== null && before !== data.blocks[b].version ? [{ t, text: `recipe ${data.blocks[b].version}` }] : [];
  });
}

// `wanted`: x, y (columns), split, show (value, ratio, difference, night), night, log.
export function arrange(data, wanted) {
  const { split, log } = wanted;
  const xColumn = data.parameters.some((item) => item.column === wanted.x) ? wanted.x : "time";
  const points = pairs(data, xColumn, wanted.y).sort((a, b) => a.x - b.x);
  const at = points.map((point) => point.i), x = points.map((point) => point.x), raw = points.map((point) => point.y);
  const parameters = data.parameters.filter((item) => wanted.y.includes(item.column));
  const parameter = at.map((i) => parameters.indexOf(data.parameters[data.p[i]]));
  const block = (n) => data.blocks[data.b[at[n]]];
  const used = INDEX.filter((name) => data[name]), modes = new Set(at.map((i) => data.blocks[data.b[i]].mode));

  // An element is what one number is measured of: nothing that mixes elements is ever computed.
  const elementKeys = at.map((i, n) => `${parameter[n]}|${modes.size > 1 ? data.blocks[data.b[i]].mode : ""}|${used.map((name) => data[name][i] ?? "").join("|")}`);
  const elements = [...grouped(elementKeys).values()];
  const y = shownValues(raw, elements, at.map((i) => data.blocks[data.b[i]].night), wanted.show, wanted.night)
    .map((value) => (log ? (value > 0 ? Math.log10(value) : -Infinity) : value));

  const name = (i, n) => {
    const parts = parameters.length > 1 ? [parameters[parameter[n]].column] : [];
    const axes = split === "each" ? used : used.filter((column) => column === split);
    for (const column of axes) if (data[column][i] != null) parts.push(`${data.words[column]} ${data[column][i]}`);
    if (split === "mode" || (split === "each" && modes.size > 1)) parts.push(data.blocks[data.b[i]].mode || "no mode");
    return parts.join(split === "each" ? ", " : " ");
  };
  const names = at.map(name), byName = grouped(names);
  const order = [...byName.keys()].sort((a, b) => a.localeCompare(b, undefined, { numeric: true }));
  const whole = grouped(elementKeys);
  // The axis with few members gives the colour, so that all series of one port share one.
  const counts = used.map((column) => new Set(at.map((i) => data[column][i])).size);
  const tint = split === "each" && order.length > COLOURS ? used.filter((_, k) => counts[k] > 1 && counts[k] <= COLOURS).at(-1) : undefined;
  const stack = panelled(parameters.map((item, p) => [item, ...robustRange(y.filter((_, n) => parameter[n] === p))]));
  const t = at.map((i) => data.t[i]), group = new Int32Array(at.length);
  const groups = order.map((label, g) => {
    const members = byName.get(label), n = members[0], i = at[n];
    for (const member of members) group[member] = g;
    const single = whole.get(elementKeys[n]).length === members.length && members.every((member) => elementKeys[member] === elementKeys[n]);
    return {
      name: label, members, single, panel: stack.findIndex((panel) => panel.parameters.includes(parameters[parameter[n]])),
      element: Object.fromEntries(used.map((column) => [column, data[column][i]])),
      parameter: parameters[parameter[n]], colour: (tint ? data[tint][i] - 1 : g) % COLOURS,
      median: single ? median(members.map((member) => raw[member])) : NaN,
      running: single && xColumn === "time" ? runningMedian(members.map((member) => t[member]), members.map((member) => y[member])) : [],
    };
  });
  const first = new Map();
  data.b.forEach((b, i) => { if (!first.has(b)) first.set(b, data.t[i]); });
  const back = new Map(at.map((i, n) => [i, n]));
  const outliers = data.outliers.map((i) => back.get(i)).filter((n) => n !== undefined).sort((a, b) => a - b);
  const limits = new Map(parameters.map((item) => [item, limitsOf(data, item, first)]));
  const same = wanted.show === "value"; // limits are those of values
  const logged = (value) => (value == null || !log ? value : value > 0 ? Math.log10(value) : null);
  const panels = stack.map(({ unit, parameters: mine }, number) => {
    const members = [...parameter.keys()].filter((n) => mine.includes(parameters[parameter[n]]));
    const bands = same && mine.length === 1 ? [...limits.get(mine[0]).values()].map((list) => list.filter((item) => !item.each).map((item) => ({ t: item.t, low: logged(item.low), high: logged(item.high) }))) : [];
    const shownUnit = wanted.show === "ratio" ? "" : unitText(unit), title = mine.map((item) => item.column).join(", ");
    return { number, members, x: Float64Array.from(members, (n) => x[n]), parameters: mine, unit: shownUnit, bands,
      label: `${title}${{ ratio: " / median", difference: " − median", night: ` − night ${wanted.night}` }[wanted.show] ?? ""}${shownUnit ? ` [${shownUnit}]` : ""}`,
      yRange: robustRange(members.map((n) => y[n]), bands.flatMap((list) => list.flatMap((item) => [item.low, item.high]))) };
  });
  const [x0, x1] = x.length ? extremes(x) : [0, 1], margin = Math.max(0.02 * (x1 - x0 || 1), xColumn === "time" ? 0.5 : 0);
  const xParameter = data.parameters.find((item) => item.column === xColumn);
  return {
    x, y, raw, t, group, groups, elements, parameter, parameters, panels, limits, outliers, outlierSet: new Set(outliers), block, log, split, used, words: data.words,
    show: wanted.show, events: versionChanges(data, first), blocks: first.size, truncated: data.truncated, xName: xColumn,
    xLabel: xParameter ? `${xColumn}${xParameter.unit ? ` [${unitText(xParameter.unit)}]` : ""}` : "date [UT]", xUnit: xParameter ? unitText(xParameter.unit) : "",
    key: (n) => [block(n).name, parameters[parameter[n]].column, ...INDEX.map((column) => data[column]?.[at[n]] ?? "")].join("~"),
    number: (column, n) => data[column]?.[at[n]] ?? null,
    product: (n) => data.product[at[n]],
    where: (n) => INDEX.filter((column) => data[column]?.[at[n]] != null).map((column) => `${data.words[column]} ${data[column][at[n]]}`).join(", ") || "whole instrument",
    xRange: [x0 - margin, x1 + margin],
  };
}
