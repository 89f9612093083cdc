/**
 * Les fichiers du modèle : les trouver, les recevoir, les lire.
 * Un fichier safetensors = 8 octets (taille de l’en-tête), un en-tête JSON, puis les nombres.
 */

let halfTable = null;

/** La valeur de chacun des 65 536 demi-flottants (1 signe, 5 bits d’exposant, 10 de mantisse). */
function halfValues() {
  if (halfTable) return halfTable;
  halfTable = new Float32Array(65536);
  for (let bits = 0; bits < 65536; bits += 1) {
    const sign = bits >> 15 ? -1 : 1;
    const exponent = (bits >> 10) & 31;
    const fraction = (bits & 1023) / 1024;
    if (exponent === 31) halfTable[bits] = fraction ? NaN : sign * Infinity;
    else halfTable[bits] = sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction) : 2 ** -14 * fraction);
  }
  return halfTable;
}

/** Lit `count` nombres F16 ou F32 à la place `offset`. */
function readNumbers(view, dtype, offset, count) {
  const values = new Float32Array(count);
  if (dtype === "F16") {
    const table = halfValues();
    for (let i = 0; i < count; i += 1) values[i] = table[view.getUint16(offset + 2 * i, true)];
  } else if (dtype === "F32") {
    for (let i = 0; i < count; i += 1) values[i] = view.getFloat32(offset + 4 * i, true);
  } else {
    throw new Error(`Type de nombre « ${dtype} » non pris en charge : il faut F16 ou F32.`);
  }
  return values;
}

/** Où finit l’en-tête, donc où commencent les nombres. */
const dataStart = (view) => 8 + Number(view.getBigUint64(0, true));

/**
 * Lit un fichier safetensors.
 * @param {DataView} view
 * @returns {Record<string, {shape: number[], values: Float32Array}>}
 */
export function readSafetensors(view) {
  const start = dataStart(view);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(view.buffer, view.byteOffset + 8, start - 8)));
  delete header.__metadata__;
  const tensors = {};
  for (const [name, { dtype, shape, data_offsets: [first] }] of Object.entries(header)) {
    const count = shape.reduce((product, size) => product * size, 1);
    tensors[name] = { shape, values: readNumbers(view, dtype, start + first, count) };
  }
  return tensors;
}

/** Rend ces poids si ce sont bien ceux que la page annonce ; refuse sinon. */
export function checkedWeights(view, announced) {
  if (weightsChecksum(view) !== announced) throw new Error("Les poids reçus ne sont pas ceux que la page annonce.");
  return view;
}

/** Somme CRC-32 des nombres d’un fichier safetensors. */
function weightsChecksum(view) {
  const start = dataStart(view);
  return checksum(new Uint8Array(view.buffer, view.byteOffset + start, view.byteLength - start));
}

/** Somme CRC-32 : elle dit si ces octets sont ceux que la page annonce. */
export function checksum(bytes) {
  const table = Int32Array.from({ length: 256 }, (_, byte) => {
    let value = byte;
    for (let bit = 0; bit < 8; bit += 1) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
    return value;
  });
  let crc = -1;
  for (let i = 0; i < bytes.length; i += 1) crc = table[(crc ^ bytes[i]) & 255] ^ (crc >>> 8);
  return ~crc >>> 0;
}

/** Télécharge un fichier ; `onProgress(octets)` à chaque morceau reçu. */
async function download(url, onProgress) {
  const response = await fetch(url);
  if (!response.ok) throw new Error(`${url.pathname} : réponse ${response.status}`);
  const parts = [];
  const reader = response.body.getReader();
  for (let received = 0; ; ) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    onProgress((received += value.length));
  }
  return new Blob(parts).arrayBuffer();
}

/** Les poids d’un dossier du site. @returns {Promise<DataView>} */
export async function fetchWeights(folder, onProgress = () => {}) {
  return new DataView(await download(new URL("model.safetensors", folder), onProgress));
}

/** Les poids que la page porte en elle, écrits en base 64. @returns {DataView} */
export function embeddedWeights(text) {
  return new DataView(Uint8Array.from(atob(text), (character) => character.charCodeAt(0)).buffer);
}

/** Les trois fichiers d’un dossier du site. @returns {Promise<{view, config, tokenizer}>} */
export async function fetchModel(folder, onProgress = () => {}) {
  const json = async (name) => JSON.parse(await new Blob([await download(new URL(name, folder), () => {})]).text());
  const [view, config, tokenizer] = await Promise.all([
    fetchWeights(folder, onProgress),
    json("config.json"),
    json("tokenizer.json"),
  ]);
  return { view, config, tokenizer };
}

/** Dans un cahier, on demande les poids au noyau ; ils arrivent par la liaison du composant. */
export function requestModel(model) {
  return new Promise((resolve) => {
    const receive = () => {
      const view = model.get("weights");
      if (!view?.byteLength) return;
      model.off("change:weights", receive);
      resolve({ view, ...JSON.parse(model.get("definition")) });
      // Le noyau reprend alors les poids : un cahier enregistré ensuite ne les contient pas.
      model.set("requested", false);
      model.save_changes();
    };
    model.on("change:weights", receive);
    model.set("requested", true);
    model.save_changes();
    receive();
  });
}
