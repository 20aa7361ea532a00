// A reference and a result, large and side by side, with the metadata of both.

import * as service from "./service.js";
import { $, differences, make, titleOf } from "./view.js";
import { t } from "./words.js";

const known = async (id) => { try { return await service.picture(id); } catch { return null; } }; // an upload has none

/** The columns in which both say something, or one does: first those that differ. What is not known differs from nothing. */
export function rows(columns, before, after) {
  const facts = columns.map(({ name, label }) => ({ label, was: before?.[name], is: after?.[name] }))
    .filter(({ was, is }) => was !== undefined || is !== undefined);
  const known = (value) => (value ?? "") !== "";
  const differs = ({ was, is }) => known(was) && known(is) && String(was) !== String(is);
  return [...facts.filter(differs), ...facts.filter((one) => !differs(one))].map((one) => ({ ...one, differs: differs(one) }));
}

export async function compareBeside(reference, result, columns) {
  service.show($("beside-reference"), reference, "full");
  service.show($("beside-result"), result.id, "full");
  $("beside-reference").alt = t("start-picture");
  $("beside-result").alt = titleOf(result);
  $("beside-tags").replaceChildren(make("span", { className: "same" }, t("looking")));
  $("beside-facts").replaceChildren();
  $("beside").showModal();
  const [own, tags] = await Promise.all([known(reference), service.compare(reference, result.id).catch(() => null)]);
  if ($("beside-result").dataset.id !== result.id) return;
  const found = tags ? differences(tags) : [];
  $("beside-tags").replaceChildren(...(found.length ? found : [make("span", { className: "same" }, t("unsure"))]));
  const facts = rows(columns, own?.metadata, result.metadata);
  if (!facts.length) return;
  const head = make("tr", {}, ...["column", "reference", "result-title"].map((name) => Object.assign(make("th", {}, t(name)), { scope: "col" })));
  $("beside-facts").append(make("thead", {}, head), make("tbody", {}, ...facts.map(({ label, was, is, differs }) => make(
    "tr", { className: differs ? "differs" : "" },
    Object.assign(make("th", {}, label), { scope: "row" }), make("td", {}, String(was ?? "–")), make("td", {}, String(is ?? "–")),
  ))));
}
