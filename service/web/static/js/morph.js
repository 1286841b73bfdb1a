// Changes a part of the page into another version of it, in place: what is the same stays the same element, so that
// focus, typed text, open details, selection and scroll are kept. `data-keep` marks what scripts or persons own, with the
// version that it was made for.
const KEPT = new Set(["open", "aria-sort"]);

const sameKind = (a, b) => a.nodeType === b.nodeType && a.nodeName === b.nodeName && (a.id ?? "") === (b.id ?? "");

// Things are known by what they are about: their key, the first thing that a row points at, the heading of a section.
function keyOf(node) {
  if (node.nodeType !== Node.ELEMENT_NODE) return null;
  if (node.id) return `#${node.id}`;
  if (node.dataset.key ?? node.dataset.name) return node.dataset.key ?? node.dataset.name;
  if (node.nodeName === "SECTION") return node.querySelector("h2")?.textContent ?? null;
  return node.nodeName === "TR" ? (node.querySelector("a[href]")?.getAttribute("href") ?? null) : null;
}

function morphAttributes(old, fresh) {
  for (const { name, value } of fresh.attributes) {
    if (!KEPT.has(name) && old.getAttribute(name) !== value) old.setAttribute(name, value);
  }
  for (const { name } of [...old.attributes]) {
    if (!KEPT.has(name) && !fresh.hasAttribute(name)) old.removeAttribute(name);
  }
}

function morphChildren(old, fresh) {
  const keyed = new Map();
  for (const child of old.childNodes) {
    const key = keyOf(child);
    if (key !== null && !keyed.has(key)) keyed.set(key, child);
  }
  const wanted = new Set([...fresh.childNodes].map(keyOf));
  let at = old.firstChild;
  for (const child of [...fresh.childNodes]) {
    const key = keyOf(child);
    // What is about something that is gone makes room for what is about something else.
    while (at && keyOf(at) !== null && !wanted.has(keyOf(at))) { const gone = at; at = at.nextSibling; gone.remove(); }
    let match = null;
    if (key !== null) {
      match = keyed.get(key) ?? null;
      keyed.delete(key);
      if (match && !sameKind(match, child)) match = null;
    } else if (at && keyOf(at) === null && sameKind(at, child)) match = at;
    if (!match) { old.insertBefore(document.importNode(child, true), at); continue; }
    if (match === at) at = at.nextSibling; else old.insertBefore(match, at);
    morph(match, child);
  }
  while (at) { const gone = at; at = at.nextSibling; gone.remove(); }
}

export function morph(old, fresh) {
  if (old.nodeType !== Node.ELEMENT_NODE) {
    if (old.nodeValue !== fresh.nodeValue) old.nodeValue = fresh.nodeValue;
    return;
  }
  if ((old.hasAttribute("data-keep") && old.dataset.keep === fresh.dataset.keep) || old.isEqualNode(fresh)) return;
  const tail = old.hasAttribute("data-tail") && old.scrollHeight - old.scrollTop - old.clientHeight < 40;
  morphAttributes(old, fresh);
  morphChildren(old, fresh);
  if (tail) old.scrollTop = old.scrollHeight;
}
