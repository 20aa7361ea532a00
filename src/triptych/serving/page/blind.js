// The blind comparison by the owner: a picture, words, two unnamed sides, and a choice.

import { keyDialog } from "./key.js";
import * as service from "./service.js";
import { $, make, titleOf } from "./view.js";
import { speak, t } from "./words.js";

const SHOWN = 14;
let like = "";
let question = "";
const askForKey = keyDialog(begin);
let looked = 0; // how often pictures were chosen from

/** The tally. How many choices there are, and what they tell only once they are enough: known earlier, it would sway. */
function tell({ composer, sum, ties, interval, decision, enough }) {
  if (composer + sum < enough) {
    $("tally").textContent = t("blind-progress", { count: composer + sum, enough });
    return;
  }
  const [low, high] = interval.map((share) => Math.round(100 * share));
  const said = t(`blind-${decision}`, { low, high });
  $("tally").textContent = t("blind-tally", { left: composer, right: sum, ties, decision: said });
}

function trouble(error) {
  if (error.status === 401) return askForKey();
  $("problem").textContent = error.message;
  $("problem").hidden = false;
  return undefined;
}

function picture(one) {
  const img = make("img", { alt: titleOf(one) });
  service.show(img, one.id);
  return make("span", { className: "frame" }, img);
}

function open(asked) {
  question = asked ? asked.question : "";
  for (const side of ["left", "right"]) $(side).replaceChildren(...(asked?.[side] ?? []).map((one) => make("li", { className: "card" }, picture(one))));
  $("sides").hidden = $("choose-tie").hidden = !asked;
}

async function choices() {
  const { pictures } = await service.facts();
  document.title = `triptych: ${t("blind")}`;
  const apart = Math.max(1, Math.floor(pictures / SHOWN));
  const some = await service.some(SHOWN, apart, [], looked % apart);
  looked += 1;
  like = "";
  $("pictures").replaceChildren(...some.map((one) => {
    const button = make("button", { className: "look", type: "button" }, picture(one));
    button.setAttribute("aria-pressed", "false");
    const card = make("li", { className: "card" }, button);
    button.addEventListener("click", () => {
      like = one.id;
      for (const other of $("pictures").children) {
        other.classList.toggle("chosen", other === card);
        other.firstElementChild.setAttribute("aria-pressed", String(other === card));
      }
      $("text").focus();
    });
    return card;
  }));
}

$("question").addEventListener("submit", async (event) => {
  event.preventDefault();
  $("problem").hidden = true;
  const text = $("text").value.trim();
  if (!text) return;
  if (!like) { trouble(new Error(t("blind-choose"))); return; }
  open(null);
  $("ask").disabled = true;
  try {
    open(await service.blindQuestion(like, text));
    $("choose-left").focus({ preventScroll: true });
  } catch (error) { trouble(error); } finally { $("ask").disabled = false; }
});
for (const choice of ["left", "right", "tie"]) {
  $(`choose-${choice}`).addEventListener("click", async () => {
    const asked = question;
    open(null);
    $("text").value = "";
    $("text").focus({ preventScroll: true });
    try { tell(await service.blindChoice(asked, choice)); } catch (error) { trouble(error); }
  });
}

async function begin() {
  try {
    tell(await service.blindTally());
    await choices();
  } catch (error) { trouble(error); }
}

$("others").addEventListener("click", () => choices().catch(trouble));
await speak();
begin();
