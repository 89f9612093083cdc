/** Une lecture en cours : le texte, ses jetons, ce que le modèle prédit, le temps qu’il y met. */

import { Decoder } from "./llm_decoder.js";
import { nextDistribution } from "./llm_sampling.js";
import { createTokenizer } from "./llm_tokenizer.js";
import { readSafetensors } from "./llm_weights.js";

const TIMED = 64; // le temps affiché est la moyenne des derniers jetons
const JUDGED = 8; // jetons du texte tapé, les derniers, dont on moyenne la surprise
const LAST_SPACES = /[ \u00a0\u202f\t]+$/u;
const LAST_WORD = /[^\s\p{P}]+$/u;

export class Session {
  /**
   * @param {{view: DataView, config: object, tokenizer: object, decoder?: object}} files `decoder` :
   * un décodeur déjà prêt, à la place des poids.
   * @param {object} patterns
   */
  constructor({ view, config, tokenizer, decoder = null }, patterns) {
    this.tokenizer = createTokenizer(tokenizer, patterns);
    this.decoder = decoder ?? new Decoder(config, readSafetensors(view));
    this.limit = this.decoder.config.max_position_embeddings;
    this.sliding = Boolean(this.decoder.advance); // il relit assez vite pour aller au-delà de son contexte
    const { "<bos>": bos, "<eos>": eos } = this.tokenizer.special;
    this.start = bos === undefined ? [] : [bos];
    this.eos = eos;
    this.ids = [];
    this.timings = [];
    this.setText("");
  }

  /** Remplace tout le texte. L’espace finale est ignorée : elle appartient au jeton suivant. */
  setText(text) {
    this.typed = text;
    this.#setIds(this.#encode(text));
  }

  /** Approche ce texte, sans le poser : voir `approach`. */
  approachText(text, pause) {
    return this.approach(this.#encode(text), pause);
  }

  /**
   * Lit ces jetons paquet par paquet, pour que `setText` ou `append` n’aient plus rien à calculer.
   * Entre deux paquets, `pause()` rend la main à la page ; il rend faux quand on abandonne.
   * @returns {Promise<boolean>} Vrai si tout est lu.
   */
  async approach(ids, pause) {
    const read = this.#window(ids);
    if (!this.sliding || !read.length) return true;
    while (!this.#timed(() => this.decoder.advance(read))) if (!(await pause())) return false;
    return true;
  }

  #encode(text) {
    return [...this.start, ...this.tokenizer.encode(text.replace(LAST_SPACES, ""))];
  }

  /** Ajoute un jeton. Les jetons déjà écrits restent tels quels, même s’ils se découperaient autrement. */
  append(id) {
    this.#setIds([...this.ids, id]);
  }

  /** Repart de ces jetons, tels quels. */
  restart(ids) {
    this.#setIds(ids);
  }

  get text() {
    return this.tokenizer.decode(this.ids.slice(this.start.length));
  }

  /** Le texte de chaque jeton lu. */
  get texts() {
    return this.tokenizer.texts(this.read);
  }

  /** Le texte de ce jeton, s’il vient ensuite : il finit parfois un caractère commencé. */
  nextText(id) {
    return this.tokenizer.textAfter(this.ids, id);
  }

  /**
   * Surprise moyenne, en bits par jeton, des derniers jetons que le lecteur a tapés ; null s’il n’y
   * en a pas, ou trop pour le contexte. Le mot qu’il est en train de taper, il ne l’a pas `finished`.
   */
  surprise(finished) {
    const end = (finished ? this.#encode(this.typed) : this.#encode(this.typed.replace(LAST_WORD, ""))).length;
    const first = Math.max(this.start.length, end - JUDGED);
    if (end <= first || end > this.limit) return null;
    const mean = this.decoder.bits.subarray(first, end).reduce((sum, bits) => sum + bits, 0) / (end - first);
    return Number.isNaN(mean) ? null : mean; // un décodeur peut ne pas la mesurer
  }

  /** Le modèle ne peut plus rien ajouter : son contexte est plein. */
  get full() {
    return !this.sliding && this.ids.length >= this.limit;
  }

  /** Les jetons que le modèle lit : au-delà du contexte, `<bos>` et les derniers. */
  get read() {
    return this.#window(this.ids);
  }

  /**
   * Ce que le modèle lit de ces jetons. Sa fenêtre glisse : elle avance d’un coup de la moitié du
   * contexte, car après chaque avance il lui faut tout relire.
   */
  #window(ids) {
    const beyond = ids.length - this.limit;
    if (beyond <= 0) return ids;
    const stride = this.sliding ? this.limit >> 1 : 1;
    return [...this.start, ...ids.slice(this.start.length + Math.ceil(beyond / stride) * stride)];
  }

  /** La loi du jeton suivant selon les réglages ; null s’il n’y a rien à lire. */
  distribution(settings = {}) {
    return this.logits && nextDistribution(this.logits, settings, this.read);
  }

  /** Millisecondes par jeton, mesurées ici même ; null avant la première mesure. */
  get millisecondsPerToken() {
    if (!this.timings.length) return null;
    return this.timings.reduce((a, b) => a + b, 0) / this.timings.length;
  }

  /** Poids d’attention du dernier jeton lu ; `layer` et `head` : un numéro, ou null pour la moyenne. */
  attention(layer = null, head = null) {
    const layers = layer === null ? this.decoder.attention : [this.decoder.attention[layer]];
    const maps = layers.flatMap((heads) => (head === null ? heads : [heads[head]]));
    return Array.from(this.read, (_, position) => maps.reduce((sum, map) => sum + map[position], 0) / maps.length);
  }

  #setIds(ids) {
    this.ids = ids;
    const { read } = this;
    this.logits = read.length ? this.#timed(() => this.decoder.read(read)) : null;
  }

  /** Fait un calcul et note le temps qu’y a pris chaque jeton. */
  #timed(compute) {
    const before = this.decoder.computed;
    const started = performance.now();
    const result = compute();
    const count = this.decoder.computed - before;
    if (count) this.timings.push((performance.now() - started) / count);
    if (this.timings.length > TIMED) this.timings.shift();
    return result;
  }
}
