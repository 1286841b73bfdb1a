// Every page: keyboard, sorting, filters, sparklines, progress of running blocks, copy buttons.
import { sparklines } from "./spark.js";
import { watchProgress } from "./progress.js";

const $ = (selector, root = document) => root.querySelector(selector);
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

// -- sorting: the address keeps it as sort=<table>.<column>.<direction> -------------------------------------------
function cellValue(row, column) {
  const cell = row.cells[column];
  const text = (cell?.dataset.v ?? cell?.textContent ?? "").trim().replace("−", "-");
  const plain = text.replace(/[\s ]/g, "");
  const number = plain !== "" && /^-?[\d.]+(e[-+]?\d+)?$/i.test(plain) ? Number(plain) : NaN;
  return Number.isNaN(number) ? text.toLowerCase() : number;
}

function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  if (typeof a === "number") return 1;
  if (typeof b === "number") return -1;
  return a < b ? -1 : a > b ? 1 : 0;
}

function sortTable(table, column, direction) {
  const body = table.tBodies[0];
  const rows = [...body.rows].map((row, order) => ({ row, order, value: cellValue(row, column) }));
  rows.sort((a, b) => direction * compare(a.value, b.value) || a.order - b.order);
  body.append(...rows.map((item) => item.row));
  for (const head of table.tHead.rows[0].cells) head.removeAttribute("aria-sort");
  table.tHead.rows[0].cells[column].setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
}

function prepareSorting() {
  const tables = $$("table.sortable");
  const wanted = new URLSearchParams(location.search).get("sort")?.split(".").map(Number);
  tables.forEach((table, number) => {
    for (const head of $$("th[data-sort]", table)) {
      head.tabIndex = 0;
      const act = () => {
        const direction = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
        sortTable(table, head.cellIndex, direction);
        const address = new URL(location.href);
        address.searchParams.set("sort", `${number}.${head.cellIndex}.${direction}`);
        history.replaceState(null, "", address);
      };
      head.addEventListener("click", act);
      head.addEventListener("keydown", (event) => {
        if (event.key === "Enter" || event.key === " ") { event.preventDefault(); act(); }
      });
    }
    if (wanted && wanted[0] === number && table.tHead.rows[0].cells[wanted[1]]) sortTable(table, wanted[1], wanted[2] < 0 ? -1 : 1);
  });
}

// -- filters of long tables ----------------------------------------------------------------------------------------
function prepareFilters() {
  for (const input of $$("input.filter")) {
    input.classList.remove("hidden");
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      for (const table of $$(input.dataset.filter)) {
        let shown = 0;
        for (const row of table.tBodies[0].rows) {
          const fits = words.every((word) => row.textContent.toLowerCase().includes(word));
          row.classList.toggle("hidden", !fits);
          shown += fits;
        }
        table.closest("section")?.classList.toggle("hidden", shown === 0 && input.dataset.filter !== "#header");
      }
    });
  }
}

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
function prepareGraph() {
  const graph = $("#graph");
  if (!graph) return;
  const out = $("#choices");
  const silent = out.textContent;
  const show = (box) => {
    graph.classList.toggle("pick", Boolean(box));
    $$(".on", graph).forEach((item) => item.classList.remove("on"));
    if (!box) { out.textContent = silent; return; }
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
  };
  for (const box of $$(".b", graph)) {
    box.addEventListener("mouseenter", () => show(box));
    box.addEventListener("focus", () => show(box));
    box.addEventListener("mouseleave", () => show(null));
    box.addEventListener("blur", () => show(null));
  }
}

// -- orders: run again, cancel; asked once, with a reason that is kept -----------------------------------------------
function prepareOrders() {
  const ask = $("#ask");
  for (const button of $$("button.order")) {
    button.classList.remove("hidden");
    button.addEventListener("click", () => {
      $("#ask-text").textContent = button.dataset.ask;
      $("#ask-reason").required = "comment" in button.dataset;
      $("#ask-error").classList.add("hidden");
      $("#ask-yes").onclick = async (event) => {
        event.preventDefault();
        if (!$("#ask-reason").reportValidity()) return;
        const body = JSON.stringify({ reason: $("#ask-reason").value });
        const response = await fetch(button.dataset.post, { method: "POST", headers: { "Content-Type": "application/json" }, body });
        if (response.ok) { location.reload(); return; }
        const problem = await response.json();
        $("#ask-error").textContent = `${problem.detail} [${problem.request_id}]`;
        $("#ask-error").classList.remove("hidden");
      };
      ask.showModal();
    });
  }
}

function prepareCopy() {
  for (const button of $$("button.copy")) {
    button.classList.remove("hidden");
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(button.dataset.copy);
      button.textContent = "copied";
    });
  }
}

prepareSorting();
prepareFilters();
prepareGraph();
prepareCopy();
prepareOrders();
sparklines();
watchProgress();
document.addEventListener("keydown", onKey);
const calendar = $(".calendar");
if (calendar) ($$(".week a", calendar).at(-1) ?? calendar).scrollIntoView({ block: "nearest", inline: "center" });
const log = $("#log");
if (log) log.scrollTop = log.scrollHeight;
