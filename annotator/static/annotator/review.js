// The review page: answer → the next event is on the stage at once; what was said follows to the server.
import { Player } from "./player.js";
import { forget, prefetch } from "./fetched.js";
import { Guide } from "./guide.js";
import { ownKeys } from "./keys.js";
import { Outbox, newKey } from "./outbox.js";
import { Parts } from "./parts.js";
import { html, say, token, toggleHelp } from "./page.js";
import { watchTouches } from "./touch.js";
import { showUpNext } from "./upnext.js";
import { filled, gettext, ngettext } from "./words.js";

const HEARTBEAT_MS = 30000;
const LOOK_AGAIN_MS = 5000;
const SAID = { normal: gettext("normal"), anomaly: gettext("anomaly"), unsure: gettext("unsure"), skip: gettext("skip") };
const inWords = (answers) => new Intl.ListFormat(document.documentElement.lang).format(answers.map((one) => SAID[one]));
const COUNT_UP_TO = 1000; // the server counts no further
const IDLE_MS = 5 * 60000;
const BREAK_AFTER_MS = 20 * 60000;
const PAUSE_MS = 120000; // who has not answered for so long has had a break
const PAST = 30; // screens kept to be shown again when an answer is taken back before it left
const root = document.getElementById("review");
const slot = root.querySelector("[data-slot]");
const side = root.querySelector("[data-side]");
const ahead = document.getElementById("ahead");
const help = document.getElementById("help");
let player = null;
let shownAt = performance.now();
let asking = null;
const keys = ownKeys();
const parts = new Parts(side, () => player);
const outbox = new Outbox(root.dataset.user, token, showUnsent, afterSent);
const past = [];

const current = () => slot.querySelector("[data-event]");
const isAnswered = (section) => outbox.waiting.some((entry) => entry.url === section.dataset.verdict);
const query = (more = []) => new URLSearchParams([...(root.dataset.camera ? [["camera", root.dataset.camera]] : []), ...more]);
const guide = new Guide(document.getElementById("guide"), current, ask);

// Screens.
function show(section) {
  player?.stop();
  slot.replaceChildren(section);
  const stage = section.querySelector("[data-player]");
  root.classList.toggle("nothing", !stage);
  side.querySelectorAll("button, select, input").forEach((control) => { if (!control.closest("[data-tail]")) control.disabled = !stage; });
  player = stage ? new Player(stage) : null;
  parts.reset();
  shownAt = performance.now();
  player?.load();
  guide.showIfChanged();
}

function showFetching() {
  const section = html('<section class="card narrow empty" data-empty><h2></h2><p data-waits></p></section>').firstElementChild;
  section.querySelector("h2").textContent = gettext("Fetching the next event…");
  show(section);
}

function showNext() {
  const next = ahead.querySelector("template");
  if (next) {
    next.remove();
    show(next.content.querySelector("[data-event]"));
    return;
  }
  showFetching();
  fetchNext();
}

function takeTail(content) {
  const tail = content.querySelector("[data-tail]");
  if (!tail) return;
  const before = side.querySelector("[data-tail]");
  const count = before.querySelector("[data-waiting]");
  if (count && !tail.querySelector("[data-waiting]")) tail.append(count);
  before.replaceWith(tail);
  keys.label(tail);
}

function showCount(left) {
  const line = side.querySelector("[data-waiting]");
  if (!line || left < 0) return;
  line.dataset.waiting = left;
  line.textContent = filled(left >= COUNT_UP_TO ? gettext("%(n)s or more in the queue") : gettext("%(n)s in the queue"), { n: left });
}

function said(words) {
  const line = side.querySelector("[data-tail] .undo");
  line.querySelectorAll("p, span").forEach((node) => node.remove());
  const button = line.querySelector("[data-undo]");
  button.hidden = false;
  if (!button.querySelector("kbd")) { button.innerHTML = '<kbd data-key="undo">Z</kbd> '; button.append(gettext("undo")); }
  keys.label(line);
  const text = document.createElement("span");
  text.className = "quiet";
  text.textContent = `${gettext("takes back your last answer,")} ${words}`;
  button.after(" ", text);
  const left = parseInt(side.querySelector("[data-waiting]")?.dataset.waiting ?? "-1");
  if (left < COUNT_UP_TO) showCount(left - 1);
}

// Answers.
function answer(value, kind = "") {
  const section = current();
  if (!section || !player?.data) return;
  const objection = parts.objection();
  if (objection) { say(objection); return; }
  document.getElementById("notices").replaceChildren();
  const entry = {
    key: newKey(), user: root.dataset.user, at: Date.now(), url: section.dataset.verdict,
    where: section.dataset.where, answer: value, words: inWords(parts.said(value) ?? [value]),
    fields: { answer: value, guide: section.dataset.guideVersion, active_ms: Math.round(Math.min(performance.now() - shownAt, 600000)), ...(kind ? { kind } : {}), ...parts.fields(value) },
  };
  past.push({ key: entry.key, section });
  if (past.length > PAST) forget(past.shift().section.querySelector("[data-player]"));
  guide.close(); // the next event may be another camera's
  performance.mark("alfred-answer");
  outbox.add(entry); // first: where the stage runs empty, the server is asked only after it has this answer
  showNext();
  flash(value);
  remindOfBreak();
  said(`${entry.where}: ${entry.words}`);
  const alike = side.querySelector("[data-alike]");
  alike.hidden = value !== "normal";
  alike.href = entry.url.replace("verdict/", "alike/");
}

// A gentle word after twenty minutes without a pause; no counting, no clock on the page.
let workingSince = performance.now();
let lastAnswerAt = performance.now();
function remindOfBreak() {
  const now = performance.now();
  if (now - lastAnswerAt > PAUSE_MS) workingSince = now;
  lastAnswerAt = now;
  if (now - workingSince < BREAK_AFTER_MS) return;
  workingSince = now;
  say(gettext("You have been judging for twenty minutes. A short look out of the window keeps the next answers as good."), "success");
}

function flash(value) {
  const button = side.querySelector(`[data-answer=${value}]`);
  button.classList.add("chosen");
  setTimeout(() => button.classList.remove("chosen"), 80);
}

let undoing = Promise.resolve(); // one after another: two at once would both take back the same answer
function undo() { undoing = undoing.then(takeBack, takeBack); }

async function takeBack() {
  const last = outbox.waiting.at(-1);
  const kept = past.findIndex((one) => one.key === last?.key);
  if (kept >= 0 && outbox.take(last.key)) {
    putBack();
    show(past.splice(kept, 1)[0].section);
    say(filled(gettext("Taken back: %(where)s: %(answer)s."), { where: last.where, answer: last.words }), "success");
    return;
  }
  if (outbox.waiting.length) { await outbox.flush(); if (outbox.waiting.length) { say(gettext("That answer is on its way; it can be taken back once the server has it.")); return; } }
  const response = await ask(root.dataset.undoAt, { method: "POST", body: query(), headers: { "X-CSRFToken": token() } });
  if (!response) return;
  const text = await response.text();
  if (response.status === 409) { say(text); return; }
  if (!response.ok) { failed(response); return; }
  const content = html(text);
  const section = content.querySelector("[data-event], [data-empty]");
  const before = past.findIndex((one) => one.section.dataset.event === section.dataset.event);
  if (before >= 0) past.splice(before, 1); // it may be fetched ahead again
  putBack();
  takeTail(content);
  show(section);
}

// An event that was fetched ahead and is not ours any more.
function drop(queued) {
  forget(queued.content.querySelector("[data-player]"));
  queued.remove();
}

// What is on the stage waits as the first of those ahead; of more than three the server gives the last away.
function putBack() {
  const section = current();
  if (!section) return;
  player?.stop();
  player = null;
  const held = document.createElement("template");
  held.dataset.queued = section.dataset.event;
  held.content.append(section);
  ahead.prepend(held);
  [...ahead.querySelectorAll("template")].slice(3).forEach(drop);
}

// Look-alikes of the last answer, once the server has it.
async function openAlike() {
  const link = side.querySelector("[data-alike]");
  if (!link || link.hidden) return;
  if (outbox.waiting.length) await outbox.flush();
  if (outbox.waiting.length) { say(gettext("Your last answer is on its way; try again when the server has it.")); return; }
  location.assign(link.href);
}
side.addEventListener("click", (e) => { if (e.target.closest("[data-alike]")) { e.preventDefault(); openAlike(); } });

// Asking the server.
async function ask(url, options = {}) {
  try { return await fetch(url, { ...options, headers: { Accept: "text/html", "HX-Request": "true", "X-Alfred-User": root.dataset.user, ...options.headers } }); }
  catch { waits(gettext("The server can't be reached. Your answers are kept here and sent when it is back.")); return null; }
}

function failed(response) {
  waits(response.status === 409 ? gettext("Another person has signed in in this browser. Sign in again yourself, or reload the page.")
    : response.status === 403 ? gettext("Your session has ended. Sign in again in another tab; your answers are kept here.") : gettext("The server did not answer; trying again."));
}

function waits(words) {
  const line = slot.querySelector("[data-waits]");
  if (line) line.textContent = words;
}

let asked = 0;
async function fetchNext() {
  clearTimeout(asking);
  const mine = ++asked; // what an older question brings may have been answered since
  if (outbox.waiting.length) await outbox.flush();
  if (current() || mine !== asked) return;
  asking = setTimeout(fetchNext, LOOK_AGAIN_MS);
  if (outbox.waiting.length) { waits(gettext("Your answers are kept here until the server is back.")); return; }
  const response = await ask(`${root.dataset.next}?${query()}`);
  if (!response || current() || mine !== asked) return;
  if (!response.ok) { failed(response); return; }
  const content = html(await response.text());
  if (current() || mine !== asked) return;
  takeTail(content);
  const section = content.querySelector("[data-event], [data-empty]");
  ahead.querySelector(`[data-queued="${section.dataset.event}"]`)?.remove();
  show(section);
  if (current()) { clearTimeout(asking); fetchAhead(); }
}

let fetching = false;
async function fetchAhead() {
  if (fetching || !current()) return;
  fetching = true;
  try {
    const have = [current(), ...ahead.querySelectorAll("template")].map((node) => ["have", node.dataset.event ?? node.dataset.queued]);
    const response = await ask(`${root.dataset.more}?${query(have)}`);
    if (!response?.ok) return;
    const content = html(await response.text());
    const mine = new Set([current()?.dataset.event, ...past.map((one) => one.section.dataset.event)]);
    content.querySelectorAll("template[data-queued]").forEach((one) => {
      if (mine.has(one.dataset.queued) || isAnswered(one.content.querySelector("[data-event]")) || ahead.querySelector(`[data-queued="${one.dataset.queued}"]`)) return;
      prefetch(one.content.querySelector("[data-player]"));
      ahead.append(one);
    });
    if (!current() && ahead.querySelector("template")) showNext();
    if (!outbox.waiting.length) takeTail(content);
  } finally { fetching = false; }
}

function afterSent(entry, outcome) {
  if (outcome === "refused") say(filled(gettext("Your answer for %(where)s was not taken: the event is no longer yours, or was not understood."), { where: entry.where }));
  if (!current() && !outbox.waiting.length) fetchNext();
  else if (ahead.querySelectorAll("template").length < 3) fetchAhead();
}

function showUnsent(count, why, refused) {
  const line = document.querySelector("[data-unsent]");
  const parts = [];
  if (count && why) parts.push(filled(ngettext("%(n)s answer waits to be sent.", "%(n)s answers wait to be sent.", count), { n: count }));
  if (count && why === "signed out") parts.push(gettext("Sign in again in another tab."));
  if (count && why === "another") parts.push(gettext("Another person has signed in in this browser; sign in again yourself."));
  if (refused) parts.push(filled(ngettext("%(n)s answer was not taken by the server.", "%(n)s answers were not taken by the server.", refused), { n: refused }));
  line.hidden = !parts.length;
  line.textContent = parts.join(" ");
  if (refused) {
    const button = document.createElement("button");
    button.className = "link";
    button.textContent = gettext("I have read this");
    button.addEventListener("click", () => outbox.forgetRefused());
    line.append(" ", button);
  }
}

// Keys and clicks.
function act(action) {
  if (["normal", "anomaly", "unsure", "skip"].includes(action)) answer(action);
  else if (action.startsWith("kind-")) { const kind = side.querySelectorAll("[data-kind]")[action.slice(5) - 1]; if (kind) answer("anomaly", kind.dataset.kind); }
  else if (action === "undo") undo();
  else if (action === "help") toggleHelp();
  else if (action === "comment") parts.comment();
  else if (action === "guide") guide.toggle();
  else if (action === "alike") openAlike();
  else if (action === "from" || action === "until") parts.trim(action);
  else player?.act(action);
}

document.addEventListener("keydown", (e) => {
  if (e.key === "Escape") { guide.close(); help.hidden = true; if (e.target.matches("select")) e.target.blur(); return; }
  const action = keys.action(e);
  if (!action) return;
  const onButton = e.target.tagName === "BUTTON" || e.target.tagName === "A" || e.target.tagName === "SUMMARY";
  if (onButton && (e.key === " " || e.key === "Enter")) return;
  e.preventDefault();
  act(action);
});
root.addEventListener("click", (e) => {
  const button = e.target.closest("[data-answer], [data-kind], [data-undo], [data-act]");
  if (!button) return;
  if (button.dataset.answer) answer(button.dataset.answer);
  else if (button.dataset.kind) answer("anomaly", button.dataset.kind);
  else if (button.dataset.act) act(button.dataset.act);
  else undo();
  if (matchMedia("(hover: hover)").matches) button.blur(); // so that the space bar plays, not answers again
});

watchTouches(slot, answer);

// Leases: one heartbeat renews all; what others have taken meanwhile is not shown any more. A page that nobody has
// touched for minutes lets go of its events.
let touchedAt = performance.now();
["keydown", "pointerdown", "pointermove", "touchstart", "wheel"].forEach((kind) => document.addEventListener(kind, () => {
  const away = performance.now() - touchedAt > IDLE_MS;
  touchedAt = performance.now();
  if (away) comeBack();
}, { capture: true, passive: true }));

async function comeBack() {
  await heartbeat();
  const section = current();
  if (!section || heldNow.has(section.dataset.event)) return;
  ahead.querySelectorAll("template").forEach(drop);
  showFetching();
  say(gettext("You were away, so your events went back to the queue."), "success");
  fetchNext();
}

let heldNow = new Set();
async function heartbeat() {
  if (!current() || performance.now() - touchedAt > IDLE_MS) return;
  try {
    const response = await fetch(root.dataset.heartbeat, { method: "POST", body: query(), headers: { "X-CSRFToken": token(), "X-Alfred-User": root.dataset.user, Accept: "application/json" } });
    if (!response.ok) return;
    const found = await response.json();
    const held = heldNow = new Set(found.held);
    guide.unseen = new Set(found.unseen);
    guide.showIfChanged();
    if (!outbox.waiting.length) showCount(found.waiting);
    ahead.querySelectorAll("template").forEach((one) => { if (!held.has(one.dataset.queued)) drop(one); });
    if (ahead.querySelectorAll("template").length < 3) fetchAhead();
  } catch { /* the next beat comes */ }
}
setInterval(heartbeat, HEARTBEAT_MS);
document.addEventListener("visibilitychange", () => { if (!document.hidden) heartbeat(); });
addEventListener("pagehide", () => {
  const form = new FormData();
  const mine = [current(), ...ahead.querySelectorAll("template")].map((node) => node?.dataset.event ?? node?.dataset.queued).filter(Boolean);
  if (!mine.length) return;
  form.append("csrfmiddlewaretoken", token());
  form.append("user", root.dataset.user);
  form.append("events", mine.join(","));
  navigator.sendBeacon(root.dataset.release, form);
});
addEventListener("pageshow", (e) => { if (e.persisted) location.reload(); });

// Nothing unsent is left behind unseen when signing out.
document.querySelector("form[action$='logout/']")?.addEventListener("submit", async (e) => {
  if (!outbox.waiting.length) return;
  e.preventDefault();
  await outbox.flush();
  const left = outbox.waiting.length;
  if (!left || confirm(filled(gettext("%(n)s of your answers could not be sent. They stay on this computer and are sent when you sign in here again. Sign out all the same?"), { n: left }))) e.target.submit();
});

document.addEventListener("alfred:loaded", (e) => {
  const asked = e.detail.people.filter((p) => p.asked);
  const line = slot.querySelector("[data-people]");
  if (line) line.textContent = filled(gettext("%(n)s in view · asked: ● %(names)s"), { n: e.detail.people.length, names: asked.map((p) => p.name).join(", ") });
  parts.offer(asked.map((p) => p.name));
  performance.mark("alfred-painted");
});

keys.label(document);
// After a reload the server, which lacks the answers that wait here, gives their events again.
outbox.open().then(() => {
  ahead.querySelectorAll("template").forEach((one) => { if (isAnswered(one.content.querySelector("[data-event]"))) one.remove(); });
  if (current() && isAnswered(current())) showNext();
});
showUpNext(ahead, root.querySelector("[data-upnext]"));
const first = slot.querySelector("[data-event], [data-empty]");
show(first);
heartbeat();
if (current()) fetchAhead(); else asking = setTimeout(fetchNext, LOOK_AGAIN_MS);
