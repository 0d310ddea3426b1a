// Answers on their way: in the browser's database until the server has them. Bound to the person; holds no poses.

const STORE = "answers";
const TRIES = 3;
const WAITS_MS = [1000, 2000, 5000, 10000, 20000, 30000];

function database() {
  return new Promise((resolve, reject) => {
    const asked = indexedDB.open("alfred-outbox", 1);
    asked.onupgradeneeded = () => asked.result.createObjectStore(STORE, { keyPath: "key" });
    asked.onsuccess = () => resolve(asked.result);
    asked.onerror = () => reject(asked.error);
  });
}

function done(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

// An idempotency key. `crypto.randomUUID` is there on secure pages only; this is a UUID version 4 as well.
export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  bytes[6] = (bytes[6] & 0x0f) | 0x40;
  bytes[8] = (bytes[8] & 0x3f) | 0x80;
  const hex = [...bytes].map((b) => b.toString(16).padStart(2, "0")).join("");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}

export class Outbox {
  // `changed` is told (how many wait, why: "", "offline", "failed", "signed out", "another", how many were refused); `sent` hears of each.
  constructor(user, token, changed, sent) {
    Object.assign(this, { user, token, changed, sent });
    this.waiting = []; // in the order they were given
    this.refused = 0;
    this.tries = 0;
    this.why = "";
    this.running = null;
  }

  // What was left from before, of this person only.
  async open() {
    try {
      this.db = await database();
      const kept = await done(this.db.transaction(STORE).objectStore(STORE).getAll());
      const mine = kept.filter((entry) => entry.user === this.user).sort((a, b) => a.at - b.at);
      this.refused = mine.filter((entry) => entry.refused).length;
      this.waiting = [...mine.filter((entry) => !entry.refused), ...this.waiting];
    } catch {
      this.db = null; // private windows may have none: then answers wait in memory
    }
    addEventListener("online", () => this.flush());
    this.tell();
    this.flush();
  }

  add(entry) {
    this.waiting.push(entry);
    this.write((store) => store.put(entry));
    this.flush();
  }

  // Take back one that has not left yet. False where it is on its way, may have arrived, or is gone.
  take(key) {
    const at = this.waiting.findIndex((entry) => entry.key === key);
    if (at < 0 || this.waiting[at].tried) return false;
    this.waiting.splice(at, 1);
    this.write((store) => store.delete(key));
    this.tell();
    return true;
  }

  write(what) {
    if (!this.db) return;
    try { what(this.db.transaction(STORE, "readwrite").objectStore(STORE)); } catch { this.db = null; }
  }

  flush() {
    clearTimeout(this.timer);
    this.running ??= this.run().finally(() => { this.running = null; });
    return this.running;
  }

  // One after another: the server hears them in the order they were given.
  async run() {
    while (this.waiting.length) {
      const entry = this.waiting[0];
      entry.tried = true;
      const outcome = await this.post(entry);
      if (outcome === "later") {
        // One that the server fails on must not keep all others: after some tries it goes behind them.
        entry.failed = (entry.failed ?? 0) + (this.why === "failed" ? 1 : 0);
        if (entry.failed >= TRIES && this.waiting.length > 1) { entry.failed = 0; this.waiting.push(this.waiting.shift()); }
        this.timer = setTimeout(() => this.flush(), WAITS_MS[Math.min(this.tries++, WAITS_MS.length - 1)]);
        this.tell();
        return;
      }
      this.tries = 0;
      this.why = "";
      this.waiting.shift();
      if (outcome === "refused") { this.refused += 1; this.write((store) => store.put({ ...entry, refused: true })); }
      else this.write((store) => store.delete(entry.key));
      this.tell();
      this.sent(entry, outcome);
    }
  }

  async post(entry) {
    const body = new FormData();
    for (const [name, value] of Object.entries(entry.fields)) body.append(name, value);
    body.append("key", entry.key);
    const stop = new AbortController();
    const timer = setTimeout(() => stop.abort(), 15000);
    try {
      const headers = { "X-CSRFToken": this.token(), "X-Alfred-User": entry.user, Accept: "text/plain" };
      const answer = await fetch(entry.url, { method: "POST", body, headers, signal: stop.signal, redirect: "error" });
      if (answer.ok) return "sent";
      this.why = { 403: "signed out", 409: "another" }[answer.status] ?? (answer.status === 500 ? "failed" : "offline");
      return [400, 404, 422].includes(answer.status) ? "refused" : "later";
    } catch {
      this.why = "offline";
      return "later";
    } finally {
      clearTimeout(timer);
    }
  }

  // What was refused has been read: forget it.
  async forgetRefused() {
    if (!this.db) return;
    const kept = await done(this.db.transaction(STORE).objectStore(STORE).getAll());
    kept.filter((entry) => entry.user === this.user && entry.refused).forEach((entry) => this.write((s) => s.delete(entry.key)));
    this.refused = 0;
    this.tell();
  }

  tell() { this.changed(this.waiting.length, this.why, this.refused); }
}
