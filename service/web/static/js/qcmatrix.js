// All elements at a glance: units across, quadrants (or what else there is) down, a cell coloured by the score.
const MARKS = { bad: ["✕", "outlier now"], warn: ["▲", "outlier before"], good: ["✓", "good"], none: ["–", "not scored"] };

function verdict(set, members, scored) {
  const last = set.t[members.at(-1)];
  const marked = members.filter((n) => set.outlierSet.has(n));
  if (marked.some((n) => set.t[n] === last)) return "bad";
  return marked.length ? "warn" : scored ? "good" : "none";
}

// Draws the cells for what is between two times; `pick` is told the number of a series.
export function drawMatrix(place, set, text, pick, picked) {
  const [across, down] = set.used;
  place.replaceChildren();
  if (set.split !== "each" || !across || set.groups.length < 3) return;
  const columns = [...new Set(set.groups.map((item) => item.element[across]))].sort((a, b) => a - b);
  const rows = down ? [...new Set(set.groups.map((item) => item.element[down]))].sort((a, b) => a - b) : [null];
  const several = set.parameters.length > 1, head = document.createElement("tr");
  const cell = (name, content) => { const made = document.createElement(name); made.textContent = content; return made; };
  head.append(cell("th", `${down ? `${set.words[down]} \\ ` : ""}${set.words[across]}`), ...columns.map((number) => cell("th", number ?? "–")));
  const table = document.createElement("table");
  table.className = "matrix";
  table.createTHead().append(head);
  const body = table.createTBody(), found = new Map();
  set.groups.forEach((item, g) => {
    const key = `${item.parameter.column}|${down ? item.element[down] : null}|${item.element[across]}`;
    found.set(key, [...(found.get(key) ?? []), g]);
  });
  for (const parameter of set.parameters) {
    const scored = set.limits.get(parameter).size > 0;
    for (const row of rows) {
      const line = body.insertRow();
      line.append(cell("th", [several ? parameter.column : "", row ?? ""].filter(String).join(" ") || parameter.column));
      for (const column of columns) {
        const groups = found.get(`${parameter.column}|${row}|${column}`), made = line.insertCell();
        if (!groups) continue;
        const button = document.createElement("button"), members = groups.flatMap((g) => set.groups[g].members);
        const kind = verdict(set, members.sort((a, b) => set.t[a] - set.t[b]), scored);
        button.type = "button";
        button.className = `k-${kind}`;
        button.textContent = MARKS[kind][0];
        button.title = `${set.groups[groups[0]].name}: ${MARKS[kind][1]}, last ${text(members.at(-1))}, ${members.length} values`;
        button.setAttribute("aria-label", button.title);
        button.setAttribute("aria-pressed", String(groups.includes(picked)));
        button.dataset.groups = groups.join(",");
        button.addEventListener("click", () => pick(groups[0]));
        made.append(button);
      }
    }
  }
  place.append(table);
}

export function markPicked(place, picked) {
  for (const button of place.querySelectorAll("button")) button.setAttribute("aria-pressed", String(button.dataset.groups.split(",").map(Number).includes(picked)));
}
