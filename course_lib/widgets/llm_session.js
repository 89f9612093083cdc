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
  /** @param {{view: DataView, config: object, tokenizer: object}} files @param {object} patterns */
  constructor({ view, config, tokenizer }, patterns) {
    this.tokenizer = createTokenizer(tokenizer, patterns);
    this.decoder = new Decoder(config, readSafetensors(view));
    this.limit = config.max_position_embeddings;
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

  #encode(text) {
    return [...this.start, ...this.tokenizer.encode(text.replace(LAST_SPACES, ""))];
  }

  /** Ajoute un jeton. Les jetons déjà écrits restent tels quels, même s’ils se découperaient autrement. */
  append(id) {
    this.#setIds([...this.ids, id]);
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
    return this.decoder.bits.subarray(first, end).reduce((sum, bits) => sum + bits, 0) / (end - first);
  }

  /** Le modèle ne peut plus rien ajouter : son contexte est plein. */
  get full() {
    return this.ids.length >= this.limit;
  }

  /** Les jetons que le modèle lit : au-delà du contexte, le début et les derniers. */
  get read() {
    if (this.ids.length <= this.limit) return this.ids;
    return [...this.start, ...this.ids.slice(this.start.length - this.limit)];
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
    const before = this.decoder.computed;
    const started = performance.now();
    this.logits = this.read.length ? this.decoder.read(this.read) : null;
    const count = this.decoder.computed - before;
    if (count) this.timings.push((performance.now() - started) / count);
    if (this.timings.length > TIMED) this.timings.shift();
  }
}
