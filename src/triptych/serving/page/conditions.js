// Conditions over the metadata: in the syntax of the service, as labels, and the facets that make them.

import { make } from "./view.js";
import { values as search } from "./service.js";
import { count, t } from "./words.js";

const SHOWN = 8; // values of a facet that are shown without a search field

/** A value or column between quotes, where something would be lost or mistaken without. */
const quoted = (text, mistaken) => (mistaken.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
const columnOf = (name) => quoted(name, /^[\s"'(]|\s$|[=!<>≠≤≥]|\s(?:not|in)\s/i);
const valueOf = (value) => quoted(String(value), /^$|^[\s"']|\s$|[(),]|(?:^|\s)(?:and|or)(?=\s|$)/i);
const compared = (name, sign, value) => columnOf(name) + sign + valueOf(value);

/** One value is `colour=red`, several are `colour in (red, pink)`. */
const among = (name, values) => (
  values.length < 2 ? values.map((value) => compared(name, "=", value)) : [`${columnOf(name)} in (${values.map(valueOf).join(", ")})`]
);

/** The values of a condition that `among` made for that column; null for any other condition. */
function valuesOf(condition, name) {
  const one = `${columnOf(name)}=`;
  const several = `${columnOf(name)} in (`;
  const list = condition.startsWith(several) ? condition.slice(several.length, -1) : condition.startsWith(one) ? condition.slice(one.length) : null;
  if (list === null) return null;
  const items = condition.startsWith(several) ? list.match(/"(?:[^"]|"")*"|[^",]+/g) ?? [] : [list];
  const values = items.map((item) => item.trim()).filter(Boolean)
    .map((item) => (/^".*"$/s.test(item) ? item.slice(1, -1).replaceAll('""', '"') : item));
  return values.length && among(name, values)[0] === condition ? values : null;
}

let labels = {};

/** The condition as a person reads it, where it is a simple one. */
export function inWords(condition) {
  for (const [name, label] of Object.entries(labels)) {
    const values = valuesOf(condition, name);
    if (values) return `${label}: ${values.join(", ")}`;
  }
  if (/^[("']|\s(?:and|or)\s/i.test(condition)) return condition;
  const found = /^([^=<>!]+?)\s*([<>]=?|!?=)\s*(.+)$/s.exec(condition);
  const label = found && (labels[found[1]] ?? found[1]);
  return found ? (found[2] === "=" ? `${label}: ${found[3]}` : `${label} ${found[2]} ${found[3]}`) : condition;
}

/** Facets for the columns that people can choose by; `changed` gets the conditions, those of no facet among them. */
export function filterFields(columns, changed) {
  labels = Object.fromEntries(columns.map(({ name, label }) => [name, label]));
  const fields = [];
  let written = []; // conditions that belong to no facet
  const report = () => changed([...fields.flatMap(({ conditions }) => conditions()), ...written]);
  for (const [index, column] of columns.entries()) {
    const id = `field-${index}`;
    const field = column.values.length > 1 && ["text", "boolean"].includes(column.kind) ? choice(column, report)
      : ["number", "date"].includes(column.kind) && column.min !== column.max ? range(column, id, report) : null;
    if (field) fields.push(field);
  }
  const set = (where) => {
    written = fields.reduce((left, { take }) => take(left), where);
  };
  return { fields: fields.map(({ element }) => element), set };
}

/** One or more of a column's values, with a search where they are many. */
function choice({ name, label, values, counts, distinct }, report) {
  const usual = values.map((value, place) => ({ value, count: counts[place] }));
  const list = make("ul", {});
  let chosen = [];
  let shown = usual;
  const draw = () => {
    const known = new Set(shown.map(({ value }) => value));
    const held = list.contains(document.activeElement) ? document.activeElement.value : null;
    const rows = [...chosen.filter((value) => !known.has(value)).map((value) => ({ value, count: null })), ...shown];
    list.replaceChildren(...rows.map(({ value, count: number }) => {
      const box = make("input", { type: "checkbox", value, checked: chosen.includes(value) });
      box.addEventListener("change", () => {
        chosen = box.checked ? [...chosen, value] : chosen.filter((one) => one !== value);
        report();
      });
      return make("li", {}, make("label", {}, box, make("span", {}, value), make("small", {}, number === null ? "" : count(number))));
    }));
    if (held !== null) [...list.querySelectorAll("input")].find(({ value }) => value === held)?.focus({ preventScroll: true });
  };
  const head = make("h3", {}, label);
  const element = make("div", { className: "facet" }, head);
  element.setAttribute("role", "group");
  element.setAttribute("aria-label", label);
  if (distinct > SHOWN) element.append(searchBox(label, async (part) => {
    shown = !part ? usual : distinct <= usual.length ? usual.filter(({ value }) => value.toLowerCase().includes(part.toLowerCase())) : await search(name, part);
    draw();
  }));
  element.append(list);
  draw();
  return {
    element,
    conditions: () => among(name, chosen),
    take(where) {
      const held = where.find((one) => valuesOf(one, name));
      chosen = held === undefined ? [] : valuesOf(held, name);
      draw();
      return where.filter((one) => one !== held);
    },
  };
}

/** A field that tells of what is typed, once the typing rests; the last answer wins. */
function searchBox(label, find) {
  const field = make("input", { type: "search", maxLength: 200, autocomplete: "off" });
  field.placeholder = t("search-in", { name: label });
  field.setAttribute("aria-label", field.placeholder);
  let waiting = 0;
  field.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => find(field.value.trim()).catch(() => {}), 150);
  });
  field.addEventListener("keydown", (event) => { if (event.key === "Enter") event.preventDefault(); });
  return field;
}

/** From one number or date to another. */
function range({ name, label, kind, min, max, values }, id, report) {
  const ends = [[">=", min, t("from")], ["<=", max, t("to")]].map(([sign, end, word], place) => {
    const type = kind === "date" ? "date" : "number";
    const input = make("input", { type, step: type === "number" ? "any" : "", placeholder: String(end), id: place ? `${id}-to` : id });
    if (type === "date") Object.assign(input, { min, max });
    else if (values.length) input.setAttribute("list", `${id}-values`);
    input.setAttribute("aria-label", `${label} ${word}`);
    input.addEventListener("change", report);
    return { input, prefix: columnOf(name) + sign };
  });
  const known = make("datalist", { id: `${id}-values` }, ...(kind === "number" ? values.map((value) => make("option", { value })) : []));
  const element = make("div", { className: "facet" }, make("h3", {}, label), make("div", { className: "range" }, ...ends.map(({ input }) => input)), known);
  element.setAttribute("role", "group");
  element.setAttribute("aria-label", label);
  return {
    element,
    conditions: () => ends.filter(({ input }) => input.value).map(({ input, prefix }) => prefix + input.value),
    take: (where) => ends.reduce((left, { input, prefix }) => {
      const held = left.find((one) => one.startsWith(prefix));
      input.value = held ? held.slice(prefix.length) : "";
      return input.value === "" ? left : left.filter((one) => one !== held);
    }, where),
  };
}

/** The orders that results can have: by each column of numbers or dates, both ways. */
export function orders(columns) {
  const sortable = columns.filter(({ kind, min, max }) => ["number", "date"].includes(kind) && min !== max);
  return [make("option", { value: "" }, t("nearest")), ...sortable.flatMap(({ name, label }) => [
    make("option", { value: `${name}:asc` }, t("ascending", { name: label })),
    make("option", { value: `${name}:desc` }, t("descending", { name: label })),
  ])];
}

/** Words that show what can be said to a picture: another value of a column of colours, or common ones. */
export function exampleWords(columns) {
  const colours = columns.find(({ name, kind }) => kind === "text" && /colou?r/i.test(name))?.values ?? [];
  const said = colours.slice(0, 3).map((value) => `in ${value.toLowerCase()}`);
  return [...said, "in red", "in black", "with stripes"].slice(0, 3);
}
