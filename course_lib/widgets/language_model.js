/**
 * Un modèle de langue dans la page : on tape, il prédit ; on demande, il continue.
 * Sur le site, les poids viennent d’un dossier voisin ; dans un cahier, du noyau. Rien ne se charge
 * avant le premier geste du lecteur.
 */

import { candidatesView } from "./llm_candidates.js";
import { openKernels } from "./llm_compact_decoder.js";
import { samplingControls } from "./llm_controls.js";
import { beginningsView, card, nextFrame, NO_SOURCE, still, stillView } from "./llm_loading.js";
import { createRandom, draw, mostProbable, nextDistribution } from "./llm_sampling.js";
import { Session } from "./llm_session.js";
import { loadingOf, openCompact } from "./llm_sources.js";
import { createTokenizer } from "./llm_tokenizer.js";
import { attentionView, beyond, nextTokensView, percent, spokenToken, stranger } from "./llm_views.js";
import { readSafetensors } from "./llm_weights.js";
import { button, fit, format, h, textArea, write } from "./nodes.js";
import { isPiece, PIECES } from "./token_text.js";

const HELP =
  "Tapez un début, ou choisissez-en un. À chaque frappe, le modèle donne le jeton suivant\u00a0: " +
  "choisissez-en un, ou laissez-le continuer. ␣ est une espace, ⏎ une fin de ligne.";

const LONGEST = 400; // jetons écrits d’affilée par un modèle que son contexte n’arrête pas
const FRAME = 10; // millisecondes d’écriture par image, un dernier jeton et le dessin en plus
const REDRAWN = 4; // pendant l’écriture, barres et attention suivent un jeton sur quatre ; sur huit, d’un gros modèle

/** Le moteur, pour les essais et pour qui veut l’appeler de la console. */
export const engine = {
  Session, createRandom, createTokenizer, draw, mostProbable, nextDistribution, openCompact, openKernels, readSafetensors,
};

/** Le composant : le texte et ses boutons d’emblée, les prédictions une fois le modèle chargé. */
class LivePanel {
  /** `loading` rend ce qui fait venir le modèle, et prévient quand il est là. */
  constructor(model, loading) {
    this.session = null;
    this.reading = model.get("reading");
    this.running = false;
    this.turn = 0; // change à chaque geste : un chargement qui s’achève sert le dernier
    this.area = textArea(3);
    this.area.value = model.get("prompt");
    this.sampling = samplingControls(model.get("min_p"), () => this.refresh());
    this.go = button("Continuer", () => (this.running ? (this.running = false) : this.generate()));
    this.count = model.get("continuations");
    this.compared = button(`Comparer ${this.count} suites`, () => this.compare(), true);
    this.compared.hidden = !this.count;
    this.loader = loading((session) => this.#live(session));
    this.warning = model.get("warning") ? [h("p", { class: "cw-warning" }, model.get("warning"))] : [];
    this.notice = h("p", { class: "cw-notice", role: "status" });
    this.notice.hidden = true;
    this.views = h("div", {}, stillView(still(model.get("preview"))));
    this.status = h("p", { class: "cw-summary cw-facts" });
    this.pieces = h("p", { class: "cw-help" }, PIECES);
    this.pieces.hidden = true;
    this.announced = h("p", { class: "cw-visually-hidden", "aria-live": "polite" });
    this.area.addEventListener("input", () => this.type());
    this.area.addEventListener("keydown", (event) => this.#shortcut(event));
    this.nodes = this.#layout(model.get("beginnings"));
    this.#setReady(!model.get("gguf"));
  }

  /** Tant qu’un modèle lourd n’est pas là, seul son bouton peut le faire venir. */
  #setReady(ready) {
    for (const node of [this.go, this.compared, ...this.chips.querySelectorAll("button")]) node.disabled = !ready;
  }

  #layout(beginnings) {
    const field = h("label", {}, h("strong", {}, "Votre texte"), this.area);
    this.chips = beginningsView(beginnings, (text) => this.begin(text));
    const clear = button("Effacer", () => this.clear(), true);
    const actions = h("div", { class: "cw-controls cw-actions" }, this.go, this.compared, clear, this.sampling.slider);
    const { folded } = this.sampling;
    const loading = this.loader.first ? [this.loader.node, actions] : [actions, this.loader.node];
    const shown = [this.notice, ...loading, folded, this.views, this.pieces, this.status, this.announced];
    return [...this.warning, field, this.chips, ...shown];
  }

  /** Le modèle est là : ses prédictions remplacent la version figée. */
  #live(session) {
    this.session = session;
    this.next = nextTokensView(session, (id) => this.keep([id]));
    this.attention = attentionView(session, () => this.attention.update());
    this.candidates = candidatesView(session, this.count, (ids) => this.keep(ids));
    const panel = (title, node) => h("div", { class: "cw-panel" }, h("p", { class: "cw-panel-title" }, title), node);
    this.suites = panel("Des suites possibles", this.candidates.node);
    this.suites.hidden = true;
    this.views.className = "cw-panels";
    this.views.replaceChildren(
      panel("Le jeton suivant, réglages appliqués", this.next.node),
      panel("Ce que lit le dernier jeton (son attention)", this.attention.node));
    this.views.before(this.suites);
    this.#setReady(true);
    return this.#read(true);
  }

  /** Ctrl+Entrée continue, ou arrête, sans quitter le texte. */
  #shortcut(event) {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    event.preventDefault();
    this.go.click();
  }

  setText(text) {
    this.area.value = text;
    fit(this.area);
  }

  /** Le modèle lit le texte ; `finished` : le lecteur n’est plus en train de taper le dernier mot. */
  async #read(finished) {
    this.running = false;
    if (!(await this.#reach(this.area.value))) return;
    this.#warn(finished);
    this.refresh();
    this.#announce(() => this.summary());
  }

  /** Lit un texte sans figer la page ; faux si le lecteur a fait autre chose entre-temps. */
  async #reach(text) {
    const turn = this.turn;
    if (!(await this.session.approachText(text, () => this.#pause(turn, "Lecture du texte…")))) return false;
    this.session.setText(text);
    this.suites.hidden = true;
    return true;
  }

  /** La page se redessine ; faux si le lecteur a fait autre chose. */
  async #pause(turn, told = "") {
    if (told) write(this.status, told);
    await nextFrame();
    return this.turn === turn;
  }

  #warn(finished) {
    const told = stranger(this.reading, this.session, finished);
    write(this.notice, told);
    this.notice.hidden = !told;
  }

  /** Le lecteur a changé le texte : la génération s’arrête, la prédiction suit. */
  type() {
    this.turn += 1;
    if (this.session) this.#read(false);
    else this.loader.touch();
  }

  /** Ajoute ces jetons au texte. */
  async keep(ids) {
    const turn = (this.turn += 1);
    this.running = false;
    for (const id of ids) if (!(await this.append(id, turn))) return;
    this.suites.hidden = true;
    this.setText(this.session.text);
    this.refresh();
    this.#announce(() => this.summary());
  }

  /** Lit un jeton de plus ; faux si le lecteur a fait autre chose pendant que le modèle relisait. */
  async append(id, turn) {
    if (!(await this.session.approach([...this.session.ids, id], () => this.#pause(turn)))) return false;
    this.session.append(id);
    return true;
  }

  /** Pose un début et le continue. */
  begin(text) {
    this.running = false;
    this.setText(text);
    return this.generate();
  }

  clear() {
    this.setText("");
    this.type();
    this.area.focus();
  }

  /** Écrit jeton après jeton, jusqu’à la fin du texte, du contexte, ou de la patience du lecteur. */
  async generate() {
    const turn = (this.turn += 1);
    if (!(await this.loader.ensure()) || this.turn !== turn) return;
    // Le texte que le modèle a lui-même écrit garde ses jetons ; celui du lecteur est relu.
    if (this.area.value !== this.session.text && !(await this.#reach(this.area.value))) return;
    this.suites.hidden = true;
    this.#warn(true);
    this.refresh();
    const random = createRandom(this.sampling.seed());
    const before = this.session.ids.length;
    let ending = "arrêté";
    let drawn = performance.now();
    this.running = true;
    this.go.textContent = "Arrêter";
    while (this.running && this.turn === turn) {
      const enough = this.session.sliding && this.session.ids.length - before >= LONGEST;
      if (enough) ending = `${format(LONGEST)} jetons écrits`;
      if (this.session.full) ending = `le contexte de ${format(this.session.limit)} jetons est plein`;
      const id = enough || this.session.full ? null : draw(this.law, random);
      if (id === this.session.eos) ending = "le modèle a fini son texte";
      if (id === null || id === this.session.eos) break;
      if (!(await this.append(id, turn))) break;
      // Un jeton par image : la page se dessine, le lecteur suit ; un gros modèle en écrit tant qu’il y a le temps.
      if (this.session.sliding && performance.now() - drawn < FRAME) {
        this.law = this.session.distribution(this.sampling.settings());
        continue;
      }
      this.setText(this.session.text);
      this.refresh();
      await nextFrame();
      drawn = performance.now();
    }
    this.#conclude(this.session.tokenizer.decode(this.session.ids.slice(before)), ending, turn);
  }

  /** Écrit plusieurs suites du texte, sans l’allonger : le lecteur garde celle qu’il veut. */
  async compare() {
    const turn = (this.turn += 1);
    this.running = false;
    if (!(await this.loader.ensure()) || this.turn !== turn) return;
    if (this.area.value !== this.session.text && !(await this.#reach(this.area.value))) return;
    const start = this.session.ids;
    this.suites.hidden = false;
    const ended = await this.candidates.write(start, this.sampling.settings(), this.sampling.seed(), () => this.#pause(turn));
    if (!ended) return;
    this.session.restart(start);
    this.refresh();
    this.#announce(() => `${this.count} suites écrites.`);
  }

  /** Dit pourquoi l’écriture a cessé ; un geste plus récent a déjà sa propre suite. */
  #conclude(written, ending, turn) {
    if (this.turn !== turn && this.running) return;
    this.running = false;
    this.go.textContent = "Continuer";
    const told = `Fin de l’écriture\u00a0: ${ending}.`;
    if (this.turn === turn) this.setText(this.session.text);
    this.refresh(told);
    this.#announce(() => `${written} ${told}`);
  }

  /** Refait la loi du jeton suivant, et ce qui en dépend à l’écran ; `news` précède les mesures. */
  refresh(news = "") {
    const { session } = this;
    if (!session) return;
    this.law = session.distribution(this.sampling.settings());
    const stale = session.ids.length - this.drawnIds >= (session.sliding ? 2 * REDRAWN : REDRAWN);
    if (!this.running || stale) this.#redraw();
    write(this.status, [news, ...this.facts()].filter(Boolean).join(" "));
  }

  /** Redessine les jetons suivants et l’attention. */
  #redraw() {
    this.drawnIds = this.session.ids.length;
    this.best = this.law ? this.next.update(this.law) : [];
    const pieces = this.attention.update() || this.best.some(({ id }) => isPiece(this.session.nextText(id)));
    this.pieces.hidden = !pieces;
  }

  facts() {
    const { ids, limit, millisecondsPerToken: time } = this.session;
    const facts = [`${format(ids.length)}\u00a0jetons sur ${format(limit)} de contexte.`];
    if (ids.length > limit) facts.push(beyond(this.session));
    if (time !== null) facts.push(`Sur votre machine\u00a0: ${format(time, 1)}\u00a0ms par jeton.`);
    return facts;
  }

  summary() {
    const told = this.best.slice(0, 3).map(({ id, probability }) => `${spokenToken(this.session, id)}, ${percent(probability)}`);
    return `Jeton suivant\u00a0: ${told.join("\u202f; ")}.`;
  }

  /** Le lecteur d’écran attend une pause dans la frappe : sinon il parlerait à chaque lettre. */
  #announce(compose) {
    clearTimeout(this.pending);
    this.pending = setTimeout(() => (this.announced.textContent = compose()), 500);
  }

  destroy() {
    this.loader.stop?.abort();
    this.turn += 1;
    this.running = false;
    clearTimeout(this.pending);
  }
}

function render({ model, el }) {
  const title = model.get("title");
  if (!model.get("weights_url") && model.get("weights") === undefined) {
    el.append(card("cw-llm", title, HELP, stillView(still(model.get("preview"))), h("p", { class: "cw-help" }, NO_SOURCE)));
    return () => {};
  }
  const panel = new LivePanel(model, loadingOf(model));
  el.append(card("cw-llm", title, HELP, ...panel.nodes));
  fit(panel.area);
  return () => panel.destroy();
}

export default { render };
