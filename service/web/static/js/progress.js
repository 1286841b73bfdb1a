// Blocks that run report their progress, and the log of the one that is shown grows. Which blocks run is told by live.js.
import { blocksRun } from "./live.js";
import { duration } from "./words.js";

const EVERY = 2000;

function show(place, block) {
  for (const box of place.querySelectorAll("[data-part]")) {
    const part = block.parts[box.dataset.part];
    if (!part) continue;
    const bar = box.querySelector(".progress"), fraction = Math.round(100 * part.fraction);
    bar.firstElementChild.style.width = `${fraction}%`;
    bar.setAttribute("aria-valuenow", fraction);
    box.querySelector(".phase").textContent = part.phase;
  }
  const times = place.querySelector(".times") ?? place.closest("section")?.querySelector(".times");
  if (times) times.textContent = duration(block.elapsed) + (block.expected ? ` of about ${duration(block.expected)}` : "");
}

async function follow(log) {
  const response = await fetch(log.dataset.follow);
  if (!response.ok) return;
  const bottom = log.scrollHeight - log.scrollTop - log.clientHeight < 40, text = await response.text();
  if (log.textContent !== text) log.textContent = text;
  if (bottom) log.scrollTop = log.scrollHeight;
}

async function step() {
  const places = [...document.querySelectorAll(".run[data-name]")];
  if (document.hidden || !blocksRun() || !places.length) return;
  const response = await fetch("/api/blocks/running/progress");
  if (!response.ok) return;
  const blocks = new Map((await response.json()).map((block) => [block.name, block]));
  for (const place of places) if (blocks.has(place.dataset.name)) show(place, blocks.get(place.dataset.name));
  const log = document.querySelector("#log[data-follow]");
  if (log) await follow(log);
}

export function watchProgress() {
  const again = async () => {
    try { await step(); } catch { /* live.js says that the service is lost, and asks on */ }
    setTimeout(again, EVERY);
  };
  setTimeout(again, EVERY);
}
