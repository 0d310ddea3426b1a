// The stage: skeletons drawn from numbers, over the recording's video where its camera keeps one.

const LIMBS = [
  [5, 7], [7, 9], [6, 8], [8, 10], [11, 13], [13, 15], [12, 14], [14, 16], [5, 6], [11, 12], [5, 11], [6, 12], [0, 5], [0, 6],
];
// Okabe and Ito's palette, told apart with every common colour vision.
const COLOURS = ["#56b4e9", "#e69f00", "#009e73", "#f0e442", "#cc79a7", "#d55e00", "#0072b2", "#cccccc"];
const SPEEDS = [0.25, 0.5, 1, 1.5, 2, 4];
const HOLD_S = 0.2; // a gap up to this long is bridged, a longer one hides the person
const CHUNK_S = 20;

// As times stand in lists: 6:38.7
function minutes(seconds) {
  const tenths = Math.round(seconds * 10);
  return `${Math.floor(tenths / 600)}:${String(Math.floor((tenths % 600) / 10)).padStart(2, "0")}.${tenths % 10}`;
}

export class Player {
  constructor(root) {
    this.root = root;
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
    root.addEventListener("click", (e) => this.act(e.target.closest("[data-action]")?.dataset.action));
    this.seek.addEventListener("input", () => this.go(this.start + (this.seek.value / 1000) * (this.end - this.start)));
    this.observer = new ResizeObserver(() => this.resize());
    this.observer.observe(this.canvas);
  }

  async load() {
    try {
      await this.fetchPoses(0);
    } catch {
      this.note.textContent = "The poses could not be loaded. Reload the page to try again.";
      return;
    }
    if (this.stopped) return;
    this.start = this.duration ? 0 : this.data.start;
    this.end = this.duration || this.data.end;
    this.t = this.start;
    this.note.textContent = this.data.people.length ? "" : "Nobody in view.";
    this.resize();
    if (this.root.dataset.video) this.openVideo();
    this.last = performance.now();
    if (this.reduced) this.pause();
    requestAnimationFrame((now) => this.tick(now));
    this.root.dispatchEvent(new CustomEvent("alfred:loaded", { bubbles: true, detail: this.data }));
  }

  async fetchPoses(start) {
    const query = this.duration ? `?start=${start}&end=${start + CHUNK_S}` : "";
    const response = await fetch(this.root.dataset.poses + query, { headers: { Accept: "application/json" } });
    if (!response.ok) throw new Error(response.status);
    this.data = await response.json();
  }

  openVideo() {
    const video = this.video;
    video.src = this.root.dataset.video;
    video.hidden = false;
    video.playbackRate = this.speed;
    video.addEventListener("loadedmetadata", () => { video.currentTime = this.t + 0.001; });
    video.addEventListener("error", () => { video.hidden = true; this.root.removeAttribute("data-video"); });
    if (video.requestVideoFrameCallback) {
      // The frame's own time, not a guess from the clock: the overlay is that of the picture on screen.
      const shown = (_, frame) => {
        if (this.stopped) return;
        this.show(frame.mediaTime);
        video.requestVideoFrameCallback(shown);
      };
      video.requestVideoFrameCallback(shown);
    }
    if (this.playing) video.play().catch(() => {});
  }

  get hasVideo() { return !this.video.hidden; }

  tick(now) {
    if (this.stopped) return;
    const passed = ((now - this.last) / 1000) * this.speed;
    this.last = now;
    if (this.hasVideo) {
      if (!this.video.requestVideoFrameCallback) this.show(this.video.currentTime);
      if (this.video.currentTime > this.end || this.video.ended) {
        this.video.currentTime = this.start + 0.001;
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
      try { await this.fetchPoses(Math.max(0, t - 0.5)); } catch { this.note.textContent = "waiting for the server…"; }
      this.loading = false;
    }
    this.draw();
  }

  go(t) {
    const at = Math.min(this.end, Math.max(this.start, t));
    if (this.hasVideo) { this.t = at; this.video.currentTime = at + 0.001; } else this.show(at);
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
    if (action === "zoom") { this.zoomed = !this.zoomed; this.draw(); }
  }

  setSpeed(speed) {
    this.speed = speed;
    this.video.playbackRate = speed;
    this.root.querySelector("[data-action=speed]").textContent = `${speed.toFixed(2).replace(/0$/, "")}×`;
  }

  play() { this.playing = true; if (this.hasVideo) this.video.play().catch(() => {}); this.label(); }
  pause() { this.playing = false; this.video.pause(); this.label(); }
  label() { this.root.querySelector("[data-action=play]").textContent = this.playing ? "Pause" : "Play"; }

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
      g.strokeStyle = "#26313c";
      g.lineWidth = 1;
      g.strokeRect(view.dx, view.dy, this.data.width * view.scale, this.data.height * view.scale);
    }
    // A recording's people have numbers: they keep their colour when the next stretch is loaded.
    this.data.people.forEach((person, i) => this.drawPerson(g, view, person, COLOURS[(parseInt(person.name) || i + 1) % COLOURS.length]));
    this.drawStrip();
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
    if (this.end > this.start) {
      g.fillStyle = accent;
      g.fillRect(((this.t - this.start) / (this.end - this.start)) * (w - 2), 0, 2 * (window.devicePixelRatio || 1), h);
    }
  }

  stop() { this.stopped = true; this.video.pause(); this.video.removeAttribute("src"); this.observer.disconnect(); }
}
