// On a phone, a search folds the query into a bar, so that results are on the first screen. The style sheet says how.

import { $ } from "./view.js";

let seen = null; // the steps for which the query was folded

/** Fold the query if there is a new one, and show the page from its top. Without a query, nothing is folded. */
export function set(asked, steps) {
  document.body.classList.toggle("asked", asked);
  if (asked && steps === seen) return;
  seen = asked ? steps : null;
  show(false);
  if (asked && $("edit").getClientRects().length) scrollTo({ top: 0, behavior: "instant" });
}

export const open = () => show(true);
export const toggle = () => show(!document.body.classList.contains("unfolded"));

function show(unfolded) {
  document.body.classList.toggle("unfolded", unfolded);
  $("edit").setAttribute("aria-expanded", String(unfolded));
}
