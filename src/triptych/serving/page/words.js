// The page's texts, from one file for each language. The language is that of the browser.

const LANGUAGES = ["en", "de"];
let words = {};

export let language = "en";

/** The word or sentence of that name; {names} in it are filled in. */
export const t = (name, values = {}) => (words[name] ?? name).replace(/\{(\w+)\}/g, (_, key) => String(values[key] ?? ""));

export const count = (number) => number.toLocaleString(language);

export async function speak() {
  const asked = new URLSearchParams(location.search).get("lang");
  const wanted = [asked, ...navigator.languages].filter(Boolean).map((one) => one.slice(0, 2).toLowerCase());
  language = wanted.find((one) => LANGUAGES.includes(one)) ?? "en";
  try {
    words = await (await fetch(new URL(`words.${language}.json`, import.meta.url))).json();
  } catch { return; } // the texts of the HTML file then remain, and keys are shown for other texts
  document.documentElement.lang = language;
  for (const element of document.querySelectorAll("[data-t]")) element.textContent = t(element.dataset.t);
  for (const element of document.querySelectorAll("[data-label]")) element.setAttribute("aria-label", t(element.dataset.label));
  for (const element of document.querySelectorAll("[data-hint]")) element.placeholder = t(element.dataset.hint);
}
