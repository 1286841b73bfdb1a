// Tables: sorting by a click on a head, and filters. The address keeps the order as sort=<table>.<column>.<direction>.
const $$ = (selector, root = document) => [...root.querySelectorAll(selector)];

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
  if (rows.some((item, order) => item.order !== order)) body.append(...rows.map((item) => item.row));
  for (const head of table.tHead.rows[0].cells) head.removeAttribute("aria-sort");
  table.tHead.rows[0].cells[column].setAttribute("aria-sort", direction > 0 ? "ascending" : "descending");
}

const sortable = () => $$("table.sortable");

function sortBy(head) {
  const table = head.closest("table"), direction = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
  sortTable(table, head.cellIndex, direction);
  const address = new URL(location.href);
  address.searchParams.set("sort", `${sortable().indexOf(table)}.${head.cellIndex}.${direction}`);
  history.replaceState(null, "", address);
}

function applyFilter(input) {
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
}

// Order and filters as they were chosen; again after the page was changed in place.
export function arrangeTables() {
  const wanted = new URLSearchParams(location.search).get("sort")?.split(".").map(Number);
  sortable().forEach((table, number) => {
    for (const head of $$("th[data-sort]", table)) head.tabIndex = 0;
    if (wanted?.[0] === number && table.tHead.rows[0].cells[wanted[1]]) sortTable(table, wanted[1], wanted[2] < 0 ? -1 : 1);
  });
  for (const input of $$("input.filter")) if (input.value) applyFilter(input);
}

export function prepareTables() {
  arrangeTables();
  document.addEventListener("click", (event) => { const head = event.target.closest("table.sortable th[data-sort]"); if (head) sortBy(head); });
  document.addEventListener("keydown", (event) => {
    const head = (event.key === "Enter" || event.key === " ") && event.target.closest("table.sortable th[data-sort]");
    if (head) { event.preventDefault(); sortBy(head); }
  });
  document.addEventListener("input", (event) => { if (event.target.matches("input.filter")) applyFilter(event.target); });
}
