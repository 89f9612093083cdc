/** D’où vient le modèle : d’un dossier du site, de la réserve du navigateur, ou du noyau d’un cahier. */

import { CompactDecoder, openKernels } from "./llm_compact_decoder.js";
import { Download } from "./llm_download.js";
import { readGguf, tokenizerOf } from "./llm_gguf.js";
import { Loader } from "./llm_loading.js";
import { Offer } from "./llm_offer.js";
import { Session } from "./llm_session.js";
import { checkedWeights, checksum, fetchModel, requestModel } from "./llm_weights.js";

/** Va chercher le modèle où il se trouve et vérifie que ce sont les poids annoncés. */
async function loadSession(model, onProgress) {
  const inNotebook = model.get("weights") !== undefined;
  const files = inNotebook ? await requestModel(model) : await fetchModel(siteFolder(model), onProgress);
  checkedWeights(files.view, model.get("checksum"));
  return new Session(files, model.get("patterns"));
}

/** Sur le site, le dossier des poids. */
const siteFolder = (model) => new URL(`../${model.get("weights_url")}/`, import.meta.url);

/** Une lecture sur les octets d’un GGUF ; `judged` : mesurer la surprise de ce que le lecteur tape. */
export async function openCompact(bytes, patterns, judged = false) {
  const file = readGguf(new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength));
  const decoder = new CompactDecoder(file, await openKernels(), judged);
  return new Session({ decoder, tokenizer: tokenizerOf(file) }, patterns);
}

/** Dans un cahier, le noyau donne le fichier. */
function kernelSource(model) {
  const read = async () => {
    const { view } = await requestModel(model);
    const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
    if (checksum(bytes) !== model.get("checksum")) throw new Error("Les poids reçus ne sont pas ceux que le cahier annonce.");
    return { bytes, kept: true };
  };
  return { isKept: async () => false, read, stoppable: false };
}

/** Ce qui fait venir le modèle : au premier geste s’il est léger, sur demande sinon. */
export function loadingOf(model) {
  const size = model.get("weights_size");
  if (!model.get("gguf")) return (ready) => new Loader(size, (onProgress) => loadSession(model, onProgress), ready);
  const inNotebook = model.get("weights") !== undefined;
  const source = inNotebook
    ? kernelSource(model)
    : new Download(new URL(model.get("gguf"), siteFolder(model)), size, model.get("checksum"));
  const open = (bytes) => openCompact(bytes, model.get("patterns"), Boolean(model.get("reading")));
  return (ready) => new Offer(size, source, async (bytes) => ready(await open(bytes)));
}
