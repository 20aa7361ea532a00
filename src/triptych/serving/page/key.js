// The dialog that asks for a key. Each page that needs one adds it before its texts are set.

import { useKey } from "./service.js";
import { make } from "./view.js";

/** Add the dialog, which calls `then` once a key is given. Returns a function that opens it. */
export function keyDialog(then) {
  const text = (tag, name, settings = {}) => make(tag, { dataset: { t: name }, ...settings });
  const input = make("input", { id: "key", type: "password", autocomplete: "off", spellcheck: false, required: true });
  const dialog = make("dialog", { id: "door" }, make(
    "form", { method: "dialog" },
    text("h2", "needs-key", { id: "door-title" }), text("p", "needs-key-why", { className: "muted" }),
    text("label", "key", { htmlFor: "key" }), input, text("button", "open", { className: "primary", type: "submit" }),
  ));
  dialog.setAttribute("aria-labelledby", "door-title");
  dialog.addEventListener("close", () => { useKey(input.value); input.value = ""; then(); });
  dialog.addEventListener("cancel", (event) => event.preventDefault());
  document.body.append(dialog);
  return () => dialog.showModal();
}
