/**
 * Le décodeur de type Llama, sur des poids compacts : mêmes calculs que `llm_decoder.js`, faits par
 * les noyaux de llm_kernels.c dans une seule mémoire. Les jetons d’un début y passent par paquets : un
 * poids déplié sert à tous. D = largeur, Dh = celle d’une tête, N = contexte, B = taille d’un paquet.
 */

import { BLOCKS, configOf } from "./llm_gguf.js";
import { KERNELS } from "./llm_kernels.js";

const BATCH = 16;
const OLD = "Ce navigateur ne sait pas faire les calculs de ce modèle (WebAssembly SIMD)\u202f: mettez-le à jour.";
const PAGE = 65536; // une page de mémoire WebAssembly

/** Une part de la mémoire du module ; tout est demandé avant qu’on n’y regarde. */
class Memory {
  constructor({ memory, __heap_base: base }) {
    this.memory = memory;
    this.end = base.value;
  }

  /** Réserve `bytes` octets ; rend leur adresse, multiple de 64. */
  take(bytes) {
    const address = Math.ceil(this.end / 64) * 64;
    this.end = address + bytes;
    const missing = this.end - this.memory.buffer.byteLength;
    if (missing > 0) this.memory.grow(Math.ceil(missing / PAGE));
    return address;
  }

  floats(address, count) {
    return new Float32Array(this.memory.buffer, address, count);
  }
}

/** Les noyaux, et leur mémoire, pour un modèle. */
export async function openKernels() {
  const bytes = Uint8Array.from(atob(KERNELS), (character) => character.charCodeAt(0));
  if (!WebAssembly.validate(bytes)) throw Object.assign(new Error("WebAssembly SIMD manque."), { told: OLD });
  const { instance } = await WebAssembly.instantiate(bytes);
  return instance.exports;
}

/** Les poids d’un bloc, par un nom court. */
function blockWeights(find, index) {
  const names = {
    query: "attn_q", key: "attn_k", value: "attn_v", output: "attn_output", attentionNorm: "attn_norm",
    gate: "ffn_gate", up: "ffn_up", down: "ffn_down", feedForwardNorm: "ffn_norm",
  };
  return Object.fromEntries(Object.entries(names).map(([name, stored]) => [name, find(`blk.${index}.${stored}.weight`)]));
}

/** Refuse les tailles que les noyaux, quatre nombres à la fois, ne couvrent pas. */
function checkSizes({ hidden_size: D, intermediate_size: F, head_dim: Dh }, tensors) {
  for (const [name, size] of Object.entries({ "La largeur": D, "La couche cachée": F, "Une tête": Dh })) {
    if (size % 4 || size > 16384) throw new Error(`${name} compte ${size} nombres ; il faut un multiple de 4, 16 384 au plus.`);
  }
  for (const { name, shape, type } of Object.values(tensors)) {
    if (shape.length === 1 && BLOCKS[type].name !== "F32") throw new Error(`« ${name} » est en ${BLOCKS[type].name} ; il faut F32.`);
    if (shape.at(-1) % BLOCKS[type].values) throw new Error(`« ${name} » : des lignes de ${shape.at(-1)} nombres ne font pas de blocs entiers.`);
  }
}

/** Décodeur : `read(ids)` rend les scores du jeton suivant ; `attention` dit ce que le dernier a lu. */
export class CompactDecoder {
  /**
   * @param {object} file Ce que rend `readGguf` ; ses poids sont copiés.
   * @param {object} kernels Ce que rend `openKernels`.
   * @param {boolean} judged Mesurer la surprise de chaque jeton lu : un produit de plus par jeton.
   */
  constructor(file, kernels, judged = false) {
    this.config = configOf(file);
    checkSizes(this.config, file.tensors);
    this.kernels = kernels;
    this.judged = judged;
    this.memory = new Memory(kernels);
    this.#placeWeights(file);
    this.#placeBuffers();
    this.ids = []; // les jetons que la mémoire contient
    this.bits = new Float32Array(this.config.max_position_embeddings).fill(NaN); // leur surprise, si on la mesure
    this.scored = 0; // combien de jetons de la mémoire les derniers scores ont lus
    this.computed = 0; // combien de jetons ont été calculés depuis le début
  }

  #placeWeights({ tensors, data }) {
    const start = this.memory.take(data.length);
    new Uint8Array(this.memory.memory.buffer, start, data.length).set(data);
    const find = (name) => {
      if (!tensors[name]) throw new Error(`Le fichier de poids n’a pas de tenseur « ${name} ».`);
      const { type, shape, offset, bytes } = tensors[name];
      return { type, address: start + offset, rows: shape[0], columns: shape.at(-1), rowBytes: bytes / shape[0] };
    };
    this.embedding = find("token_embd.weight");
    this.head = tensors["output.weight"] ? find("output.weight") : this.embedding; // tête liée : les mêmes nombres
    this.finalNorm = find("output_norm.weight");
    this.blocks = Array.from({ length: this.config.num_hidden_layers }, (_, index) => blockWeights(find, index));
  }

  #placeBuffers() {
    const { memory, config } = this;
    const { hidden_size: D, intermediate_size: F, head_dim: Dh, vocab_size: V, max_position_embeddings: N } = config;
    const { num_attention_heads: H, num_key_value_heads: kvHeads } = config;
    this.stride = Math.ceil(N / 4) * 4; // N, par quatre
    const widest = Math.max(D, F, H * Dh);
    const sizes = { x: D, normed: D, added: D, query: H * Dh, turned: H * Dh, key: kvHeads * Dh, value: kvHeads * Dh, mixed: H * Dh, gate: F, up: F };
    this.at = Object.fromEntries(Object.entries(sizes).map(([name, size]) => [name, memory.take(4 * BATCH * size)]));
    this.at.packed = memory.take(BATCH * (2 * widest + widest / 4));
    this.at.logits = memory.take(4 * V * (this.judged ? BATCH : 1));
    const turns = [memory.take(4 * N * Dh), memory.take(4 * N * Dh)];
    const caches = this.blocks.map(() => ({
      keys: memory.take(4 * kvHeads * N * Dh),
      values: memory.take(4 * kvHeads * N * Dh),
      weights: memory.take(4 * H * this.stride),
    }));
    // La mémoire ne grandit plus : les vues qu’on en prend restent bonnes.
    this.caches = caches;
    this.attention = caches.map(({ weights }) => Array.from({ length: H }, (_, head) => memory.floats(weights + 4 * head * this.stride, N)));
    this.turns = turns;
    this.#fillTurns(...turns.map((address) => memory.floats(address, N * Dh)));
  }

  /** Positions rotatives : la paire (2i, 2i + 1) tourne de position × fréquence i ; le sinus porte le signe. */
  #fillTurns(cosines, sines) {
    const { head_dim: Dh, rope_theta: theta, max_position_embeddings: N } = this.config;
    const frequencies = Float32Array.from({ length: Dh / 2 }, (_, i) => theta ** ((-2 * i) / Dh));
    for (let place = 0, k = 0; place < N; place += 1) {
      for (const frequency of frequencies) {
        const angle = Math.fround(place * frequency);
        cosines[k] = cosines[k + 1] = Math.cos(angle);
        sines[k] = -Math.sin(angle);
        sines[k + 1] = -sines[k];
        k += 2;
      }
    }
  }

  /** Lit une suite de jetons ; seuls ceux qui suivent le début déjà connu sont calculés. */
  read(ids) {
    while (!this.advance(ids));
    return this.logits;
  }

  /** Lit un paquet de plus vers `ids` ; vrai quand tout est lu et que les scores sont là. */
  advance(ids) {
    const { max_position_embeddings: limit, vocab_size: size } = this.config;
    if (!ids.length || ids.length > limit) throw new Error(`${ids.length} jetons à lire ; il en faut de 1 à ${limit}.`);
    let known = 0;
    while (known < ids.length && this.ids[known] === ids[known]) known += 1;
    const ready = this.scored === known;
    if (ready && known === ids.length) return true;
    // Juger le premier jeton nouveau demande les scores d’après le dernier jeton connu.
    const again = !ready && (this.judged || known === ids.length);
    const first = Math.max(0, known - (again ? 1 : 0));
    const batch = ids.slice(first, first + BATCH);
    const wrong = batch.find((id) => !(id >= 0 && id < size));
    if (wrong !== undefined) throw new Error(`L’identifiant ${wrong} est hors du vocabulaire (0 à ${size - 1}).`);
    this.ids.length = first;
    this.#step(batch, first);
    const last = first + batch.length === ids.length;
    this.#score(batch, first, ready, last);
    return last;
  }

  /** Les scores d’après le dernier jeton, ou d’après chacun s’il faut les juger. */
  #score(batch, first, ready, last) {
    const { at, judged } = this;
    const { vocab_size: V, hidden_size: D } = this.config;
    if (judged && ready && first) this.bits[first] = this.#surprise(this.logits.byteOffset, batch[0]);
    this.ids.push(...batch);
    this.computed += batch.length;
    if (!judged && !last) return;
    const count = judged ? batch.length : 1;
    this.#normalize(at.x + 4 * D * (batch.length - count), this.finalNorm, at.normed, count);
    this.#pack(at.normed, D, count);
    this.#multiply(this.head, at.normed, at.logits, count);
    for (let i = 1; i < count; i += 1) this.bits[first + i] = this.#surprise(at.logits + 4 * V * (i - 1), batch[i]);
    this.logits = this.memory.floats(at.logits + 4 * V * (count - 1), V);
    this.scored = this.ids.length;
  }

  /** Ce qu’un jeton a d’inattendu, en bits, d’après les scores à cette adresse. */
  #surprise(scores, id) {
    return Math.log2(this.kernels.inverse_probability(scores, this.config.vocab_size, id));
  }

  /** Fait traverser les blocs à un paquet de jetons, à partir de la position `first`. */
  #step(batch, first) {
    const { kernels, at, embedding } = this;
    const { hidden_size: D, intermediate_size: F } = this.config;
    const count = batch.length;
    batch.forEach((id, i) => kernels.dequantize(embedding.type, embedding.address + id * embedding.rowBytes, D, at.x + 4 * D * i));
    this.blocks.forEach((weights, layer) => {
      this.#normalize(at.x, weights.attentionNorm, at.normed, count);
      this.#attend(weights, layer, first, count);
      kernels.add(at.x, at.added, count * D);
      this.#normalize(at.x, weights.feedForwardNorm, at.normed, count);
      this.#pack(at.normed, D, count);
      this.#multiply(weights.gate, at.normed, at.gate, count);
      this.#multiply(weights.up, at.normed, at.up, count);
      kernels.gated(at.gate, at.up, count * F);
      this.#pack(at.gate, F, count);
      this.#multiply(weights.down, at.gate, at.added, count);
      kernels.add(at.x, at.added, count * D);
    });
  }

  /** Attention du paquet sur toute la mémoire, de `normed` vers `added`. */
  #attend(weights, layer, first, count) {
    const { kernels, at } = this;
    const { hidden_size: D, head_dim: Dh, max_position_embeddings: N } = this.config;
    const { num_attention_heads: H, num_key_value_heads: kvHeads } = this.config;
    const { keys, values, weights: kept } = this.caches[layer];
    const [cosines, sines] = this.turns.map((address) => address + 4 * Dh * first);
    const [own, shared] = [4 * Dh * first, N * Dh]; // la place du paquet dans une tête ; d’une tête à l’autre
    this.#pack(at.normed, D, count);
    this.#multiply(weights.query, at.normed, at.query, count);
    this.#multiply(weights.key, at.normed, at.key, count);
    this.#multiply(weights.value, at.normed, at.value, count);
    kernels.rotate(at.query, cosines, sines, H, Dh, count, count * Dh, at.turned);
    kernels.rotate(at.key, cosines, sines, kvHeads, Dh, count, shared, keys + own);
    kernels.store(at.value, kvHeads, Dh, count, shared, values + own);
    kernels.attend(at.turned, keys, values, H, kvHeads, Dh, N, this.stride, first, count, kept, at.mixed);
    this.#pack(at.mixed, H * Dh, count);
    this.#multiply(weights.output, at.mixed, at.added, count);
  }

  #normalize(from, gain, to, count) {
    const { hidden_size: D, rms_norm_eps: epsilon } = this.config;
    this.kernels.normalize(from, gain.address, epsilon, D, count, to);
  }

  /** Range `count` vecteurs en entiers de 16 bits, pour les produits qui suivent. */
  #pack(from, columns, count) {
    if (columns % 32 === 0) this.kernels.quantize(from, columns, count, this.at.packed);
  }

  #multiply({ type, address, rows, columns }, from, to, count) {
    this.kernels.multiply(type, address, rows, columns, count, from, this.at.packed, to);
  }
}
