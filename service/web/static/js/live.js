// A page that is left open stays true: the clock and ages run, and what changed in the archive is changed in place.
import { morph } from "./morph.js";
import { age, clock } from "./words.js";

const SAFETY = 30000; // whatever happens, a page is read again after this [ms]
const PATIENCE = { "application/json": 8000, "text/html": 20000 }; // what does not answer for so long is lost [ms]
const RETRY = 2000;

const $ = (selector) => document.querySelector(selector);
let offset = 0, token = null, readAt = 0, lostAt = null, busy = null, timer = 0, working = false, answered = Date.now();

const serverNow = () => Date.now() + offset;

function tick() {
  const now = serverNow();
  const here = $("[data-clock]");
  if (here) here.textContent = `${clock(now)} UT`;
  for (const item of document.querySelectorAll("time[data-ago]")) {
    const text = `${age((now - Date.parse(item.dateTime)) / 1000)} ago`;
    if (item.textContent !== text) item.textContent = text;
  }
}

// -- what the service says -----------------------------------------------------------------------------------------
async function ask(address, kind) {
  const response = await fetch(address, { cache: "no-store", headers: { Accept: kind }, signal: AbortSignal.timeout(PATIENCE[kind]) });
  if (response.status >= 500 || response.status === 429) throw new Error(`it answers with status ${response.status}`);
  return response;
}

function lost(error) {
  lostAt ??= answered;
  const why = error.name === "TimeoutError" ? "it does not answer" : error instanceof TypeError ? "it cannot be reached" : error.message;
  $("#lost-text").textContent = `The service is lost: ${why}. This page is as it was at ${clock(lostAt + offset)} UT.`;
  $("#lost-service").classList.remove("hidden");
}

function found() {
  answered = Date.now();
  if (lostAt === null) return false;
  lostAt = null;
  $("#lost-service").classList.add("hidden");
  return true;
}

// Reads this very page again and changes it in place; what a person does meanwhile is not disturbed.
export function refresh() {
  busy ??= readAgain().finally(() => { busy = null; });
  return busy;
}

async function readAgain() {
  const response = await ask(location.href, "text/html");
  const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
  const active = document.activeElement;
  for (const id of ["alarms", "main"]) {
    const old = document.getElementById(id), next = fresh.getElementById(id);
    if (old && next) morph(old, next);
  }
  if (document.title !== fresh.title) document.title = fresh.title;
  readAt = Date.now();
  document.dispatchEvent(new CustomEvent("refreshed"));
  if (active !== document.activeElement && active?.isConnected) active.focus({ preventScroll: true });
  tick();
}

async function step() {
  const state = await (await ask("/live", "application/json")).json();
  offset = state.now * 1000 - Date.now();
  working = state.running > 0;
  const changed = token !== null && state.token !== token;
  const back = found();
  for (const [name, moment] of Object.entries(state.times)) {
    for (const item of document.querySelectorAll(`time[data-ago="${CSS.escape(name)}"]`)) item.dateTime = moment;
  }
  if (changed || back || Date.now() - readAt > SAFETY) await refresh();
  token = state.token;
  return 1000 * state.wait;
}

async function loop() {
  clearTimeout(timer);
  let wait = RETRY;
  if (!document.hidden) {
    try { wait = await step(); } catch (error) { lost(error); }
  }
  timer = setTimeout(loop, wait);
}

export const blocksRun = () => working;

export function live() {
  const here = $("[data-clock]");
  if (!here) return; // an error page: nothing on it moves
  offset = Date.parse(here.dateTime) - Date.now();
  token = here.dataset.token;
  readAt = Date.now();
  setInterval(tick, 1000);
  tick();
  document.addEventListener("visibilitychange", () => { if (!document.hidden) loop(); });
  window.addEventListener("online", loop);
  loop();
}
