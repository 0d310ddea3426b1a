// The stage: skeletons drawn from numbers, over the video or a picture of the empty scene where the camera has one.

import { around, colourOf, drawGrid, drawPerson, drawStrip, drawTrail, fitted, jointsAt } from "./drawing.js";
import { json, plateAt, posesOf, videoOf } from "./fetched.js";
import { say, token } from "./page.js";
import { gettext } from "./words.js";

const SPEEDS = [0.25, 0.5, 1, 1.5, 2, 4];
const CHUNK_S = 20;
const AGAIN_MS = 2000;

// Cameras whose people the server does not show as filmed: it is not asked again before somebody wishes it.
const refused = new Set();

// As times stand in lists: 6:38.7
function minutes(seconds) {
  const tenths = Math.round(seconds * 10);
  return `${Math.floor(tenths / 600)}:${String(Math.floor((tenths % 600) / 10)).padStart(2, "0")}.${tenths % 10}`;
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
    this.zoomed = false;
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
    this.zoomed = !this.duration && (!this.root.dataset.video || this.isSmall);
    this.note.textContent = this.data.people.length ? "" : gettext("Nobody in view.");
    this.resize();
    this.lay();
    this.last = performance.now();
    if (this.reduced) this.pause();
    requestAnimationFrame((now) => this.tick(now));
    this.root.dispatchEvent(new CustomEvent("alfred:loaded", { bubbles: true, detail: this.data }));
  }

  async fetchPoses(start) {
    const stretch = `${this.root.dataset.poses}?start=${start}&end=${start + CHUNK_S}`;
    this.data = await (this.duration ? json(stretch) : posesOf(this.root));
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
      try { video.src = this.ground === "raw" ? url : await videoOf(this.root); } catch { this.root.removeAttribute("data-video"); this.ground = "black"; this.lay(); return; }
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
    const camera = this.root.closest("[data-camera]")?.dataset.camera;
    if (refused.has(camera) && !this.wished) return false;
    const first = await fetch(raw, { headers: { Range: "bytes=0-0" } }).catch(() => null);
    if (first?.ok) return true;
    if (first?.status !== 403) return false;
    refused.add(camera);
    if (!this.wished) return false; // only a key or a click opens a question
    const reason = prompt(gettext("Why do you need to see the people as they were filmed? This is kept with your name."));
    if (!reason) return false;
    const answer = await fetch(ask, { method: "POST", body: new URLSearchParams({ reason }), headers: { "X-CSRFToken": token() } }).catch(() => null);
    if (answer && !answer.ok) say(await answer.text());
    if (answer?.ok) refused.delete(camera);
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
    const { width, height } = this.data;
    return fitted(this.canvas, this.zoomed ? this.box : [0, 0, width, height]);
  }

  get box() { return (this.data.box ??= around(this.data)); }

  // Who is asked about fills less than half of the picture's height, with the room around them.
  get isSmall() { return this.box[3] - this.box[1] < this.data.height / 2; }

  at(person) { return jointsAt(person, this.t, this.hasVideo); }

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
      if (this.ground === "grid") drawGrid(g, view, this.data);
    }
    const { people } = this.data;
    const nobodyAsked = people.every((person) => !person.asked);
    if (this.trail) people.forEach((person, i) => drawTrail(g, view, person, this.t, colourOf(person, i)));
    people.forEach((person, i) => {
      const now = this.at(person);
      if (now) drawPerson(g, view, person, now, colourOf(person, i), person.asked || nobodyAsked);
    });
    const share = (t) => (t === null ? null : (t - this.start) / Math.max(1e-6, this.end - this.start));
    if (this.strip) drawStrip(this.strip, this.data.shape ?? [], this.trimmed.map(share), share(this.t));
    if (this.end > this.start && document.activeElement !== this.seek) {
      this.seek.value = Math.round((1000 * (this.t - this.start)) / (this.end - this.start));
    }
    const [at, long] = [this.t - this.start, this.end - this.start];
    this.clock.textContent = long < 60 ? `${at.toFixed(1)} / ${long.toFixed(1)} s` : `${minutes(at)} / ${minutes(long)}`;
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

  stop() {
    this.stopped = true;
    this.ended.abort();
    this.video.pause();
    this.video.removeAttribute("src");
    this.video.hidden = true;
    this.observer.disconnect();
  }
}
