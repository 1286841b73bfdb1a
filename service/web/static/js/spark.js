// Small curves beside a number, read when they come into view.
const W = 120, H = 20;
const SVG = "http://www.w3.org/2000/svg";

function draw(place, data) {
  if (data.t.length < 2) { place.textContent = data.t.length ? "one value" : ""; place.classList.add("muted"); return; }
  const sorted = [...data.v].sort((a, b) => a - b);
  // One wild value must not flatten the rest: the scale follows the inner 96 per cent.
  const low = sorted[Math.floor(0.02 * (sorted.length - 1))], high = sorted[Math.ceil(0.98 * (sorted.length - 1))];
  const t0 = data.t[0], span = data.t.at(-1) - t0 || 1, range = high - low || Math.abs(high) || 1;
  const x = (t) => 2 + ((W - 6) * (t - t0)) / span;
  const y = (v) => H - 3 - (H - 6) * Math.min(Math.max((v - low) / range, -0.1), 1.1);
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${W} ${H}`);
  svg.setAttribute("class", "spark");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", data.t.map((t, i) => `${i ? "L" : "M"}${x(t).toFixed(1)} ${y(data.v[i]).toFixed(1)}`).join(""));
  const end = document.createElementNS(SVG, "circle");
  end.setAttribute("cx", x(data.t.at(-1)).toFixed(1));
  end.setAttribute("cy", y(data.v.at(-1)).toFixed(1));
  end.setAttribute("r", "2");
  const title = document.createElementNS(SVG, "title");
  title.textContent = `${data.t.length} blocks, ${low.toPrecision(4)} to ${high.toPrecision(4)}`;
  svg.append(title, path, end);
  place.replaceChildren(svg);
}

async function load(place) {
  const response = await fetch(place.dataset.spark);
  if (response.ok) draw(place, await response.json());
  else place.textContent = "–";
}

export function sparklines() {
  const places = document.querySelectorAll("[data-spark]:not([data-drawn])");
  if (!places.length) return;
  const queue = [];
  let busy = 0;
  const next = async () => {
    if (busy >= 3 || !queue.length) return;
    busy += 1;
    try { await load(queue.shift()); } finally { busy -= 1; next(); }
  };
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      watcher.unobserve(entry.target);
      queue.push(entry.target);
      next();
    }
  }, { rootMargin: "100px" });
  places.forEach((place) => { place.dataset.drawn = ""; watcher.observe(place); });
}
