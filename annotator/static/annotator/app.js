// Wires the pages but review (review.js): the player of a recording, live progress, charts. No inline code anywhere.
import { Player } from "./player.js";
import { drawCharts } from "./charts.js";
import { drawScores } from "./scores.js";
import { ownKeys } from "./keys.js";
import { toggleHelp } from "./page.js";
import { gettext } from "./words.js";

let player = null;

function openPlayer() {
  if (document.getElementById("review")) return;
  const root = document.querySelector("[data-player]");
  if (player && player.root === root) return;
  if (player) player.stop();
  player = root ? new Player(root) : null;
  if (player) player.load();
}

document.addEventListener("alfred:loaded", () => {
  const at = parseFloat(new URLSearchParams(location.hash.slice(1)).get("t"));
  if (at > 0) goTo(at); // a link to a moment of a recording: #t=12.3
});

document.addEventListener("click", (e) => {
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
document.body.addEventListener("htmx:afterSwap", () => {
  openPlayer();
  drawCharts();
  watchTables();
});

// Keys of a player outside the review page.
const MOVES = ["play", "back", "forth", "second-back", "second-forth", "slower", "faster", "view", "zoom", "trail"];
const keys = document.getElementById("keys") && ownKeys();
document.addEventListener("keydown", (e) => {
  const action = player && keys?.action(e);
  const onButton = e.target.tagName === "BUTTON" || e.target.tagName === "A";
  if (MOVES.includes(action) && !(onButton && (e.key === " " || e.key === "Enter"))) { e.preventDefault(); player.act(action); }
});

// Tables wider than the screen say so, and can be reached and moved by keyboard.
function watchTables() {
  const look = (box) => {
    box.classList.toggle("overflows", box.scrollWidth > box.clientWidth + 1);
    box.dataset.wide = gettext("Wider than the screen: scroll sideways →");
  };
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
listen();
