/**
 * Le décodeur de type Llama, un jeton à la fois, avec sa mémoire cache.
 * Noms des poids et des tailles : ceux de Hugging Face. D = largeur, Dh = celle d’une tête, N = contexte.
 */

/** y = W x, pour W (lignes, colonnes) rangée ligne par ligne. */
function multiply(y, weights, x) {
  const columns = x.length;
  for (let row = 0, start = 0; row < y.length; row += 1, start += columns) {
    let a = 0, b = 0, c = 0, d = 0; // quatre sommes indépendantes : le processeur les mène de front
    let j = 0;
    for (; j + 3 < columns; j += 4) {
      a += weights[start + j] * x[j];
      b += weights[start + j + 1] * x[j + 1];
      c += weights[start + j + 2] * x[j + 2];
      d += weights[start + j + 3] * x[j + 3];
    }
    for (; j < columns; j += 1) a += weights[start + j] * x[j];
    y[row] = a + b + (c + d);
  }
}

/** RMSNorm : x / √(moyenne des carrés + ε), puis un gain par coordonnée. */
function normalize(y, x, gain, epsilon) {
  let squares = 0;
  for (let i = 0; i < x.length; i += 1) squares += x[i] * x[i];
  const scale = 1 / Math.sqrt(squares / x.length + epsilon);
  for (let i = 0; i < x.length; i += 1) y[i] = x[i] * scale * gain[i];
}

/** Softmax sur place des `count` premières valeurs. */
function softmaxInPlace(values, count) {
  let largest = -Infinity;
  let total = 0;
  for (let i = 0; i < count; i += 1) largest = Math.max(largest, values[i]);
  for (let i = 0; i < count; i += 1) total += values[i] = Math.exp(values[i] - largest);
  for (let i = 0; i < count; i += 1) values[i] /= total;
}

/** Ce qu’un jeton a d’inattendu, en bits : −log2 de sa probabilité (softmax des scores). */
function surprise(scores, id) {
  const largest = scores.reduce((a, b) => Math.max(a, b), -Infinity);
  const total = scores.reduce((sum, score) => sum + Math.exp(score - largest), 0);
  return (Math.log(total) + largest - scores[id]) / Math.LN2;
}

/** Les poids d’un bloc, par un nom court. */
function blockWeights(tensors, index) {
  const read = (name) => tensorValues(tensors, `model.layers.${index}.${name}.weight`);
  const attention = (name) => read(`self_attn.${name}_proj`);
  return {
    query: attention("q"),
    key: attention("k"),
    value: attention("v"),
    output: attention("o"),
    gate: read("mlp.gate_proj"),
    up: read("mlp.up_proj"),
    down: read("mlp.down_proj"),
    attentionNorm: read("input_layernorm"),
    feedForwardNorm: read("post_attention_layernorm"),
  };
}

function tensorValues(tensors, name) {
  if (!tensors[name]) throw new Error(`Le fichier de poids n’a pas de tenseur « ${name} ».`);
  return tensors[name].values;
}

/** Décodeur : `read(ids)` rend les scores du jeton suivant ; `attention` dit ce que le dernier a lu. */
export class Decoder {
  /**
   * @param {object} config Contenu de config.json, au format de Hugging Face.
   * @param {Record<string, {values: Float32Array}>} tensors
   */
  constructor(config, tensors) {
    const { vocab_size: V, max_position_embeddings: N, hidden_size: D, intermediate_size: F, head_dim: Dh } = config;
    const { num_hidden_layers: L, num_attention_heads: H, num_key_value_heads: kvHeads } = config;
    this.config = config;
    this.embedding = tensorValues(tensors, "model.embed_tokens.weight");
    this.head = tensors["lm_head.weight"]?.values ?? this.embedding; // tête liée : les mêmes nombres
    this.finalNorm = tensorValues(tensors, "model.norm.weight");
    this.blocks = Array.from({ length: L }, (_, index) => blockWeights(tensors, index));
    this.keys = this.blocks.map(() => new Float32Array(N * kvHeads * Dh)); // mémoire cache
    this.values = this.blocks.map(() => new Float32Array(N * kvHeads * Dh));
    this.attention = this.blocks.map(() => Array.from({ length: H }, () => new Float32Array(N)));
    const sizes = { x: D, normed: D, added: D, query: H * Dh, mixed: H * Dh, gate: F, up: F, logits: V };
    this.scratch = Object.fromEntries(Object.entries(sizes).map(([name, size]) => [name, new Float32Array(size)]));
    this.frequencies = Float32Array.from({ length: Dh / 2 }, (_, i) => config.rope_theta ** ((-2 * i) / Dh));
    this.ids = []; // les jetons que la mémoire contient
    this.bits = new Float32Array(N); // la surprise de chacun, sachant ceux d’avant
    this.scored = 0; // combien de jetons de la mémoire les derniers scores ont lus
    this.computed = 0; // combien de jetons ont été calculés depuis le début
  }

  /** Lit une suite de jetons ; seuls ceux qui suivent le début déjà connu sont calculés. */
  read(ids) {
    const { max_position_embeddings: limit, vocab_size: size } = this.config;
    if (!ids.length || ids.length > limit) throw new Error(`${ids.length} jetons à lire ; il en faut de 1 à ${limit}.`);
    let known = 0;
    while (known < ids.length && this.ids[known] === ids[known]) known += 1;
    // Juger le premier jeton nouveau demande les scores d’après le dernier jeton connu.
    const first = Math.max(0, known < ids.length && this.scored === known ? known : known - 1);
    this.ids.length = first;
    for (let place = first; place < ids.length; place += 1) {
      const id = ids[place];
      if (!(id >= 0 && id < size)) throw new Error(`L’identifiant ${id} est hors du vocabulaire (0 à ${size - 1}).`);
      if (place && place >= known) this.bits[place] = surprise(this.scratch.logits, id);
      this.#step(id);
      this.#score();
    }
    return this.scratch.logits;
  }

  /** Les scores du jeton suivant, d’après le dernier lu. */
  #score() {
    normalize(this.scratch.normed, this.scratch.x, this.finalNorm, this.config.rms_norm_eps);
    multiply(this.scratch.logits, this.head, this.scratch.normed);
    this.scored = this.ids.length;
  }

  /** Fait traverser les blocs à un jeton, à la position suivante. */
  #step(id) {
    const { x, normed, added } = this.scratch;
    const { hidden_size: D, rms_norm_eps: epsilon } = this.config;
    x.set(this.embedding.subarray(id * D, (id + 1) * D));
    this.blocks.forEach((weights, layer) => {
      normalize(normed, x, weights.attentionNorm, epsilon);
      this.#attend(weights, layer);
      for (let i = 0; i < D; i += 1) x[i] += added[i];
      normalize(normed, x, weights.feedForwardNorm, epsilon);
      this.#think(weights);
      for (let i = 0; i < D; i += 1) x[i] += added[i];
    });
    this.ids.push(id);
    this.computed += 1;
  }

  /** SwiGLU : W2 (silu(Wg x) × W1 x), de `normed` vers `added`. */
  #think(weights) {
    const { normed, gate, up, added } = this.scratch;
    multiply(gate, weights.gate, normed);
    multiply(up, weights.up, normed);
    for (let i = 0; i < gate.length; i += 1) gate[i] = (gate[i] / (1 + Math.exp(-gate[i]))) * up[i];
    multiply(added, weights.down, gate);
  }

  /** Attention du jeton courant sur tous ceux de la mémoire, de `normed` vers `added`. */
  #attend(weights, layer) {
    const { normed, query, mixed, added } = this.scratch;
    const { num_attention_heads: H, num_key_value_heads: kvHeads, head_dim: Dh } = this.config;
    const position = this.ids.length;
    const width = kvHeads * Dh; // une position de la mémoire : Hkv × Dh nombres
    const keys = this.keys[layer];
    const values = this.values[layer];
    const key = keys.subarray(position * width, (position + 1) * width);
    multiply(query, weights.query, normed);
    multiply(key, weights.key, normed);
    multiply(values.subarray(position * width, (position + 1) * width), weights.value, normed);
    this.#rotate(query, position);
    this.#rotate(key, position);
    for (let head = 0; head < H; head += 1) {
      const shared = Math.floor((head * kvHeads) / H) * Dh; // H têtes se partagent Hkv clés
      this.#readHead(this.attention[layer][head], query, mixed, head * Dh, keys, values, shared, width, position + 1);
    }
    multiply(added, weights.output, mixed);
  }

  /** Une tête : ses poids d’attention sur `count` positions, puis la moyenne des valeurs. */
  #readHead(attention, query, mixed, own, keys, values, shared, width, count) {
    const Dh = this.config.head_dim;
    const scale = 1 / Math.sqrt(Dh);
    for (let t = 0, start = shared; t < count; t += 1, start += width) {
      let score = 0;
      for (let i = 0; i < Dh; i += 1) score += query[own + i] * keys[start + i];
      attention[t] = score * scale;
    }
    softmaxInPlace(attention, count);
    mixed.fill(0, own, own + Dh);
    for (let t = 0, start = shared; t < count; t += 1, start += width) {
      for (let i = 0; i < Dh; i += 1) mixed[own + i] += attention[t] * values[start + i];
    }
  }

  /** Positions rotatives : chaque paire (i, i + Dh/2) tourne de position × fréquence i. */
  #rotate(vector, position) {
    const { head_dim: Dh } = this.config;
    const half = Dh / 2;
    for (let i = 0; i < half; i += 1) {
      const angle = Math.fround(position * this.frequencies[i]);
      const cos = Math.cos(angle);
      const sin = Math.sin(angle);
      for (let start = i; start < vector.length; start += Dh) {
        const first = vector[start];
        const second = vector[start + half];
        vector[start] = first * cos - second * sin;
        vector[start + half] = second * cos + first * sin;
      }
    }
  }
}
