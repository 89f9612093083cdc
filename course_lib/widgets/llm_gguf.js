/**
 * Un fichier GGUF : ses réglages, son tokeniseur, la place de ses tenseurs. Les poids ne sont pas lus
 * ici : ils restent tels quels, en blocs de quelques bits (voir llm_kernels.c).
 *
 *     « GGUF » · version · nombre de tenseurs · nombre de réglages
 *     réglages (clé, type, valeur) · tenseurs (nom, dimensions, format, place) · données
 */

const STRING = 8;
const ARRAY = 9;
const READERS = {
  0: ["getUint8", 1], 1: ["getInt8", 1], 2: ["getUint16", 2], 3: ["getInt16", 2], 4: ["getUint32", 4],
  5: ["getInt32", 4], 6: ["getFloat32", 4], 7: ["getUint8", 1], 10: ["getBigUint64", 8],
  11: ["getBigInt64", 8], 12: ["getFloat64", 8],
};
const CONTROL = 3; // le type des jetons spéciaux

/** Les formats que les noyaux lisent : leur code, les nombres et les octets d’un bloc. */
export const BLOCKS = {
  0: { name: "F32", values: 1, bytes: 4 },
  1: { name: "F16", values: 1, bytes: 2 },
  8: { name: "Q8_0", values: 32, bytes: 34 },
  11: { name: "Q3_K", values: 256, bytes: 110 },
  12: { name: "Q4_K", values: 256, bytes: 144 },
  14: { name: "Q6_K", values: 256, bytes: 210 },
  23: { name: "IQ4_XS", values: 256, bytes: 136 },
};

/** Avance dans l’en-tête, un champ après l’autre. */
class Cursor {
  constructor(view) {
    this.view = view;
    this.place = 0;
    this.text = new TextDecoder();
  }

  number(code) {
    const [method, size] = READERS[code] ?? [];
    if (!size) throw new Error(`Fichier GGUF illisible : type de réglage inconnu (${code}).`);
    this.place += size;
    return Number(this.view[method](this.place - size, true));
  }

  string() {
    const length = this.number(10);
    const bytes = new Uint8Array(this.view.buffer, this.view.byteOffset + this.place, length);
    this.place += length;
    return this.text.decode(bytes);
  }

  value(code) {
    if (code === STRING) return this.string();
    if (code !== ARRAY) return this.number(code);
    const kind = this.number(4);
    return Array.from({ length: this.number(10) }, () => this.value(kind));
  }
}

/** Un tenseur de l’en-tête ; `shape` dans l’ordre de PyTorch, `offset` depuis le début des données. */
function readTensor(cursor) {
  const name = cursor.string();
  const shape = Array.from({ length: cursor.number(4) }, () => cursor.number(10)).reverse();
  const type = cursor.number(4);
  const block = BLOCKS[type];
  if (!block) throw new Error(`« ${name} » est d’un format que la page ne sait pas lire (code ${type}).`);
  const count = shape.reduce((product, size) => product * size, 1);
  return { name, shape, type, offset: cursor.number(10), bytes: (count / block.values) * block.bytes };
}

/**
 * Lit l’en-tête d’un GGUF.
 * @param {DataView} view Le fichier entier.
 * @returns {{settings: Record<string, any>, tensors: Record<string, object>, data: Uint8Array}}
 */
export function readGguf(view) {
  const cursor = new Cursor(view);
  const version = cursor.number(4) === 0x46554747 ? cursor.number(4) : 0;
  if (version !== 2 && version !== 3) throw new Error("Ce n’est pas un fichier GGUF (version 2 ou 3).");
  const [tensorCount, settingCount] = [cursor.number(10), cursor.number(10)];
  const settings = {};
  for (let i = 0; i < settingCount; i += 1) {
    const key = cursor.string();
    settings[key] = cursor.value(cursor.number(4));
  }
  const tensors = {};
  for (let i = 0; i < tensorCount; i += 1) {
    const tensor = readTensor(cursor);
    tensors[tensor.name] = tensor;
  }
  const alignment = settings["general.alignment"] ?? 32;
  const start = Math.ceil(cursor.place / alignment) * alignment;
  const data = new Uint8Array(view.buffer, view.byteOffset + start, view.byteLength - start);
  const last = Math.max(...Object.values(tensors).map(({ offset, bytes }) => offset + bytes));
  if (last > data.length) throw new Error(`Fichier GGUF incomplet : ${data.length} octets de poids sur ${last}.`);
  return { settings, tensors, data };
}

/** Les tailles du modèle, sous les noms de Hugging Face. */
export function configOf({ settings, tensors }) {
  const architecture = settings["general.architecture"];
  if (architecture !== "llama") throw new Error(`La page ne fait pas tourner un GGUF « ${architecture} ».`);
  const read = (name) => settings[`llama.${name}`];
  const [width, heads] = [read("embedding_length"), read("attention.head_count")];
  return {
    vocab_size: tensors["token_embd.weight"].shape[0],
    max_position_embeddings: read("context_length"),
    hidden_size: width,
    intermediate_size: read("feed_forward_length"),
    num_hidden_layers: read("block_count"),
    num_attention_heads: heads,
    num_key_value_heads: read("attention.head_count_kv") ?? heads,
    head_dim: read("attention.key_length") ?? width / heads,
    rope_theta: read("rope.freq_base") ?? 10000,
    rms_norm_eps: read("attention.layer_norm_rms_epsilon"),
  };
}

/** Le tokeniseur du fichier, sous la forme de `tokenizer.json` ; `digits` : les chiffres, un à un. */
export function tokenizerOf({ settings }) {
  const [tokens, kinds] = [settings["tokenizer.ggml.tokens"], settings["tokenizer.ggml.token_type"]];
  const added = tokens.map((content, id) => ({ content, id })).filter(({ id }) => kinds[id] === CONTROL);
  const vocab = Object.fromEntries(tokens.map((token, id) => [token, id]));
  const digits = settings["tokenizer.ggml.pre"] !== "gpt-2";
  const split = { type: digits ? "Sequence" : "ByteLevel" };
  return { model: { vocab, merges: settings["tokenizer.ggml.merges"] }, added_tokens: added, pre_tokenizer: split };
}
