/**
 * L’enseignant et l’élève écrivent le même début, un jeton chacun à son tour, et l’on compare leur
 * vitesse. Les poids sont dans la page, dans un dossier voisin ou, pour un cahier, chez le noyau.
 */

import { card, Loader, nextFrame, stillView } from "./llm_loading.js";
import { createRandom, draw } from "./llm_sampling.js";
import { Session } from "./llm_session.js";
import { checkedWeights, embeddedWeights, fetchWeights, requestModel } from "./llm_weights.js";
import { button, fit, format, h, textArea } from "./nodes.js";
import { temperatureSlider } from "./temperature_slider.js";

const HELP =
  "Les deux modèles continuent votre début, un jeton chacun à son tour. Seul le calcul du modèle est chronométré, " +
  "sur votre machine. À la température 0, chacun écrit le jeton le plus probable, et tous les tirages se valent.";
const LEAST = 5; // millisecondes : une mesure plus courte dépendrait des à-coups de l’horloge
const COMPARABLE = 20; // jetons : en deçà, la médiane dit peu
const SUBJECTS = { Enseignant: "L’enseignant", Élève: "L’élève" };

const milliseconds = (value) => `${format(value, value < 10 ? 2 : 1)}\u00a0ms`;
const tokens = (count) => `${format(count)}\u00a0jeton${count < 2 ? "" : "s"}`;

/**
 * Durée d’un pas du décodeur sur le dernier de ces jetons, en millisecondes.
 * L’horloge d’un navigateur avance par à-coups, de 0,1 à 1 ms et plus : on part d’un à-coup, et l’on
 * refait le même pas, la mémoire cache restant pleine, jusqu’à ce qu’un à-coup ne compte plus.
 */
export function stepDuration(decoder, ids) {
  const before = performance.now();
  let started = before;
  while (started === before) started = performance.now();
  let count = 0;
  let elapsed = 0;
  while (elapsed < LEAST) {
    decoder.read(ids);
    count += 1;
    elapsed = performance.now() - started;
  }
  return elapsed / count;
}

/** La médiane ; null d’une liste vide. */
export function median(values) {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (!sorted.length) return null;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** La phrase qui compare deux modèles ; vide si l’un d’eux a trop peu écrit. */
export function comparison(writers) {
  if (writers.some(({ durations }) => durations.length < COMPARABLE)) return "";
  const [quick, slow] = writers.toSorted((a, b) => median(a.durations) - median(b.durations));
  const ratio = format(median(slow.durations) / median(quick.durations), 1);
  if (ratio === format(1, 1)) return "Les deux modèles ont écrit à la même vitesse.";
  return `${SUBJECTS[quick.name] ?? `«\u00a0${quick.name}\u00a0»`} a écrit ${ratio}\u00a0fois plus vite.`;
}

/** Un modèle, sa colonne, et le texte qu’il est en train d’écrire. */
class Writer {
  constructor({ name, parameters, size }) {
    this.session = null;
    this.name = name;
    this.durations = [];
    this.ending = "rien n’est commencé";
    const facts = `${format(parameters)}\u00a0paramètres, ${format(size / 1000)}\u00a0ko`;
    this.text = h("p", { class: "cw-written" });
    this.speed = h("p", { class: "cw-speed" });
    const titles = [h("p", { class: "cw-panel-title" }, name), h("p", { class: "cw-help" }, facts)];
    this.node = h("div", { class: "cw-panel", role: "group", "aria-label": name }, ...titles, this.text, this.speed);
  }

  /** Lit le début ; chaque modèle tire ses propres nombres, de la même graine. */
  begin(prompt, seed) {
    this.random = createRandom(seed);
    this.durations = [];
    this.ending = "";
    this.session.setText(prompt);
    this.speed.textContent = "";
    this.#show();
  }

  /** Écrit un jeton et mesure le pas qui le lit ; sinon, `ending` dit pourquoi c’est fini. */
  step(settings, limit) {
    const { session, durations } = this;
    if (durations.length >= limit) this.ending = "longueur demandée atteinte";
    else if (session.full) this.ending = `contexte de ${tokens(session.limit)} plein`;
    else if (!session.read.length) this.ending = "le début est vide";
    if (this.ending) return;
    const id = draw(session.distribution(settings), this.random);
    if (id === session.eos) {
      this.ending = "le modèle a fini son texte";
      return;
    }
    session.append(id);
    durations.push(stepDuration(session.decoder, session.read));
    this.#show();
  }

  #show() {
    const { ids, tokenizer } = this.session;
    this.text.textContent = tokenizer.decode(ids.filter((id) => !tokenizer.isSpecial(id)));
  }

  /** Dit combien de jetons, à quelle vitesse, et pourquoi le texte s’arrête. */
  conclude() {
    const time = median(this.durations);
    const speed = time === null ? [] : [`${milliseconds(time)} par jeton`, `${tokens(Math.round(1000 / time))} par seconde`];
    this.speed.textContent = `${[`${tokens(this.durations.length)}`, ...speed].join("\u202f; ")} (${this.ending}).`;
    return `${this.name}\u00a0: ${this.speed.textContent}`;
  }
}

/** Le composant vivant : le début, les réglages, les deux colonnes. */
class LivePanel {
  constructor(model) {
    const described = model.get("models");
    this.limit = model.get("max_new_tokens");
    this.minP = model.get("min_p");
    this.writers = described.map((one) => new Writer(one));
    this.turn = 0; // change quand l’écriture en cours doit cesser
    this.seed = 1;
    this.area = textArea(2);
    this.area.value = model.get("prompt");
    const size = described.reduce((total, one) => total + one.size, 0);
    this.loader = new Loader(size, (onProgress) => loadSessions(model, onProgress), (sessions) => this.#live(sessions));
    this.views = h("div", {}, stillView(model.get("preview")));
    this.slider = temperatureSlider(() => {}, 0, model.get("temperature"));
    this.number = h("span", { class: "cw-position" });
    this.go = button("Écrire", () => this.write());
    this.halt = button("Arrêter", () => this.stop(), true);
    this.again = button("Autre tirage", () => this.redraw(), true);
    this.compared = h("p", { class: "cw-summary" });
    this.live = h("p", { class: "cw-visually-hidden", "aria-live": "polite" });
    this.area.addEventListener("input", () => this.loader.failed || this.loader.ensure());
    this.area.addEventListener("keydown", (event) => this.#shortcut(event));
    this.nodes = this.#layout();
    this.#idle();
  }

  /** Les modèles sont là : leurs colonnes remplacent la version figée. */
  #live(sessions) {
    this.writers.forEach((writer, index) => (writer.session = sessions[index]));
    this.views.className = "cw-panels";
    this.views.replaceChildren(...this.writers.map(({ node }) => node));
  }

  #layout() {
    const field = h("label", {}, h("strong", {}, "Votre début"), this.area);
    const actions = h("div", { class: "cw-controls cw-actions" }, this.go, this.halt, this.again, this.number);
    const settings = h("div", { class: "cw-controls" }, this.slider.node);
    return [field, actions, settings, this.loader.node, this.views, this.compared, this.live];
  }

  /** Ctrl+Entrée écrit sans quitter le texte. */
  #shortcut(event) {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    this.write();
  }

  /** Rien ne s’écrit : un bouton éteint rend le foyer du clavier. */
  #idle() {
    const focused = document.activeElement === this.halt;
    this.halt.disabled = true;
    this.number.textContent = `Tirage n°\u00a0${this.seed}`;
    if (focused) this.go.focus();
  }

  redraw() {
    this.seed += 1;
    return this.write();
  }

  /** Un jeton chacun à son tour ; entre deux jetons, la page reprend la main. */
  async write() {
    const turn = (this.turn += 1);
    const { limit, writers } = this;
    const settings = { temperature: this.slider.read(), minP: this.minP };
    this.#idle();
    if (!(await this.loader.ensure()) || this.turn !== turn) return;
    this.halt.disabled = false;
    this.compared.textContent = this.live.textContent = "";
    writers.forEach((writer) => writer.begin(this.area.value, this.seed));
    while (writers.some(({ ending }) => !ending)) {
      for (const writer of writers.filter(({ ending }) => !ending)) {
        writer.step(settings, limit);
        await nextFrame();
        if (this.turn !== turn) return; // arrêté, recommencé ou ôté de la page
      }
    }
    this.#finish();
  }

  stop() {
    this.turn += 1;
    for (const writer of this.writers) writer.ending ||= "arrêté";
    this.#finish();
  }

  /** Affiche les vitesses et les annonce, une seule fois. */
  #finish() {
    const told = this.writers.map((writer) => writer.conclude());
    this.compared.textContent = comparison(this.writers);
    this.live.textContent = ["Fin de l’écriture.", ...told, this.compared.textContent].filter(Boolean).join(" ");
    this.#idle();
  }

  destroy() {
    this.turn += 1;
  }
}

/** Les poids que le noyau envoie, bout à bout. */
async function fromKernel(model, sizes) {
  const { view, ...parts } = await requestModel(model);
  let offset = view.byteOffset;
  const views = sizes.map((size) => {
    offset += size;
    return new DataView(view.buffer, offset - size, size);
  });
  return { parts, views };
}

/** Les poids de la page, ou d’un dossier du site ; l’avancement compte ensemble les deux modèles. */
async function fromSite(model, onProgress) {
  const received = model.get("models").map(() => 0);
  const views = model.get("models").map(({ url }, index) => {
    if (!url) return embeddedWeights(model.get("embedded")[index]);
    return fetchWeights(new URL(`../${url}/`, import.meta.url), (bytes) => {
      received[index] = bytes;
      onProgress(received[0] + received[1]);
    });
  });
  return { parts: model.get("parts"), views: await Promise.all(views) };
}

async function loadSessions(model, onProgress) {
  const described = model.get("models");
  const inNotebook = model.get("weights") !== undefined;
  const sizes = described.map(({ size }) => size);
  const { parts, views } = await (inNotebook ? fromKernel(model, sizes) : fromSite(model, onProgress));
  return described.map(({ checksum }, index) => {
    const view = checkedWeights(views[index], checksum);
    return new Session({ view, config: parts.configs[index], tokenizer: parts.tokenizer }, model.get("patterns"));
  });
}

function render({ model, el }) {
  const panel = new LivePanel(model);
  el.append(card("cw-llm cw-two", model.get("title"), HELP, ...panel.nodes));
  fit(panel.area);
  return () => panel.destroy();
}

export default { render };
