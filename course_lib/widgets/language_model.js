/**
 * Un modèle de langue dans la page : on tape, il prédit ; on demande, il continue.
 * Sur le site, les poids viennent d’un dossier voisin ; dans un cahier, du noyau.
 */

import { button, liveWhenLoaded } from "./llm_loading.js";
import { createRandom, draw, mostProbable, nextDistribution } from "./llm_sampling.js";
import { Session } from "./llm_session.js";
import { createTokenizer } from "./llm_tokenizer.js";
import { attentionView, nextTokensView, percent, spokenToken } from "./llm_views.js";
import { checkedWeights, fetchModel, readSafetensors, requestModel } from "./llm_weights.js";
import { format, h } from "./tokenizer_explorer.js";

const HELP =
  "Tapez le début d’une histoire. À chaque frappe, le modèle donne le jeton suivant\u00a0: " +
  "choisissez-en un, ou laissez-le continuer. ␣ est une espace, ⏎ une fin de ligne.";

/** Le moteur, pour les essais et pour qui veut l’appeler de la console. */
export const engine = { Session, createRandom, createTokenizer, draw, mostProbable, nextDistribution, readSafetensors };

/** Un champ numérique ; sa valeur reste toujours dans les bornes. */
function numberField(label, { min, max, step, value }, onChange) {
  const input = h("input", { class: "cw-select cw-number", type: "number", min, max, step, value });
  input.addEventListener("input", onChange);
  const read = () => {
    const typed = input.valueAsNumber;
    return Number.isNaN(typed) ? value : Math.min(Math.max(typed, min), max);
  };
  return { node: h("label", { class: "cw-field" }, h("span", {}, label), input), read };
}

/** Les réglages du tirage. */
function samplingControls(onChange) {
  const temperature = numberField("Température", { min: 0, max: 5, step: 0.1, value: 1 }, onChange);
  const topK = numberField("Top-k (0\u00a0: tous)", { min: 0, max: 100, step: 1, value: 0 }, onChange);
  const topP = numberField("Top-p", { min: 0.05, max: 1, step: 0.05, value: 1 }, onChange);
  const minP = numberField("Min-p", { min: 0, max: 1, step: 0.05, value: 0 }, onChange);
  const penalty = numberField("Pénalité de répétition", { min: 1, max: 2, step: 0.1, value: 1 }, onChange);
  const seed = numberField("Graine", { min: 0, max: 999999, step: 1, value: 0 }, onChange);
  const fields = [temperature, topK, topP, minP, penalty, seed].map(({ node }) => node);
  const legend = h("legend", {}, "Réglages du tirage");
  return {
    node: h("fieldset", { class: "cw-fieldset" }, legend, h("div", { class: "cw-controls" }, ...fields)),
    settings: () => ({
      temperature: temperature.read(),
      topK: Math.round(topK.read()),
      topP: topP.read(),
      minP: minP.read(),
      repetitionPenalty: penalty.read(),
    }),
    seed: () => Math.round(seed.read()),
  };
}

/** Le composant vivant, une fois le modèle chargé. */
class LivePanel {
  constructor(session, prompt) {
    this.session = session;
    this.running = false;
    this.area = this.first = h("textarea", { class: "cw-textarea", rows: "5", spellcheck: "false" });
    this.sampling = samplingControls(() => this.draw());
    this.next = nextTokensView((id) => this.choose(id));
    this.attention = attentionView(session, () => this.attention.update());
    this.go = button("Continuer", () => (this.running ? (this.running = false) : this.generate()));
    this.status = h("p", { class: "cw-summary cw-facts" });
    this.live = h("p", { class: "cw-visually-hidden", "aria-live": "polite" });
    this.area.addEventListener("input", () => this.type());
    this.area.addEventListener("keydown", (event) => this.#shortcut(event));
    this.node = this.#layout();
    this.setText(prompt);
  }

  #layout() {
    const field = h("label", {}, h("strong", {}, "Votre texte"), this.area);
    const clear = button("Effacer", () => this.clear());
    const actions = h("div", { class: "cw-controls cw-actions" }, this.go, clear);
    const panel = (title, node) =>
      h("div", { class: "cw-panel" }, h("p", { class: "cw-panel-title" }, title), node);
    const panels = h("div", { class: "cw-panels" },
      panel("Le jeton suivant, réglages appliqués", this.next.node),
      panel("Ce que lit le dernier jeton (son attention)", this.attention.node));
    return h("div", {}, field, actions, this.sampling.node, panels, this.status, this.live);
  }

  /** Ctrl+Entrée continue, ou arrête, sans quitter le texte. */
  #shortcut(event) {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    this.go.click();
  }

  setText(text) {
    this.area.value = text;
    this.type();
  }

  /** Le lecteur a changé le texte : la génération s’arrête, la prédiction suit. */
  type() {
    this.running = false;
    this.session.setText(this.area.value);
    this.draw();
    this.announce(() => this.summary());
  }

  choose(id) {
    this.running = false;
    this.append(id);
    this.announce(() => this.summary());
  }

  append(id) {
    this.session.append(id);
    this.area.value = this.session.text;
    this.area.scrollTop = this.area.scrollHeight;
    this.draw();
  }

  clear() {
    this.setText("");
    this.area.focus();
  }

  /** Écrit jeton après jeton, jusqu’à la fin du texte, du contexte, ou de la patience du lecteur. */
  async generate() {
    const random = createRandom(this.sampling.seed());
    const before = this.session.ids.length;
    let ending = "arrêté";
    this.running = true;
    this.go.textContent = "Arrêter";
    while (this.running) {
      if (this.session.full) ending = `le contexte de ${format(this.session.limit)} jetons est plein`;
      const id = this.session.full ? null : draw(this.session.distribution(this.sampling.settings()), random);
      if (id === this.session.eos) ending = "le modèle a fini son texte";
      if (id === null || id === this.session.eos) break;
      this.append(id);
      await new Promise((resolve) => setTimeout(resolve)); // laisse la page se dessiner
    }
    this.running = false;
    this.go.textContent = "Continuer";
    const written = this.session.tokenizer.decode(this.session.ids.slice(before));
    const told = `Fin de l’écriture\u00a0: ${ending}.`;
    this.draw(told);
    this.announce(() => `${written} ${told}`);
  }

  /** Redessine les jetons suivants, l’attention et les mesures, précédées de `news`. */
  draw(news = "") {
    const { session } = this;
    const distribution = session.distribution(this.sampling.settings());
    this.best = distribution ? this.next.update(session.tokenizer, distribution) : [];
    this.attention.update();
    this.status.textContent = [news, ...this.facts()].filter(Boolean).join(" ");
  }

  facts() {
    const { ids, limit, millisecondsPerToken: time } = this.session;
    const facts = [`${format(ids.length)}\u00a0jetons sur ${format(limit)} de contexte.`];
    if (ids.length > limit) facts.push(`Le modèle ne lit que le début et les derniers jetons\u202f: ${format(limit)} en tout.`);
    if (time !== null) facts.push(`Sur votre machine\u00a0: ${format(time, 1)}\u00a0ms par jeton.`);
    return facts;
  }

  summary() {
    const told = this.best.slice(0, 3).map(({ id, probability }) =>
      `${spokenToken(this.session.tokenizer, id)}, ${percent(probability)}`);
    return `Jeton suivant\u00a0: ${told.join("\u202f; ")}.`;
  }

  /** Le lecteur d’écran attend une pause dans la frappe : sinon il parlerait à chaque lettre. */
  announce(compose) {
    clearTimeout(this.pending);
    this.pending = setTimeout(() => (this.live.textContent = compose()), 500);
  }

  destroy() {
    this.running = false;
    clearTimeout(this.pending);
  }
}

/** Va chercher le modèle où il se trouve et vérifie que ce sont les poids annoncés. */
async function loadSession(model, onProgress) {
  const inNotebook = model.get("weights") !== undefined;
  const folder = () => new URL(`../${model.get("weights_url")}/`, import.meta.url);
  const files = inNotebook ? await requestModel(model) : await fetchModel(folder(), onProgress);
  checkedWeights(files.view, model.get("checksum"));
  return new Session(files, model.get("patterns"));
}

function render({ model, el }) {
  const { rows, caption, continuation } = model.get("preview");
  return liveWhenLoaded(el, {
    kind: "cw-llm",
    title: model.get("title"),
    help: HELP,
    still: { headers: ["Jeton", "Probabilité"], rows, caption, paragraphs: [continuation] },
    label: "Charger le modèle",
    size: model.get("weights_size"),
    reachable: Boolean(model.get("weights_url")) || model.get("weights") !== undefined,
    load: (onProgress) => loadSession(model, onProgress),
    build: (session) => new LivePanel(session, model.get("prompt")),
  });
}

export default { render };
