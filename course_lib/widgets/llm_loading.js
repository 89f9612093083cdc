/** Un composant dont le modèle est lourd : figé d’abord, vivant dès que le lecteur s’en sert. */

import { format, h } from "./nodes.js";

const STILL = "Version figée\u00a0: ces nombres ont été calculés d’avance.";
const FAILURE = "Un modèle n’a pas pu être chargé. Voici la version figée\u202f; réessayez, ou rechargez la page.";
export const NO_SOURCE = "Sur cette page, le modèle est figé\u202f; il s’anime dans le cahier, une fois exécuté.";

/** Ce que montre la version figée d’un modèle de langue. */
export function still({ rows, caption, continuation }) {
  return { headers: ["Jeton", "Probabilité"], rows, caption, paragraphs: [continuation] };
}

/** La version figée, tant que le modèle n’est pas là. */
export function stillView({ headers, rows, caption, paragraphs }) {
  const row = ([name, ...values]) =>
    h("tr", {}, h("th", { scope: "row" }, name), ...values.map((value) => h("td", {}, value)));
  const head = h("tr", {}, ...headers.map((name) => h("th", { scope: "col" }, name)));
  const parts = [h("caption", {}, caption), h("thead", {}, head), h("tbody", {}, ...rows.map(row))];
  const texts = paragraphs.map((text) => h("p", {}, text));
  const table = h("table", { class: "cw-table" }, ...parts);
  return h("div", { class: "cw-still cw-panel" }, table, ...texts, h("p", { class: "cw-help" }, STILL));
}

/**
 * Charge le modèle au premier geste du lecteur, une seule fois.
 * `load(avancement)` va chercher les poids ; `ready(chargé)` prépare le composant vivant.
 */
export class Loader {
  constructor(size, load, ready) {
    this.load = load;
    this.ready = ready;
    this.promise = null;
    this.failed = false;
    this.progress = h("progress", { max: size, value: 0, "aria-label": "Chargement du modèle" });
    this.progress.hidden = true;
    this.status = h("p", { role: "status", class: "cw-help" });
    this.status.textContent = `Le modèle (${format(size / 1e6, 1)}\u00a0Mo) se charge à votre premier geste.`;
    this.node = h("div", { class: "cw-loader" }, this.progress, this.status);
  }

  /** Vrai quand le modèle est là ; faux s’il n’a pas pu venir, et le prochain appel réessaie. */
  ensure() {
    this.promise ??= this.#start();
    return this.promise;
  }

  /** Le lecteur se sert du composant : le modèle vient, sauf s’il a déjà manqué à l’appel. */
  touch() {
    if (!this.failed) this.ensure();
  }

  async #start() {
    this.#tell("Chargement…", true);
    try {
      await this.ready(await this.load((bytes) => (this.progress.value = bytes)));
      this.#tell("");
      return true;
    } catch (error) {
      console.warn("Modèle de langue :", error);
      this.#tell(FAILURE);
      this.status.className = "cw-error";
      this.failed = true;
      this.promise = null;
      return false;
    }
  }

  #tell(text, running = false) {
    this.progress.hidden = !running;
    this.status.className = "cw-help";
    this.status.textContent = text;
    this.status.hidden = !text;
  }
}

/** La carte d’un composant vivant. */
export function card(kind, title, help, ...children) {
  const heading = [h("p", { class: "cw-title" }, title), h("p", { class: "cw-help" }, help)];
  return h("section", { class: `cw ${kind}`, "aria-label": title }, ...heading, ...children);
}

/** Des débuts à choisir ; `onChoose(texte)`. */
export function beginningsView(texts, onChoose) {
  const chips = texts.map((text) => {
    const chip = h("button", { type: "button", class: "cw-button cw-secondary" }, `${text} …`);
    chip.addEventListener("click", () => onChoose(text));
    return chip;
  });
  const node = h("div", { class: "cw-beginnings", role: "group", "aria-label": "Débuts à essayer" }, ...chips);
  node.hidden = !chips.length;
  return node;
}

/** La page se redessine, puis rend la main. */
export const nextFrame = () => new Promise((resolve) => requestAnimationFrame(() => resolve()));
