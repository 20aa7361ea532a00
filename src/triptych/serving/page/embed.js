// A search in a shop's own page, without a build step:
//
//   <script type="module" src="https://search.example/page/embed.js"></script>
//   <triptych-search service="https://search.example/" link="/product/{name}"></triptych-search>
//
// Attributes: service (default: the origin of this file), link (of a result; {id}, {name} and {COLUMN} are replaced), where
// (a condition), key (a search-only key; everyone who sees the page can read it), count, words (placeholder of the field),
// label, lang (en or de).
// A chosen result fires the event `triptych-choose`, whose `detail` is the result. If a listener prevents the default, the
// link is not followed. The service must allow the page's site: `triptych serve --allow-origin`.

const HERE = new URL("../", import.meta.url).href;

// In the language of the element, or else of its page, or else of the browser.
const WORDS = {
  en: {
    ask: "What are you looking for?", picture: "Search with a picture", forget: "Without a picture", search: "Search",
    looking: "Looking …", none: "Nothing was found.", similar: "Similar", more: "Similar to: ", answered: "The service answered ",
    unreachable: "The search cannot be reached.",
  },
  de: {
    ask: "Was suchen Sie?", picture: "Mit einem Bild suchen", forget: "Bild entfernen", search: "Suchen",
    looking: "Suche läuft …", none: "Keine Treffer.", similar: "Ähnliche", more: "Ähnlich wie: ", answered: "Der Dienst antwortete mit ",
    unreachable: "Die Suche ist nicht erreichbar.",
  },
};

const STYLE = `
:host { display: block; font: inherit; color: inherit; }
form { display: flex; flex-wrap: wrap; gap: .5rem; align-items: center; }
input[type=text] { flex: 1 1 12rem; min-width: 0; font: inherit; padding: .5rem .7rem; border: 1px solid #8888; border-radius: .5rem; background: none; color: inherit; }
button, label { font: inherit; cursor: pointer; padding: .5rem .9rem; border: 1px solid #8888; border-radius: .5rem; background: none; color: inherit; }
button:focus-visible, a:focus-visible, input:focus-visible, label:focus-within { outline: 2px solid currentColor; outline-offset: 2px; }
label input { position: absolute; opacity: 0; width: 1px; height: 1px; }
.from { display: flex; align-items: center; gap: .4rem; } .from[hidden] { display: none; }
.from img { width: 2.6rem; height: 2.6rem; object-fit: contain; border-radius: .4rem; }
p { margin: .6rem 0; min-height: 1.2em; opacity: .8; font-size: .9em; }
ol { list-style: none; padding: 0; margin: 0; display: grid; gap: .8rem; grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); }
li { display: flex; flex-direction: column; gap: .3rem; }
a { color: inherit; text-decoration: none; } a:hover { text-decoration: underline; }
a img { width: 100%; aspect-ratio: 1; object-fit: contain; background: #fff; border-radius: .5rem; display: block; }
li span { display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 2; overflow: hidden; font-size: .88em; overflow-wrap: anywhere; }
li button { align-self: start; padding: .15rem .5rem; font-size: .8em; }
`;

function make(tag, settings = {}, ...children) {
  const element = Object.assign(document.createElement(tag), settings);
  element.append(...children);
  return element;
}

class TriptychSearch extends HTMLElement {
  #asking = new AbortController();
  #like = "";
  #sending = null;
  #said = WORDS.en;

  connectedCallback() {
    if (this.shadowRoot) return;
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    this.attachShadow({ mode: "open" }).adoptedStyleSheets = [sheet];
    const language = this.closest("[lang]")?.lang || navigator.language;
    this.#said = WORDS[language.slice(0, 2).toLowerCase()] ?? WORDS.en;
    const words = this.getAttribute("words") ?? this.#said.ask;
    this.text = make("input", { type: "text", maxLength: 1000, placeholder: words });
    this.text.setAttribute("aria-label", words);
    this.file = make("input", { type: "file", accept: "image/*" });
    this.file.setAttribute("aria-label", this.getAttribute("label") ?? this.#said.picture);
    this.picture = make("img", { alt: "" });
    const forget = make("button", { type: "button" }, "×");
    forget.setAttribute("aria-label", this.#said.forget);
    this.from = make("span", { className: "from", hidden: true }, this.picture, forget);
    this.status = make("p");
    this.status.setAttribute("role", "status");
    this.list = make("ol");
    const form = make("form", {}, this.from, this.text, make("label", {}, "📷", this.file), make("button", { type: "submit" }, this.#said.search));
    this.shadowRoot.append(form, this.status, this.list);
    form.addEventListener("submit", (event) => { event.preventDefault(); this.search(); });
    this.file.addEventListener("change", () => { this.start(this.file.files[0]); this.file.value = ""; });
    forget.addEventListener("click", () => { this.#like = ""; this.#sending = null; this.from.hidden = true; });
  }

  /** Ask the service. */
  async #ask(path, body) {
    const key = this.getAttribute("key");
    const headers = key ? { Authorization: `Bearer ${key}` } : {};
    const { signal } = this.#asking;
    const answer = await fetch(this.#address(path), { method: body ? "POST" : "GET", body, headers, signal }).catch((error) => {
      throw error.name === "AbortError" ? error : new Error(this.#said.unreachable);
    });
    if (answer.ok) return answer;
    const problem = await answer.json().catch(() => ({}));
    throw new Error(problem.detail ?? `${this.#said.answered}${answer.status}.`);
  }

  #address(path) {
    const service = this.getAttribute("service") ?? HERE;
    return new URL(path, new URL(service.endsWith("/") ? service : `${service}/`, location.href));
  }

  /** Start from a picture: a file, or a result by its id. */
  start(given) {
    if (!given) return;
    this.from.hidden = false;
    if (typeof given === "string") {
      this.#like = given;
      this.#sending = null;
      this.#show(this.picture, given);
    } else {
      const address = URL.createObjectURL(given);
      this.picture.onload = () => URL.revokeObjectURL(address);
      this.picture.src = address;
      const form = new FormData();
      form.append("picture", given, "picture");
      this.#asking.abort();
      this.#asking = new AbortController();
      this.#sending = this.#ask("v1/uploads", form).then((answer) => answer.json()).then(({ id }) => { this.#like = id; });
    }
    this.search();
  }

  /** Search with the picture and the words that there are. */
  async search() {
    const sending = this.#sending;
    this.status.textContent = this.#said.looking;
    try {
      await sending;
      if (sending !== this.#sending) return;
      this.#sending = null;
      const text = this.text.value.trim();
      if (!this.#like && !text) { this.status.textContent = ""; return; }
      this.#asking.abort();
      this.#asking = new AbortController();
      const form = new FormData();
      if (this.#like) form.append("like", this.#like);
      form.append("text", text);
      form.append("k", this.getAttribute("count") ?? "12");
      if (this.getAttribute("where")) form.append("where", this.getAttribute("where"));
      const answer = await (await this.#ask("v1/search", form)).json();
      this.#draw(answer.hits);
      this.status.textContent = answer.hits.length ? "" : this.#said.none;
    } catch (error) {
      if (error.name === "AbortError") return;
      this.#sending = null;
      this.status.textContent = error.message;
    }
  }

  #draw(hits) {
    this.list.replaceChildren(...hits.map((hit) => {
      const title = String(hit.metadata.title ?? hit.metadata.productDisplayName ?? hit.name.split("/").at(-1));
      const img = make("img", { alt: "", loading: "lazy" });
      this.#show(img, hit.id);
      const link = make("a", { href: this.#link(hit) }, img, make("span", {}, title));
      link.addEventListener("click", (event) => {
        const chosen = new CustomEvent("triptych-choose", { detail: hit, bubbles: true, cancelable: true });
        if (!this.dispatchEvent(chosen)) event.preventDefault();
      });
      const more = make("button", { type: "button" }, this.#said.similar);
      more.setAttribute("aria-label", `${this.#said.more}${title}`);
      more.addEventListener("click", () => this.start(hit.id));
      return make("li", {}, link, more);
    }));
  }

  /** A result's address in the shop; without a form for it, the result as the service shows it. */
  #link(hit) {
    const form = this.getAttribute("link");
    if (!form) return this.#address(`v1/pictures/${hit.id}/full`).href;
    const filled = form.replace(/\{([^{}]+)\}/g, (_, name) => encodeURIComponent(name === "id" || name === "name" ? hit[name] : hit.metadata[name] ?? ""));
    const address = new URL(filled, location.href);
    return /^https?:$/.test(address.protocol) ? address.href : "#";
  }

  async #show(img, id) {
    const path = `v1/pictures/${encodeURIComponent(id)}/thumbnail`;
    if (!this.getAttribute("key")) { img.src = this.#address(path); return; }
    try {
      const address = URL.createObjectURL(await (await this.#ask(path)).blob());
      img.onload = () => URL.revokeObjectURL(address);
      img.src = address;
    } catch { /* the title is there */ }
  }
}

customElements.define("triptych-search", TriptychSearch);
