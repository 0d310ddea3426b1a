// What is normal on a camera, beside the stage: opened by key, and by itself once after it has changed.
import { html, token } from "./page.js";

export class Guide {
  // `current` gives the event on the stage, `fetchPart` asks the server for a part of the page.
  constructor(panel, current, fetchPart) {
    Object.assign(this, { panel, current, fetchPart });
    this.unseen = new Set(); // cameras whose guide has changed since this person saw it
    panel.addEventListener("click", (e) => { if (e.target.closest("[data-close-guide]")) this.close(); });
  }

  close() { this.panel.hidden = true; }

  async toggle() {
    const section = this.current();
    if (!section) return;
    if (!this.panel.hidden) { this.close(); return; }
    const response = await this.fetchPart(section.dataset.guide);
    if (!response?.ok) return;
    this.panel.replaceChildren(html(await response.text()));
    this.panel.hidden = false;
    this.unseen.delete(section.dataset.camera);
    fetch(section.dataset.sawGuide, { method: "POST", headers: { "X-CSRFToken": token() } }).catch(() => {});
  }

  showIfChanged() {
    if (this.current() && this.unseen.has(this.current().dataset.camera) && this.panel.hidden) this.toggle();
  }
}
