// The wall of alerts: loops of what is in sight, news from the stream, a word, a sound and a notification if wished.
import { token } from "./page.js";
import { Loops } from "./loops.js";

const AT_MOST_EVERY_MS = 2000;
const QUIET_MS = 60000; // after a sound or notification that was given, none for so long
const wall = document.getElementById("wall");
const loops = new Loops();
let toldAt = -Infinity;

const wish = (name) => localStorage.getItem(`alfred-alert-${name}`) === "on";
const query = () => new URLSearchParams({ ...(wall.dataset.chosen ? { camera: wall.dataset.chosen } : {}), ...(wall.dataset.seen === "yes" ? { seen: "yes" } : {}) });
const cards = (root) => new Map([...root.querySelectorAll("[data-alert]")].map((card) => [card.dataset.alert, card]));

// Cards that are as they were stay as they are: their loops go on, and nothing moves under a finger or a focus.
function take(text) {
  const made = document.createElement("template");
  made.innerHTML = text;
  const before = cards(wall), after = cards(made.content);
  after.forEach((card, key) => { const old = before.get(key); if (old?.dataset.state === card.dataset.state) card.replaceWith(old); });
  const focused = document.activeElement;
  wall.replaceChildren(made.content);
  if (focused && wall.contains(focused)) focused.focus();
  loops.watch(wall);
  return [...after.keys()].filter((key) => !before.has(key)).map((key) => after.get(key));
}

let asking = false, again = false;
async function look() {
  if (asking) { again = true; return; }
  asking = true;
  try {
    const response = await fetch(`${wall.dataset.wall}?${query()}`, { headers: { "HX-Request": "true" } });
    if (response.ok) tell(take(await response.text()));
  } catch { /* the stream comes back, and with it the next look */ }
  setTimeout(() => { asking = false; if (again) { again = false; look(); } }, AT_MOST_EVERY_MS);
}

// The cooldown counts from what was really given: who has both switched off uses none up.
function tell(fresh) {
  if (!fresh.length) return;
  const words = `${wall.dataset.newAlert}: ${[...new Set(fresh.map((card) => card.dataset.where))].join(", ")}`;
  document.querySelector("[data-told]").textContent = words;
  if (performance.now() - toldAt < QUIET_MS) return;
  const sounded = wish("sound") && sound();
  const notified = wish("notify") && notify(words);
  if (sounded || notified) toldAt = performance.now();
}

let audio = null;
function sound() {
  try {
    audio ??= new AudioContext();
    const [tone, volume] = [audio.createOscillator(), audio.createGain()];
    tone.frequency.value = 660;
    volume.gain.setValueAtTime(0.15, audio.currentTime);
    volume.gain.exponentialRampToValueAtTime(0.001, audio.currentTime + 0.6);
    tone.connect(volume).connect(audio.destination);
    tone.start();
    tone.stop(audio.currentTime + 0.6);
    return audio.state === "running";
  } catch { return false; }
}

function notify(words) {
  if (!("Notification" in window) || Notification.permission !== "granted") return false;
  new Notification("ALFred", { body: words, tag: "alfred-alert" });
  return true;
}

function keep(box, name, begin) {
  box.checked = wish(name);
  box.addEventListener("change", async () => {
    if (box.checked && !(await begin())) { box.checked = false; document.querySelector("[data-told]").textContent = wall.dataset.cant; }
    localStorage.setItem(`alfred-alert-${name}`, box.checked ? "on" : "off");
  });
}
keep(document.querySelector("[data-sound]"), "sound", async () => { sound(); return true; });
keep(document.querySelector("[data-notify]"), "notify", async () => "Notification" in window && (await Notification.requestPermission()) === "granted");

wall.addEventListener("submit", async (e) => {
  const form = e.target.closest("[data-acknowledge]");
  if (!form) return;
  e.preventDefault();
  const body = new URLSearchParams({ ...Object.fromEntries(new FormData(form)), camera: wall.dataset.chosen });
  const response = await fetch(`${form.action}?${query()}`, { method: "POST", body, headers: { "X-CSRFToken": token(), "HX-Request": "true" } }).catch(() => null);
  if (response?.ok) take(await response.text()); else form.submit();
});

let stream = null;
let opened = false;
function listen() {
  stream = new EventSource(`${wall.dataset.stream}?${query()}`);
  stream.addEventListener("alerts", look);
  stream.addEventListener("open", () => { if (opened) look(); opened = true; }); // what came while it was away
}
listen();
addEventListener("pagehide", () => stream.close());
addEventListener("pageshow", (e) => { if (e.persisted) listen(); });
loops.watch(wall);
