// Saying more than one key: each person by themselves, the range that is meant, why, and a comment.
import { isLetter } from "./keys.js";
import { filled, gettext } from "./words.js";

const STATES = [["same", gettext("as answered")], ["normal", gettext("normal")], ["anomaly", gettext("anomaly")], ["", gettext("left out")]];

const LEAST_S = 1;

// A list that has the focus would take the letter of an answer for a choice of its own; here letters are answers.
function keepLetters(select) {
  select.dataset.passesLetters = "";
  select.addEventListener("keydown", (e) => { if (isLetter(e)) e.preventDefault(); });
}

export class Parts {
  constructor(side, player) {
    this.list = side.querySelector("[data-parts]");
    this.range = side.querySelector("[data-trimmed]");
    this.reason = side.querySelector("[data-reason]");
    this.text = side.querySelector("[data-comment]");
    this.box = side.querySelector(".finer");
    this.player = player;
    keepLetters(this.reason);
    this.text.addEventListener("keydown", (e) => { if (e.key === "Enter" || e.key === "Escape") { e.preventDefault(); this.text.blur(); } });
    this.reset();
  }

  reset() {
    this.people = {};
    this.from = this.until = null;
    this.list.replaceChildren();
    this.reason.value = "";
    this.text.value = "";
    this.tell();
  }

  // A choice for each asked person, where there are several.
  offer(names) {
    this.list.replaceChildren();
    if (names.length < 2) return;
    for (const name of names) {
      const label = document.createElement("label");
      const select = document.createElement("select");
      select.dataset.name = name;
      for (const [value, words] of STATES) select.append(new Option(words, value));
      select.addEventListener("change", () => { if (select.value === "same") delete this.people[name]; else this.people[name] = select.value; });
      keepLetters(select);
      label.append(`● ${name} `, select);
      this.list.append(label);
    }
  }

  trim(which) {
    const player = this.player();
    if (!player?.data) return;
    this[which] = player.t;
    if (this.from !== null && this.until !== null && this.from >= this.until) this[which === "from" ? "until" : "from"] = null;
    player.trimmed = [this.from, this.until];
    player.draw();
    this.box.open = true;
    this.tell();
  }

  tell() {
    const player = this.player();
    const words = (t) => `${(t - (player?.start ?? 0)).toFixed(1)} s`;
    const from = this.from === null ? gettext("the beginning") : words(this.from);
    const until = this.until === null ? gettext("the end") : words(this.until);
    this.range.textContent = this.from === null && this.until === null ? gettext("all of it") : filled(gettext("%(from)s to %(until)s"), { from, until });
  }

  comment() { this.box.open = true; this.text.focus(); }

  // Why this can't be sent as it is, in words; "" where it can.
  objection() {
    const player = this.player();
    const [from, until] = [this.from ?? player?.start ?? 0, this.until ?? player?.end ?? Infinity];
    if (until - from < LEAST_S) return gettext("The range is shorter than a second: move its beginning (I) or its end (O).");
    const asked = this.list.querySelectorAll("select").length;
    if (asked && Object.values(this.people).filter((said) => said === "").length === asked) return gettext("Everybody is left out: nothing would be judged. Skip says that too.");
    return "";
  }

  // What the answer says, where people were labelled one by one; null where it is said of all of them.
  said(answer) {
    if (!Object.keys(this.people).length) return null;
    const names = [...this.list.querySelectorAll("select")].map((select) => select.dataset.name);
    const all = names.map((name) => this.people[name] ?? answer).filter((one) => one !== "");
    return [...new Set(all)].sort();
  }

  // Fields of the answer; nothing where nothing more was said.
  fields(answer) {
    const found = {};
    if (Object.keys(this.people).length) found.people = JSON.stringify(this.people);
    if (this.from !== null) found.from_pts = this.from;
    if (this.until !== null) found.until_pts = this.until;
    if (this.reason.value && answer === "normal") found.reason = this.reason.value;
    if (this.text.value.trim()) found.comment = this.text.value.trim();
    return found;
  }
}
