// One panel of the plot: the values of one physical unit on a uPlot frame, drawn by ourselves.
import uPlot from "../vendor/uplot/uPlot.esm.js";
import { decades, even, format, time } from "./qcstats.js";

const FONT = "13px system-ui";
const REACH = 18; // a point is under the cursor within so many pixels

// One path per point is slow for many: squares are filled rectangles.
function marker(ctx, shape, size) {
  const r = size / 2;
  switch (shape % 4) {
    case 0: return (x, y) => ctx.fillRect(x - r, y - r, size, size);
    case 1: return (x, y) => { ctx.strokeRect(x - r, y - r, size, size); };
    case 2: return (x, y) => { ctx.beginPath(); ctx.moveTo(x, y - r * 1.3); ctx.lineTo(x + r * 1.2, y + r); ctx.lineTo(x - r * 1.2, y + r); ctx.fill(); };
    default: return (x, y) => { ctx.beginPath(); ctx.moveTo(x, y - r * 1.4); ctx.lineTo(x + r * 1.4, y); ctx.lineTo(x, y + r * 1.4); ctx.lineTo(x - r * 1.4, y); ctx.closePath(); ctx.stroke(); };
  }
}

function timeSplits(u, narrow, low, high) {
  const width = u.bbox.width / devicePixelRatio;
  const steps = [1 / 96, 1 / 24, 0.125, 0.25, 0.5, 1, 2, 3, 5, 7, 10, 14, 20, 30.4375, 45, 61, 91.3, 182.6, 365.25, 730.5];
  const fits = (item) => Math.floor(high / item) - Math.ceil(low / item) < Math.max(2, Math.floor(width / (narrow ? (item < 1 ? 85 : 55) : 95)));
  const step = steps.find(fits) ?? steps.at(-1), found = [];
  for (let t = Math.ceil(low / step) * step; t <= high; t += step) found.push(t);
  return found;
}

function lower(x, value) {
  let low = 0, high = x.length;
  while (low < high) { const middle = (low + high) >> 1; if (x[middle] < value) low = middle + 1; else high = middle; }
  return low;
}

// `host` has what panels share: set, palette, picked, hovered, compared, and is told what a person does.
export class Panel {
  constructor(host, place, panel, height, last) {
    Object.assign(this, { host, panel, place, last, zoomedY: null });
    const { palette, set } = host, narrow = place.clientWidth < 560, isTime = set.xName === "time";
    const axis = { stroke: palette.muted, grid: { stroke: palette.line, width: 1 }, ticks: { stroke: palette.line, width: 1 }, font: FONT, labelFont: FONT, labelSize: 18 };
    const labels = set.log ? (u, splits) => splits.map((mark) => format(10 ** mark, 3)) : (u, splits) => even(splits);
    this.plot = new uPlot({
      width: place.clientWidth, height, padding: [12, this.named ? 12 + 7 * Math.max(...set.groups.map((item) => item.name.length)) : 40, 0, 4], legend: { show: false },
      cursor: { drag: { x: true, y: true, uni: 24, dist: 6, setScale: false }, points: { show: false }, x: false, y: false },
      scales: {
        x: { time: false, range: (u, low, high) => (low === high ? [low - 1, high + 1] : [low, high]) },
        y: { range: () => this.yRange() },
      },
      axes: [
        { ...axis, space: isTime ? Math.min(90, place.clientWidth / 5) : 60, label: last ? set.xLabel : undefined, splits: isTime ? (u, _, low, high) => timeSplits(u, narrow, low, high) : undefined,
          values: isTime ? (u, splits) => splits.map((t) => time(t, splits.length > 1 ? splits[1] - splits[0] : 1, narrow)) : (u, splits) => even(splits) },
        { ...axis, size: 66, label: panel.label, values: labels, splits: set.log ? (u, _, low, high) => decades(low, high) : undefined },
      ],
      series: [{}, { show: true, paths: () => null, points: { show: false } }],
      hooks: { drawClear: [() => this.drawBehind()], draw: [() => this.drawPoints()], setSelect: [() => this.select()], ready: [(u) => this.listen(u)] },
    }, [panel.x, panel.members.map((n) => set.y[n])], place);
  }

  // Whether the series are named beside the plot; in narrow windows the legend below must do.
  get named() {
    const { set } = this.host;
    return set.xName === "time" && set.groups.length > 1 && set.groups.length <= 4 && this.place.clientWidth >= 560 && set.groups.every((item) => item.single);
  }

  yRange() {
    const asked = this.host.limits(), [low, high] = this.zoomedY ?? this.host.robust(this.panel);
    return this.zoomedY ? [low, high] : [asked[0] ?? low, Math.max(asked[1] ?? high, (asked[0] ?? low) + 1e-12)];
  }

  show(x, y) {
    this.zoomedY = y;
    const [low, high] = this.yRange();
    this.plot.batch(() => { this.plot.setScale("x", { min: x[0], max: x[1] }); this.plot.setScale("y", { min: low, max: high }); });
    this.plot.redraw(false, true);
  }

  destroy() { this.plot.destroy(); }

  // -- drawing ------------------------------------------------------------------------------------------------------
  clip() {
    const { ctx, bbox } = this.plot;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
  }

  frame() {
    const { bbox, scales } = this.plot, kx = bbox.width / (scales.x.max - scales.x.min), ky = bbox.height / (scales.y.max - scales.y.min);
    const bottom = bbox.top + bbox.height, edge = 6 * devicePixelRatio;
    return { x0: scales.x.min, x1: scales.x.max, y0: scales.y.min, y1: scales.y.max, bottom,
      px: (x) => bbox.left + (x - scales.x.min) * kx,
      py: (y) => bottom - (y - scales.y.min) * ky,
      edged: (y) => Math.min(Math.max(bottom - (y - scales.y.min) * ky, bbox.top + edge), bottom - edge) };
  }

  drawBehind() {
    const { host, plot } = this, { ctx, bbox } = plot, { set, palette } = host, ratio = devicePixelRatio, { px, py, bottom } = this.frame();
    this.clip();
    if (set.xName === "time") {
      for (const band of host.bands(this.panel)) {
        // from one block to the next the limits hold as they were
        const low = [], high = [];
        band.forEach((item, i) => {
          const x0 = px(i ? item.t : item.t - 0.5), x1 = px(band[i + 1]?.t ?? item.t + 0.5);
          const top = item.high == null ? bbox.top : py(item.high), under = item.low == null ? bottom : py(item.low);
          high.push([x0, top], [x1, top]); low.push([x0, under], [x1, under]);
        });
        if (!high.length) continue;
        ctx.fillStyle = palette.band;
        ctx.beginPath();
        [...high, ...low.slice().reverse()].forEach(([x, y], i) => (i ? ctx.lineTo(x, y) : ctx.moveTo(x, y)));
        ctx.fill();
        ctx.strokeStyle = palette.good; ctx.lineWidth = ratio; ctx.setLineDash([4 * ratio, 4 * ratio]); ctx.globalAlpha = 0.55;
        for (const edge of [low, high]) { ctx.beginPath(); edge.forEach(([x, y], i) => (i ? ctx.lineTo(x, y) : ctx.moveTo(x, y))); ctx.stroke(); }
        ctx.setLineDash([]); ctx.globalAlpha = 1;
      }
      ctx.strokeStyle = palette.strong; ctx.fillStyle = palette.muted; ctx.lineWidth = ratio; ctx.font = `${12 * ratio}px system-ui`; ctx.textAlign = "left"; ctx.textBaseline = "alphabetic";
      for (const event of set.events) {
        const x = Math.round(px(event.t));
        ctx.beginPath(); ctx.moveTo(x, bbox.top); ctx.lineTo(x, bottom); ctx.stroke();
        if (this.panel.number === 0) ctx.fillText(event.text, x + 4 * ratio, bbox.top + 13 * ratio);
      }
    }
    ctx.restore();
  }

  drawPoints() {
    const { host, plot } = this, { ctx, bbox } = plot, { set, palette, picked } = host, ratio = devicePixelRatio, frame = this.frame();
    const { x0, x1, y0, y1, px, py, bottom } = frame, number = this.panel.members.length;
    const many = number > 4000, size = (many ? 2.6 : number > 400 ? 3.6 : 5) * ratio;
    this.clip();
    const order = [...set.groups.keys()].filter((g) => set.groups[g].panel === this.panel.number).sort((a, b) => (a === picked) - (b === picked));
    for (const g of order) {
      const item = set.groups[g], dim = picked !== null && picked !== g;
      ctx.fillStyle = ctx.strokeStyle = dim ? palette.strong : palette.series[item.colour];
      ctx.globalAlpha = dim ? 0.25 : many && picked !== g ? 0.6 : 0.9;
      ctx.lineWidth = ratio;
      if (item.single && set.xName === "time" && (picked === g || order.length <= 8)) this.line(item.members, frame);
      const draw = marker(ctx, many && picked !== g ? 0 : item.colour, picked === g ? Math.max(size, 5 * ratio) : size);
      for (const n of item.members) {
        const x = set.x[n], y = set.y[n];
        if (x < x0 || x > x1 || Number.isNaN(y)) continue;
        if (y <= y1 && y >= y0) draw(px(x), py(y)); else if (!dim) this.arrow(px(x), y > y1, size);
      }
    }
    ctx.globalAlpha = 1;
    for (const g of order) {
      const { running, colour } = set.groups[g];
      if (!running.length || (picked === null ? order.length > 8 : picked !== g)) continue;
      ctx.strokeStyle = palette.series[colour]; ctx.lineWidth = (picked === g || order.length === 1 ? 2.5 : 2) * ratio;
      ctx.beginPath();
      running.forEach(([t, v], i) => (i ? ctx.lineTo(px(t), py(v)) : ctx.moveTo(px(t), py(v))));
      ctx.stroke();
    }
    ctx.strokeStyle = ctx.fillStyle = palette.bad; ctx.lineWidth = 1.6 * ratio;
    for (const n of set.outliers) {
      if (set.groups[set.group[n]].panel !== this.panel.number || (picked !== null && set.group[n] !== picked) || set.x[n] < x0 || set.x[n] > x1) continue;
      const y = set.y[n], cx = px(set.x[n]), cy = frame.edged(y), r = 4 * ratio;
      if (y > y1 || y < y0) { this.arrow(cx, y > y1, 7 * ratio); continue; }
      ctx.beginPath(); ctx.moveTo(cx - r, cy - r); ctx.lineTo(cx + r, cy + r); ctx.moveTo(cx - r, cy + r); ctx.lineTo(cx + r, cy - r); ctx.stroke();
    }
    ctx.restore();
    if (this.named) this.labelMedians(bottom, bbox, py);
    this.placeRings();
  }

  // Points of one element are joined, not over a gap of three times the usual distance.
  line(members, { px, py }) {
    const { set } = this.host, { ctx } = this.plot, alpha = ctx.globalAlpha;
    const steps = members.slice(1).map((n, i) => set.x[n] - set.x[members[i]]).sort((a, b) => a - b), gap = 3 * (steps[steps.length >> 1] || 1);
    ctx.globalAlpha = 0.35 * alpha;
    ctx.beginPath();
    members.forEach((n, i) => (i && set.x[n] - set.x[members[i - 1]] <= gap ? ctx.lineTo(px(set.x[n]), py(set.y[n])) : ctx.moveTo(px(set.x[n]), py(set.y[n]))));
    ctx.stroke();
    ctx.globalAlpha = alpha;
  }

  // A point outside of what is shown: an arrow at the edge that it is beyond.
  arrow(x, up, size) {
    const { ctx, bbox } = this.plot, r = Math.max(size, 5 * devicePixelRatio), y = up ? bbox.top + 1 : bbox.top + bbox.height - 1, d = up ? 1 : -1;
    ctx.beginPath(); ctx.moveTo(x, y); ctx.lineTo(x - 0.7 * r, y + d * 1.4 * r); ctx.lineTo(x + 0.7 * r, y + d * 1.4 * r); ctx.closePath(); ctx.fill();
  }

  // The name of a series stands beside the end of its median, right of the frame.
  labelMedians(bottom, bbox, py) {
    const { host, plot: { ctx } } = this, ratio = devicePixelRatio;
    ctx.font = `${12 * ratio}px system-ui`; ctx.textAlign = "left"; ctx.textBaseline = "middle";
    const labels = host.set.groups.map((item, g) => ({ g, item, end: item.running.at(-1) })).filter(({ g, item, end }) => end && item.panel === this.panel.number && (host.picked === null || host.picked === g));
    let last = -Infinity;
    for (const { item, end } of labels.sort((a, b) => b.end[1] - a.end[1])) {
      const wanted = py(end[1]);
      if (wanted < bbox.top || wanted > bottom) continue;
      last = Math.max(wanted, last + 14 * ratio);
      ctx.fillStyle = host.palette.series[item.colour];
      ctx.fillText(item.name, bbox.left + bbox.width + 6 * ratio, last);
    }
  }

  // Rings around the points under the cursor and compared with, and the time of the cursor: elements of the page, so that
  // nothing is drawn again.
  placeRings() {
    const { host, plot: u } = this;
    for (const [name, n] of [["hovered", host.hovered], ["compared", host.compared]]) {
      let ring = u.over.querySelector(`.ring.${name}`);
      if (!ring) { ring = document.createElement("i"); ring.className = `ring ${name}`; u.over.append(ring); }
      const shown = n !== null && n >= 0 && host.set.groups[host.set.group[n]].panel === this.panel.number;
      ring.classList.toggle("hidden", !shown);
      if (!shown) continue;
      ring.style.left = `${u.valToPos(host.set.x[n], "x")}px`;
      ring.style.top = `${Math.min(Math.max(u.valToPos(host.set.y[n], "y"), 5), u.over.clientHeight - 5)}px`;
    }
  }

  placeCursor(x) {
    let line = this.plot.over.querySelector(".cross");
    if (!line) { line = document.createElement("i"); line.className = "cross"; this.plot.over.append(line); }
    line.classList.toggle("hidden", x === null);
    if (x !== null) line.style.left = `${this.plot.valToPos(x, "x")}px`;
  }

  // -- hover, click, zoom -------------------------------------------------------------------------------------------
  nearest(px, py) {
    const { panel, plot: u, host: { set, picked } } = this;
    const from = lower(panel.x, u.posToVal(px - REACH, "x")), to = lower(panel.x, u.posToVal(px + REACH, "x"));
    let best = -1, least = REACH * REACH;
    for (let i = from; i < to; i += 1) {
      const n = panel.members[i];
      if (picked !== null && set.group[n] !== picked) continue;
      const y = Math.min(Math.max(u.valToPos(set.y[n], "y"), 0), u.over.clientHeight); // beyond the edge: its arrow
      const dx = u.valToPos(set.x[n], "x") - px, dy = y - py, d = dx * dx + dy * dy;
      if (d < least) { least = d; best = n; }
    }
    return best;
  }

  select() {
    const u = this.plot, { left, top, width, height } = u.select;
    if (width < 6 && height < 6) return;
    const x = width >= 6 ? [u.posToVal(left, "x"), u.posToVal(left + width, "x")] : [u.scales.x.min, u.scales.x.max];
    const y = height >= 6 ? [u.posToVal(top + height, "y"), u.posToVal(top, "y")] : this.zoomedY;
    u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    this.host.zoom(x, this.panel.number, y);
  }

  listen(u) {
    let down = null;
    u.over.addEventListener("mousemove", (event) => {
      const box = u.over.getBoundingClientRect(), n = this.nearest(event.clientX - box.left, event.clientY - box.top);
      u.over.style.cursor = n >= 0 ? "pointer" : "crosshair";
      this.host.point(n, u.posToVal(event.clientX - box.left, "x"));
    });
    u.over.addEventListener("mouseleave", () => this.host.point(-1, null));
    u.over.addEventListener("dblclick", () => this.host.resetZoom());
    u.over.addEventListener("mousedown", (event) => { down = [event.clientX, event.clientY]; });
    u.over.addEventListener("click", (event) => {
      if (!down || Math.hypot(event.clientX - down[0], event.clientY - down[1]) > 4 || this.host.hovered < 0) return;
      if (event.shiftKey) this.host.compare(); else this.host.open();
    });
  }
}
