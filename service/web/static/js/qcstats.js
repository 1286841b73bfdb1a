// Numbers about values: medians, ranges, how numbers and times of an axis are written. No drawing, no page.
const UNITS = { count: "e⁻", Angstrom: "Å", deg: "°", degC: "°C" };
const WINDOW = 15; // values of a running median, in blocks

const RAISED = "⁰¹²³⁴⁵⁶⁷⁸⁹";
const power = (_, sign, digits) => `10${sign ? "⁻" : ""}${[...digits].map((digit) => RAISED[digit]).join("")} `;

export const unitText = (unit) => UNITS[unit] ?? unit.replaceAll("Angstrom", "Å").replaceAll("count", "e⁻").replace(/10\*\*\(?(-?)(\d+)\)?\*/, power).replaceAll("**2", "²");

export function format(value, digits = 5) {
  if (value == null || Number.isNaN(value)) return "–";
  const size = Math.abs(value);
  let text;
  if (Number.isInteger(value) && size < 1e6) text = String(value);
  else if (size !== 0 && (size < 1e-3 || size >= 1e6)) text = value.toExponential(digits - 1).replace(/\.?0+e/, "e");
  else text = String(Number(value.toPrecision(digits)));
  return text.replace("-", "−");
}

export const withUnit = (value, unit, digits = 5) => `${format(value, digits)}${unit ? ` ${unit}` : ""}`;

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

// Scatter as the standard deviation of a normal distribution with the same median deviation.
export function scatter(values) {
  const centre = median(values);
  return 1.4826 * median(values.map((value) => Math.abs(value - centre)));
}

export const extremes = (values) => values.reduce((range, value) => [Math.min(range[0], value), Math.max(range[1], value)], [Infinity, -Infinity]);

// Median of each block, then the median of a window of blocks around each.
export function runningMedian(times, values) {
  const blocks = new Map();
  times.forEach((t, i) => { const key = Math.round(t * 1e3); if (!blocks.has(key)) blocks.set(key, [t, []]); blocks.get(key)[1].push(values[i]); });
  const points = [...blocks.values()].map(([t, list]) => [t, median(list)]);
  const half = WINDOW >> 1;
  return points.length < 3 ? [] : points.map(([t], i) => [t, median(points.slice(Math.max(0, i - half), i + half + 1).map((point) => point[1]))]);
}

// Where most values are: five times the scatter around the median, which wild values do not move; limits widen it a little.
export function robustRange(values, limits = []) {
  const sorted = Float64Array.from(values.filter(Number.isFinite)).sort();
  if (!sorted.length) return [0, 1];
  const at = (f) => sorted[Math.round(f * (sorted.length - 1))];
  const centre = at(0.5), spread = Math.max(centre - at(0.16), at(0.84) - centre) || Math.abs(at(0.95) - at(0.05)) || 0;
  let low = spread ? Math.max(sorted[0], centre - 5 * spread) : sorted[0], high = spread ? Math.min(sorted.at(-1), centre + 5 * spread) : sorted.at(-1);
  const room = 0.5 * (high - low);
  for (const value of limits) {
    if (value != null && value > low - room && value < high + room) { low = Math.min(low, value); high = Math.max(high, value); }
  }
  const margin = 0.06 * (high - low || Math.abs(high) || 1);
  return [low - margin, high + margin];
}

// Marks of a logarithmic axis: `low` and `high` are logarithms, and so are the marks.
export function decades(low, high) {
  const found = [];
  if (high - low < 0.9) { // less than a decade: round numbers at even steps
    const [first, last] = [10 ** low, 10 ** high], rough = (last - first) / 5, size = 10 ** Math.floor(Math.log10(rough));
    const step = size * ([1, 2, 5, 10].find((digit) => digit * size >= rough) ?? 10);
    for (let mark = Math.ceil(first / step) * step; mark <= last; mark += step) found.push(Math.log10(mark));
    return found;
  }
  for (let power = Math.floor(low); power <= Math.ceil(high); power += 1) {
    for (const digit of high - low > 4 ? [1] : [1, 2, 5]) { const mark = power + Math.log10(digit); if (mark >= low && mark <= high) found.push(mark); }
  }
  return found;
}

// Which parameters share a panel: those of one unit whose values lie near each other; each as [parameter, low, high].
export function panelled(ranges) {
  const panels = [];
  for (const [item, low, high] of ranges) {
    const fits = panels.find((panel) => panel.unit === item.unit && Math.max(panel.high, high) - Math.min(panel.low, low) <= 4 * Math.max(panel.high - panel.low, high - low));
    if (fits) { fits.parameters.push(item); fits.low = Math.min(fits.low, low); fits.high = Math.max(fits.high, high); }
    else panels.push({ unit: item.unit, parameters: [item], low, high });
  }
  return panels;
}
