// The stage: skeletons drawn from numbers, over the video or a picture of the empty scene where the camera has one.

import { say, token } from "./page.js";
import { gettext } from "./words.js";

export const LIMBS = [
  [5, 7], [7, 9], [6, 8], [8, 10], [11, 13], [13, 15], [12, 14], [14, 16], [5, 6], [11, 12], [5, 11], [6, 12], [0, 5], [0, 6],
];
// Okabe and Ito's palette, told apart with every common colour vision.
export const COLOURS = ["#56b4e9", "#e69f00", "#009e73", "#f0e442", "#cc79a7", "#d55e00", "#0072b2", "#cccccc"];
const SPEEDS = [0.25, 0.5, 1, 1.5, 2, 4];
const HOLD_S = 0.2; // a gap up to this long is bridged, a longer one hides the person
const CHUNK_S = 20;
const TRAIL_S = 2;
const AGAIN_MS = 2000;

// As times stand in lists: 6:38.7
function minutes(seconds) {
  const tenths = Math.round(seconds * 10);
  return `${Math.floor(tenths / 600)}:${String(Math.floor((tenths % 600) / 10)).padStart(2, "0")}.${tenths % 10}`;
}

// Poses (and video) of events that come next, asked for while the present one is looked at.
const fetched = new Map();

async function json(url) {
  const response = await fetch(url, { headers: { Accept: "application/json" } });
  if (!response.ok) throw new Error(response.status);
  return response.json();
}

export function prefetch(root) {
  const { poses, video } = root.dataset;
  if (!fetched.has(poses)) { const asked = json(poses); asked.catch(() => fetched.delete(poses)); fetched.set(poses, asked); }
  if (video && !fetched.has(video)) {
    const asked = fetch(video).then((r) => { if (!r.ok) throw new Error(r.status); return r.blob(); }).then((blob) => URL.createObjectURL(blob));
    asked.catch(() => fetched.delete(video));
    fetched.set(video, asked);
  }
}

// Poses that were asked for already; null where they were not, or did not come.
export const fetchedPoses = async (url) => (await fetched.get(url)?.catch(() => null)) ?? null;

export function forget(root) {
  if (!root) return;
  fetched.get(root.dataset.video)?.then((url) => URL.revokeObjectURL(url), () => {});
  fetched.delete(root.dataset.poses);
  fetched.delete(root.dataset.video);
}

// Pictures of empty scenes, of the cameras seen last: a camera's events often follow each other.
const plates = new Map();
const PLATES = 4;

function plateAt(url) {
  if (!plates.has(url)) {
    const image = new Image();
    image.src = url;
    const opened = image.decode().then(() => image);
    opened.catch(() => plates.delete(url));
    plates.set(url, opened);
    if (plates.size > PLATES) plates.delete(plates.keys().next().value);
  }
  return plates.get(url);
}

export class Player {
  constructor(root) {
    this.root = root;
    this.ended = new AbortController();
    this.trimmed = [null, null];
    this.trail = localStorage.getItem("alfred-trail") === "on";
    this.ground = root.dataset.duration ? "video" : localStorage.getItem("alfred-ground") ?? "black";
    this.canvas = root.querySelector(".stage canvas");
    this.video = root.querySelector("video");
    this.strip = root.querySelector("[data-strip]");
    this.seek = root.querySelector("[data-seek]");
    this.note = root.querySelector("[data-note]");
    this.clock = root.querySelector("[data-time]");
    this.duration = parseFloat(root.dataset.duration || "0");
    this.speed = 1;
    this.playing = true;
    this.zoomed = !this.duration && !root.dataset.video;
    this.data = null;
    this.t = 0;
    this.stopped = false;
    this.reduced = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const { signal } = this.ended;
    root.addEventListener("click", (e) => this.act(e.target.closest("[data-action]")?.dataset.action), { signal });
    this.seek.addEventListener("input", () => this.go(this.start + (this.seek.value / 1000) * (this.end - this.start)), { signal });
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(this.canvas);
  }

  async load() {
    try {
      await this.fetchPoses(0);
    } catch (error) {
      if (this.stopped) return;
      const gone = /^4/.test(error.message); // the server says no: asking again would not help
      this.note.textContent = gone ? gettext("The poses could not be loaded. Reload the page to try again.") : gettext("Waiting for the server…");
      if (!gone) setTimeout(() => this.stopped || this.load(), AGAIN_MS);
      return;
    }
    if (this.stopped) return;
    this.start = this.duration ? 0 : this.data.start;
    this.end = this.duration || this.data.end;
    this.t = this.start;
    this.note.textContent = this.data.people.length ? "" : gettext("Nobody in view.");
    this.resize();
    this.lay();
    this.last = performance.now();
    if (this.reduced) this.pause();
    requestAnimationFrame((now) => this.tick(now));
    this.root.dispatchEvent(new CustomEvent("alfred:loaded", { bubbles: true, detail: this.data }));
  }

  async fetchPoses(start) {
    const { poses } = this.root.dataset;
    if (this.duration) this.data = await json(`${poses}?start=${start}&end=${start + CHUNK_S}`);
    else if (fetched.has(poses)) this.data = await fetched.get(poses);
    else { prefetch(this.root); this.data = await fetched.get(poses); } // kept: an answer taken back shows it again
  }

  // What lies under the poses: black, a floor grid, the empty scene or the video where there is one.
  get grounds() {
    const { plate, video, raw } = this.root.dataset;
    return ["black", "grid", ...(plate ? ["plate"] : []), ...(video ? ["video"] : []), ...(raw ? ["raw"] : [])];
  }

  lay() {
    if (!this.grounds.includes(this.ground)) this.ground = "black";
    if (this.ground === "video" || this.ground === "raw") this.openVideo();
    else if (this.hasVideo) { this.video.pause(); this.video.hidden = true; }
    if (this.ground === "plate") this.openPlate();
    const button = this.root.querySelector("[data-action=view]");
    if (button) button.textContent = { black: gettext("On black"), grid: gettext("On a grid"), plate: gettext("On the empty scene"), video: this.root.dataset.raw ? gettext("Blurred") : gettext("On video"), raw: gettext("As filmed") }[this.ground];
    this.draw();
  }

  async openPlate() {
    try { this.plate = await plateAt(this.root.dataset.plate); } catch { // taken back meanwhile, or no connection
      this.root.removeAttribute("data-plate");
      if (this.ground === "plate" && !this.stopped) { this.ground = "black"; this.lay(); }
      return;
    }
    if (!this.stopped) this.draw();
  }

  async openVideo() {
    const video = this.video;
    const url = this.ground === "raw" ? this.root.dataset.raw : this.root.dataset.video;
    if (this.laid === url) { video.hidden = false; video.currentTime = this.clip(this.t) + 0.001; if (this.playing) video.play().catch(() => {}); return; }
    if (this.ground === "raw" && !(await this.mayLook())) { this.ground = "black"; this.lay(); return; }
    const again = this.laid;
    this.laid = url;
    if (this.duration) video.src = url;
    else {
      try { video.src = this.ground === "raw" ? url : await (prefetch(this.root), fetched.get(url)); } catch { this.root.removeAttribute("data-video"); this.ground = "black"; this.lay(); return; }
      if (this.stopped) return;
    }
    video.hidden = false;
    video.playbackRate = this.speed;
    if (again) { video.play().catch(() => {}); return; }
    const { signal } = this.ended;
    video.addEventListener("loadedmetadata", () => { video.currentTime = this.clip(this.t) + 0.001; }, { signal });
    video.addEventListener("error", () => { if (this.stopped) return; video.hidden = true; this.root.removeAttribute("data-video"); this.ground = "black"; this.lay(); }, { signal });
    if (video.requestVideoFrameCallback) {
      // The frame's own time, not a guess from the clock: the overlay is that of the picture on screen.
      const shown = (_, frame) => {
        if (this.stopped) return;
        if (this.hasVideo) this.show(frame.mediaTime + this.offset);
        video.requestVideoFrameCallback(shown);
      };
      video.requestVideoFrameCallback(shown);
    }
    if (this.playing) video.play().catch(() => {});
  }

  // A clip's own time begins with its first frame, which stands at `offset` of the recording.
  get offset() { return parseFloat(this.root.dataset.offset || "0"); }
  clip(t) { return Math.max(0, t - this.offset); }

  // People as they were filmed are shown to who says why, once a day and camera; the server notes every look.
  async mayLook() {
    const { raw, ask } = this.root.dataset;
    const first = await fetch(raw, { headers: { Range: "bytes=0-0" } }).catch(() => null);
    if (first?.ok) return true;
    if (first?.status !== 403 || !this.wished) return false; // only a key or a click opens a question
    const reason = prompt(gettext("Why do you need to see the people as they were filmed? This is kept with your name."));
    if (!reason) return false;
    const answer = await fetch(ask, { method: "POST", body: new URLSearchParams({ reason }), headers: { "X-CSRFToken": token() } }).catch(() => null);
    if (answer && !answer.ok) say(await answer.text());
    return Boolean(answer?.ok);
  }

  get hasVideo() { return !this.video.hidden; }

  tick(now) {
    if (this.stopped) return;
    const passed = ((now - this.last) / 1000) * this.speed;
    this.last = now;
    if (this.hasVideo) {
      // Without the callback (no browser of ours) the clock of the video is as near as we get.
      if (!this.video.requestVideoFrameCallback) this.show(this.video.currentTime + this.offset);
      if (this.video.currentTime + this.offset > this.end || this.video.ended) {
        this.video.currentTime = this.clip(this.start) + 0.001;
        if (this.playing) this.video.play().catch(() => {});
      }
    } else if (this.playing) {
      this.show(this.t + passed > this.end ? this.start : this.t + passed);
    }
    requestAnimationFrame((later) => this.tick(later));
  }

  async show(t) {
    this.t = t;
    const ahead = t > this.data.end - 0.3 && this.data.end < this.end - 1e-3;
    if (this.duration && !this.loading && (t < this.data.start || ahead)) {
      this.loading = true;
      try { await this.fetchPoses(Math.max(0, t - 0.5)); } catch { this.note.textContent = gettext("waiting for the server…"); }
      this.loading = false;
    }
    this.draw();
  }

  go(t) {
    const at = Math.min(this.end, Math.max(this.start, t));
    if (this.hasVideo) { this.t = at; this.video.currentTime = this.clip(at) + 0.001; } else this.show(at);
  }

  act(action) {
    if (!action || !this.data) return;
    const step = this.frameSeconds();
    if (action === "play") this.playing ? this.pause() : this.play();
    if (action === "back") { this.pause(); this.go(this.t - step); }
    if (action === "forth") { this.pause(); this.go(this.t + step); }
    if (action === "second-back") this.go(this.t - 1);
    if (action === "second-forth") this.go(this.t + 1);
    if (action === "speed") this.setSpeed(SPEEDS[(SPEEDS.indexOf(this.speed) + 1) % SPEEDS.length]);
    if (action === "slower") this.setSpeed(SPEEDS[Math.max(0, SPEEDS.indexOf(this.speed) - 1)]);
    if (action === "faster") this.setSpeed(SPEEDS[Math.min(SPEEDS.length - 1, SPEEDS.indexOf(this.speed) + 1)]);
    if (action === "view") {
      this.wished = true;
      this.ground = this.grounds[(this.grounds.indexOf(this.ground) + 1) % this.grounds.length];
      if (!this.duration) localStorage.setItem("alfred-ground", this.ground);
      this.lay();
    }
    if (action === "trail") { this.trail = !this.trail; localStorage.setItem("alfred-trail", this.trail ? "on" : "off"); this.draw(); }
    if (action === "zoom") { this.zoomed = !this.zoomed; this.draw(); }
  }

  setSpeed(speed) {
    this.speed = speed;
    this.video.playbackRate = speed;
    this.root.querySelector("[data-action=speed]").textContent = `${speed.toFixed(2).replace(/0$/, "")}×`;
  }

  play() { this.playing = true; if (this.hasVideo) this.video.play().catch(() => {}); this.label(); }
  pause() { this.playing = false; this.video.pause(); this.label(); }
  label() { this.root.querySelector("[data-action=play]").textContent = this.playing ? gettext("Pause") : gettext("Play"); }

  frameSeconds() {
    for (const person of this.data.people) if (person.pts.length > 1) return (person.pts.at(-1) - person.pts[0]) / (person.pts.length - 1);
    return 1 / 25;
  }

  resize() {
    const ratio = window.devicePixelRatio || 1;
    for (const canvas of [this.canvas, this.strip].filter(Boolean)) {
      canvas.width = Math.round(canvas.clientWidth * ratio);
      canvas.height = Math.round(canvas.clientHeight * ratio);
    }
    this.draw();
  }

  // The part of the picture that the stage shows: all of it, or the asked people with room around them.
  view() {
    const { width, height, people } = this.data;
    let box = [0, 0, width, height];
    const asked = people.filter((p) => p.asked);
    if (this.zoomed && asked.length) {
      let [x0, y0, x1, y1] = [Infinity, Infinity, -Infinity, -Infinity];
      for (const p of asked) p.xy.forEach((row, i) => row.forEach((v, j) => {
        if (p.confidence[i][j >> 1] < 15) return;
        if (j % 2) { y0 = Math.min(y0, v); y1 = Math.max(y1, v); } else { x0 = Math.min(x0, v); x1 = Math.max(x1, v); }
      }));
      const room = 0.35 * Math.max(y1 - y0, 40);
      box = [x0 - room, y0 - room, x1 + room, y1 + room];
    }
    const scale = Math.min(this.canvas.width / (box[2] - box[0]), this.canvas.height / (box[3] - box[1]));
    return {
      scale,
      dx: (this.canvas.width - (box[2] - box[0]) * scale) / 2 - box[0] * scale,
      dy: (this.canvas.height - (box[3] - box[1]) * scale) / 2 - box[1] * scale,
    };
  }

  draw() {
    if (!this.data || !this.canvas.width) return;
    const g = this.canvas.getContext("2d");
    g.clearRect(0, 0, this.canvas.width, this.canvas.height);
    const view = this.view();
    if (this.hasVideo) this.placeVideo(view);
    else {
      const [wide, high] = [this.data.width * view.scale, this.data.height * view.scale];
      if (this.ground === "plate" && this.plate) {
        g.globalAlpha = 0.6; // over the dark stage: skeletons stay what is seen first
        g.drawImage(this.plate, view.dx, view.dy, wide, high);
        g.globalAlpha = 1;
      }
      g.strokeStyle = "#26313c";
      g.lineWidth = 1;
      g.strokeRect(view.dx, view.dy, wide, high);
      if (this.ground === "grid") this.drawGrid(g, view);
    }
    if (this.trail) this.data.people.forEach((person, i) => this.drawTrail(g, view, person, COLOURS[(parseInt(person.name) || i + 1) % COLOURS.length]));
    // A recording's people have numbers: they keep their colour when the next stretch is loaded.
    this.data.people.forEach((person, i) => this.drawPerson(g, view, person, COLOURS[(parseInt(person.name) || i + 1) % COLOURS.length]));
    this.drawStrip();
    if (this.end > this.start && document.activeElement !== this.seek) {
      this.seek.value = Math.round((1000 * (this.t - this.start)) / (this.end - this.start));
    }
    const [at, long] = [this.t - this.start, this.end - this.start];
    this.clock.textContent = long < 60 ? `${at.toFixed(1)} / ${long.toFixed(1)} s` : `${minutes(at)} / ${minutes(long)}`;
  }

  // Lines on an imagined floor: a sense of depth, nothing of the place.
  drawGrid(g, view) {
    const { width: w, height: h } = this.data;
    const x = (v) => view.dx + v * view.scale, y = (v) => view.dy + v * view.scale;
    const horizon = 0.35 * h;
    g.beginPath();
    for (let i = -12; i <= 12; i++) { g.moveTo(x(w / 2 + (i * w) / 40), y(horizon)); g.lineTo(x(w / 2 + (i * w) / 8), y(h)); }
    for (let i = 1; i <= 9; i++) { const at = horizon + (h - horizon) * (i / 9) ** 2; g.moveTo(x(0), y(at)); g.lineTo(x(w), y(at)); }
    g.save();
    g.clip(((box) => { box.rect(x(0), y(0), w * view.scale, h * view.scale); return box; })(new Path2D()));
    g.globalAlpha = 0.7;
    g.stroke();
    g.restore();
    g.globalAlpha = 1;
  }

  // Where the middle of the hips has been in the last two seconds.
  drawTrail(g, view, person, colour) {
    g.beginPath();
    let before = null;
    person.pts.forEach((t, i) => {
      const c = person.confidence[i];
      if (t > this.t || t < this.t - TRAIL_S || Math.min(c[11], c[12]) < 10) return;
      const [px, py] = [(person.xy[i][22] + person.xy[i][24]) / 2, (person.xy[i][23] + person.xy[i][25]) / 2];
      const spot = [view.dx + px * view.scale, view.dy + py * view.scale];
      if (before !== null && t - before <= HOLD_S + 0.02) g.lineTo(...spot); else g.moveTo(...spot);
      before = t;
    });
    g.strokeStyle = colour;
    g.lineWidth = 2 * (window.devicePixelRatio || 1);
    g.globalAlpha = 0.5;
    g.stroke();
    g.globalAlpha = 1;
  }

  placeVideo(view) {
    const ratio = window.devicePixelRatio || 1;
    const style = this.video.style;
    style.inset = "auto";
    style.left = `${view.dx / ratio}px`;
    style.top = `${view.dy / ratio}px`;
    style.width = `${(this.data.width * view.scale) / ratio}px`;
    style.height = `${(this.data.height * view.scale) / ratio}px`;
  }

  // Joints at this moment: the frame's own under a video, between two frames otherwise.
  at(person) {
    const pts = person.pts;
    let low = 0, high = pts.length - 1;
    if (high < 0) return null;
    while (low < high) { const mid = (low + high + 1) >> 1; if (pts[mid] <= this.t + 0.002) low = mid; else high = mid - 1; }
    if (this.hasVideo) {
      const near = low + 1 < pts.length && Math.abs(pts[low + 1] - this.t) < Math.abs(pts[low] - this.t) ? low + 1 : low;
      return Math.abs(pts[near] - this.t) < 0.05 ? { xy: person.xy[near], c: person.confidence[near], pts: pts[near] } : null;
    }
    const next = low + 1;
    if (pts[low] > this.t + 0.002) return null;
    if (next >= pts.length) return this.t - pts[low] < 0.1 ? { xy: person.xy[low], c: person.confidence[low], pts: pts[low] } : null;
    const gap = pts[next] - pts[low];
    if (gap > HOLD_S + 0.02) return this.t - pts[low] < 0.1 ? { xy: person.xy[low], c: person.confidence[low], pts: pts[low] } : null;
    const f = (this.t - pts[low]) / gap;
    return { xy: person.xy[low].map((v, i) => v + f * (person.xy[next][i] - v)), c: person.confidence[low], pts: pts[low] };
  }

  drawPerson(g, view, person, colour) {
    const now = this.at(person);
    if (!now) return;
    const ratio = window.devicePixelRatio || 1;
    const point = (j) => [view.dx + now.xy[2 * j] * view.scale, view.dy + now.xy[2 * j + 1] * view.scale];
    const neutral = this.data.people.every((p) => !p.asked);
    g.setLineDash(person.asked || neutral ? [] : [4 * ratio, 4 * ratio]);
    const line = (width, style) => {
      g.lineWidth = width * ratio;
      g.strokeStyle = style;
      for (const [a, b] of LIMBS) {
        const c = Math.min(now.c[a], now.c[b]);
        if (c < 10) continue;
        g.globalAlpha = (person.asked || neutral ? 1 : 0.55) * (0.25 + 0.75 * Math.min(1, c / 60));
        g.beginPath(); g.moveTo(...point(a)); g.lineTo(...point(b)); g.stroke();
      }
    };
    g.lineCap = "round";
    if (person.asked) line(8, "rgba(255,255,255,0.22)");
    line(person.asked ? 3.5 : 2.2, colour);
    g.setLineDash([]);
    const [x, y] = point(0);
    if (now.c[0] >= 10) {
      g.globalAlpha = person.asked || neutral ? 1 : 0.55;
      g.beginPath(); g.arc(x, y, 3.5 * ratio, 0, 2 * Math.PI); g.fillStyle = colour; g.fill();
    }
    g.globalAlpha = 1;
    g.font = `${13 * ratio}px system-ui, sans-serif`;
    g.fillStyle = colour;
    g.fillText(person.asked ? `● ${person.name}` : person.name, x + 8 * ratio, y - 8 * ratio);
  }

  drawStrip() {
    if (!this.strip) return;
    const g = this.strip.getContext("2d");
    const { width: w, height: h } = this.strip;
    g.clearRect(0, 0, w, h);
    const quiet = getComputedStyle(this.root).getPropertyValue("--quiet");
    const accent = getComputedStyle(this.root).getPropertyValue("--accent");
    const shape = this.data.shape || [];
    if (this.data.asked && shape.length) {
      g.fillStyle = quiet;
      shape.forEach((v, i) => {
        if (v === null) return;
        const bar = (0.1 + 0.85 * v) * h;
        g.globalAlpha = 0.55;
        g.fillRect((i / shape.length) * w, h - bar, Math.ceil(w / shape.length) - 1, bar);
      });
      g.globalAlpha = 1;
    }
    const spot = (t) => ((t - this.start) / (this.end - this.start)) * w;
    const [from, until] = this.trimmed;
    g.fillStyle = getComputedStyle(this.root).getPropertyValue("--ground");
    g.globalAlpha = 0.75;
    if (from !== null) g.fillRect(0, 0, spot(from), h);
    if (until !== null) g.fillRect(spot(until), 0, w - spot(until), h);
    g.globalAlpha = 1;
    if (this.end > this.start) {
      g.fillStyle = accent;
      g.fillRect(((this.t - this.start) / (this.end - this.start)) * (w - 2), 0, 2 * (window.devicePixelRatio || 1), h);
    }
  }

  stop() {
    this.stopped = true;
    this.ended.abort();
    this.video.pause();
    this.video.removeAttribute("src");
    this.video.hidden = true;
    this.observer.disconnect();
  }
}
