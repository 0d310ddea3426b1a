// Wires the pages: the player, answers by key, live progress, charts. No inline code anywhere (strict CSP).
import { Player } from "./player.js";
import { drawCharts } from "./charts.js";
import { drawScores } from "./scores.js";

let player = null;
let shownAt = performance.now();

function token() {
  return JSON.parse(document.body.getAttribute("hx-headers"))["X-CSRFToken"];
}

function say(text, kind = "error") {
  const p = document.createElement("p");
  p.className = `notice ${kind}`;
  p.textContent = text;
  document.getElementById("notices").replaceChildren(p);
}

function openPlayer() {
  const root = document.querySelector("[data-player]");
  if (player && player.root === root) return;
  if (player) player.stop();
  player = root ? new Player(root) : null;
  shownAt = performance.now();
  if (player) player.load();
}

document.addEventListener("alfred:loaded", (e) => {
  const line = document.querySelector("[data-people]");
  const asked = e.detail.people.filter((p) => p.asked).map((p) => p.name);
  if (line) line.textContent = `${e.detail.people.length} in view · asked: ● ${asked.join(", ")}`;
  const at = parseFloat(new URLSearchParams(location.hash.slice(1)).get("t"));
  if (at > 0) goTo(at); // a link to a moment of a recording: #t=12.3
});

// Answers. A failed request keeps the form with its key, so pressing again writes once.
document.addEventListener("click", (e) => {
  const button = e.target.closest("[data-answer]");
  if (button) {
    button.form.elements.answer.value = button.dataset.answer;
    button.form.elements.active_ms.value = Math.round(Math.min(performance.now() - shownAt, 600000));
    button.classList.add("chosen");
  }
  if (e.target.closest("[data-action=help]")) toggleHelp();
  const spot = e.target.closest("[data-seek-to]");
  if (spot) goTo(parseFloat(spot.dataset.seekTo));
  const question = e.target.closest("[data-confirm]");
  if (question && !window.confirm(question.dataset.confirm)) e.preventDefault();
});
// A moment of the recording, from the list of people or the curve: stop there, with the stage in sight.
function goTo(seconds) {
  if (!player || !player.data) return;
  player.pause();
  player.go(seconds);
  player.root.scrollIntoView({ block: "nearest" });
}
document.addEventListener("alfred:seek", (e) => goTo(e.detail));
function failed() {
  document.querySelectorAll(".chosen").forEach((b) => b.classList.remove("chosen"));
  say("The server did not take this yet; nothing is lost. Press the key again.");
}
document.body.addEventListener("htmx:sendError", failed);
document.body.addEventListener("htmx:timeout", failed);
document.body.addEventListener("htmx:responseError", (e) => {
  if (e.detail.xhr.status === 403) say("Your session has ended. Sign in again in another tab, then press the key again.");
  else failed();
});
document.body.addEventListener("alfred:say", (e) => say(e.detail.text));
document.body.addEventListener("htmx:afterSwap", () => {
  if (document.querySelector("#review [data-event]")) document.getElementById("notices").replaceChildren();
  openPlayer();
  drawCharts();
  watchTables();
});

// Keys. Inactive while typing, composing, or with a modifier held.
const ANSWERS = { n: "normal", x: "normal", a: "anomaly", u: "unsure", s: "skip" };
const MOVES = { " ": "play", ",": "back", ".": "forth", ArrowLeft: "second-back", ArrowRight: "second-forth", "[": "slower", "]": "faster", v: "zoom" };

function typing(e) {
  const t = e.target;
  return e.isComposing || t.isContentEditable || /^(TEXTAREA|SELECT)$/.test(t.tagName) || (t.tagName === "INPUT" && t.type !== "range");
}
document.addEventListener("keydown", (e) => {
  if (typing(e)) return;
  const key = e.key.length === 1 ? e.key.toLowerCase() : e.key;
  if (key === "z" && (e.ctrlKey || e.metaKey)) { e.preventDefault(); undo(); return; }
  if (e.ctrlKey || e.metaKey || e.altKey || e.repeat) return;
  const onButton = e.target.tagName === "BUTTON" || e.target.tagName === "A";
  if (MOVES[key] && player && !(key === " " && onButton)) { e.preventDefault(); player.act(MOVES[key]); }
  else if (!document.getElementById("review")) return;
  else if (ANSWERS[key]) document.querySelector(`[data-answer=${ANSWERS[key]}]:not(:disabled)`)?.click();
  else if (key === "z" || key === "Backspace") { e.preventDefault(); undo(); }
  else if (key === "?") toggleHelp();
});
function undo() { document.querySelector("[data-undo]")?.click(); }
function toggleHelp() { const help = document.getElementById("help"); if (help) help.hidden = !help.hidden; }

// One heartbeat renews the lease; closing the page gives it back at once.
function keepLease() {
  const review = document.getElementById("review");
  if (!review) return;
  setInterval(() => {
    if (review.querySelector("[data-event]")) fetch(review.dataset.heartbeat, { method: "POST", headers: { "X-CSRFToken": token() } }).catch(() => {});
  }, 30000);
  addEventListener("pagehide", () => {
    const form = new FormData();
    form.append("csrfmiddlewaretoken", token());
    navigator.sendBeacon(review.dataset.release, form);
  });
}

// Tables wider than the screen say so, and can be reached and moved by keyboard.
function watchTables() {
  const look = (box) => box.classList.toggle("overflows", box.scrollWidth > box.clientWidth + 1);
  const watch = new ResizeObserver((seen) => seen.forEach((s) => look(s.target)));
  document.querySelectorAll(".scroll").forEach((box) => { look(box); watch.observe(box); });
}

// Live pages: the stream says that something moved, the page asks for what it shows.
function listen() {
  document.querySelectorAll("[data-live]").forEach((place) => {
    const stream = new EventSource(place.dataset.live);
    stream.addEventListener("job", () => htmx.trigger(place, "alfred:job"));
    addEventListener("pagehide", () => stream.close());
  });
}

document.querySelectorAll("[data-submit-on-change]").forEach((s) => s.addEventListener("change", () => s.form.submit()));
openPlayer();
drawCharts();
drawScores();
watchTables();
keepLease();
listen();
