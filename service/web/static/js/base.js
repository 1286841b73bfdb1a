// Every page: keyboard, tables, sparklines, orders, copy buttons; and it stays true while it is open.
import { live, refresh } from "./live.js";
import { sparklines } from "./spark.js";
import { watchProgress } from "./progress.js";
import { arrangeTables, prepareTables } from "./tables.js";

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

// -- keyboard ------------------------------------------------------------------------------------------------------
const GO = { h: "/", n: "/nights", q: "/qc1", d: "/docs" };
let pending = 0;
let current = null;

function moveRow(step) {
  const rows = $$("table.rows > tbody > tr:not(.hidden)");
  if (!rows.length) return;
  const at = current ? rows.indexOf(current) : -1;
  current?.classList.remove("at");
  current = rows[Math.min(Math.max(at + step, 0), rows.length - 1)];
  current.classList.add("at");
  current.scrollIntoView({ block: "nearest" });
}

function onKey(event) {
  const typing = event.target.closest("input, select, textarea, [contenteditable]");
  if (event.key === "Escape" && typing) { event.target.blur(); return; }
  if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
  if (Date.now() - pending < 1200 && GO[event.key]) { pending = 0; location.assign(GO[event.key]); return; }
  pending = 0;
  switch (event.key) {
    case "/": event.preventDefault(); $("#search").focus(); $("#search").select(); break;
    case "?": $("#help").showModal(); break;
    case "g": pending = Date.now(); break;
    case "j": moveRow(1); break;
    case "k": moveRow(-1); break;
    case "Enter": if (current && !event.target.closest("a, button, th")) $("a", current)?.click(); break;
    case "[": $("#before")?.click(); break;
    case "]": $("#after")?.click(); break;
  }
}

// -- the cascade: point at a block, see what was chosen for it ---------------------------------------------------------
function showChoices(box) {
  const graph = $("#graph"), out = $("#choices");
  out.dataset.silent ??= out.textContent;
  graph.classList.toggle("pick", Boolean(box));
  $$(".on", graph).forEach((item) => item.classList.remove("on"));
  if (!box) { out.textContent = out.dataset.silent; return; }
  box.classList.add("on");
  for (const path of $$("path", graph)) {
    const near = path.dataset.to === box.dataset.id || path.dataset.from === box.dataset.id;
    path.classList.toggle("on", near);
    if (near) for (const id of [path.dataset.to, path.dataset.from]) $(`.b[data-id="${id}"]`, graph)?.classList.add("on");
  }
  out.replaceChildren(...(box.dataset.choices || "needs no calibration").split("\n").map((text) => {
    const line = document.createElement("div");
    line.textContent = text;
    return line;
  }));
}

function prepareGraph() {
  for (const [on, off] of [["mouseover", "mouseout"], ["focusin", "focusout"]]) {
    document.addEventListener(on, (event) => { const box = event.target.closest?.("#graph .b"); if (box) showChoices(box); });
    document.addEventListener(off, (event) => { if (event.target.closest?.("#graph .b")) showChoices(null); });
  }
}

// -- orders: run again, cancel; asked once, with a reason that is kept -----------------------------------------------
function askFor(button) {
  $("#ask-text").textContent = button.dataset.ask;
  $("#ask-reason").required = "comment" in button.dataset;
  $("#ask-error").classList.add("hidden");
  const address = button.dataset.post;
  $("#ask-yes").onclick = async (event) => {
    event.preventDefault();
    if (!$("#ask-reason").reportValidity()) return;
    const body = JSON.stringify({ reason: $("#ask-reason").value });
    try {
      const response = await fetch(address, { method: "POST", headers: { "Content-Type": "application/json" }, body });
      if (response.ok) { $("#ask").close(); $("#ask-reason").value = ""; await refresh(); return; }
      const problem = await response.json();
      $("#ask-error").textContent = `${problem.detail} [${problem.request_id}]`;
    } catch {
      $("#ask-error").textContent = "The service does not answer; nothing was ordered.";
    }
    $("#ask-error").classList.remove("hidden");
  };
  $("#ask").showModal();
}

document.addEventListener("click", async (event) => {
  const order = event.target.closest("button.order"), copy = event.target.closest("button.copy");
  if (order) askFor(order);
  if (copy) {
    await navigator.clipboard.writeText(copy.dataset.copy);
    copy.textContent = "copied";
  }
});

document.addEventListener("refreshed", () => {
  arrangeTables();
  current?.classList.toggle("at", current.isConnected);
  sparklines();
});

document.documentElement.classList.add("js");
prepareTables();
prepareGraph();
sparklines();
watchProgress();
document.addEventListener("keydown", onKey);
const calendar = $(".calendar");
if (calendar) ($$(".week a", calendar).at(-1) ?? calendar).scrollIntoView({ block: "nearest", inline: "center" });
const log = $("#log");
if (log) log.scrollTop = log.scrollHeight;
live();
