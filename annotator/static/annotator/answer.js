// A form with one answer (known items, adjudication): the person's own keys, once there is something to judge.
import { ownKeys } from "./keys.js";

const form = document.querySelector("[data-answer-form]");
if (form) {
  const keys = ownKeys();
  const comment = form.querySelector("[name=comment]");
  let seen = false;
  keys.label(form);
  document.addEventListener("alfred:loaded", () => { seen = true; });
  document.addEventListener("keydown", (e) => {
    const action = keys.action(e);
    if (action === "comment" && comment) { e.preventDefault(); comment.focus(); }
    else if (seen && action) form.querySelector(`[name=answer][value=${CSS.escape(action)}]`)?.click();
  });
  // Enter would press the first of the answers.
  comment?.addEventListener("keydown", (e) => { if (e.key === "Enter" || e.key === "Escape") { e.preventDefault(); comment.blur(); } });
}
