// Running blocks report by themselves; when one begins or ends, the page is read again.
const EVERY = 2000, IDLE = 10000;

function words(seconds) {
  if (seconds == null) return "";
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  return `${Math.floor(seconds / 60)} min ${String(Math.round(seconds % 60)).padStart(2, "0")} s`;
}

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
  if (times) times.textContent = words(block.elapsed) + (block.expected ? ` of about ${words(block.expected)}` : "");
}

function poll(step) {
  const again = async () => {
    let wait = IDLE;
    if (!document.hidden) {
      try { wait = await step(); } catch { wait = IDLE; } // the service restarts: ask again later
    }
    setTimeout(again, wait);
  };
  setTimeout(again, EVERY);
}

async function read(address) {
  const response = await fetch(address);
  if (!response.ok) throw new Error(`status ${response.status}`);
  return response.json();
}

export function watchProgress() {
  const all = document.querySelector("#running");
  if (all) {
    const shown = new Set([...all.querySelectorAll(".run[data-name]")].map((item) => item.dataset.name));
    poll(async () => {
      const blocks = await read(all.dataset.poll);
      if (blocks.length !== shown.size || blocks.some((block) => !shown.has(block.name))) { location.reload(); return IDLE; }
      for (const block of blocks) show(all.querySelector(`[data-name="${CSS.escape(block.name)}"]`), block);
      return blocks.length ? EVERY : IDLE;
    });
  }
  const live = document.querySelector('meta[name="live"]');
  if (live) {
    const address = `/api/blocks/${encodeURIComponent(live.content)}`;
    const log = document.querySelector("#log");
    let state = null;
    poll(async () => {
      const block = await read(`${address}/progress`);
      const now = `${block.state} ${Object.keys(block.parts).length}`; // a block that is divided has other parts
      if (state !== null && now !== state) { location.reload(); return IDLE; }
      state = now;
      const place = document.querySelector(".run[data-name]");
      if (place) show(place, block);
      if (log && block.state === "running") {
        const response = await fetch(`${address}/log?tail=200`);
        if (response.ok) {
          const bottom = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
          log.textContent = await response.text();
          if (bottom) log.scrollTop = log.scrollHeight;
        }
      }
      return EVERY;
    });
  }
}
