// Requests to the server, and its reports. Every module that needs the server goes through this one.

const SILENT = "The server is not responding.";
export const LOST = `${SILENT} Changes are sent again when it is back.`;
const PATIENCE = 30000; // milliseconds after which a change without an answer is sent again
// A new name, such as of a request. (randomUUID is missing in pages that come over a network.)
export const unique = () => crypto.getRandomValues(new Uint32Array(2)).join("-");

export const WINDOW = unique(); // name of this window in requests and reports

export class Refused extends Error {
  // status: of HTTP, or 0 without an answer. answer: the server's; if someone else was faster, with the sample's state.
  constructor(status, answer) {
    super(answer.error || `The server answered ${status}`);
    Object.assign(this, { status, answer });
  }
}

// Ask the server. read: reads the answer's body, which may break off like the answer itself.
async function ask(path, options = {}, read = (answer) => answer.json()) {
  let answer, body;
  try {
    answer = await fetch(path, options);
    body = await (answer.ok ? read(answer) : answer.text());
  } catch {
    throw new Refused(0, { error: SILENT });
  }
  if (answer.ok) return body;
  const text = body;
  let parsed = { error: text };
  try { parsed = JSON.parse(text); } catch { /* plain text */ }
  throw new Refused(answer.status, parsed);
}

export const get = (path) => ask(path);

export function post(path, body, options = {}) {
  const headers = { "content-type": "application/json" };
  return ask(path, { method: "POST", headers, body: JSON.stringify(body), ...options });
}

// A label map or the like, one or two bytes a pixel: { values, height, width, version, headers }.
export async function pixels(path) {
  const [{ headers }, bytes] = await ask(path, {}, async (answer) => [answer, await answer.arrayBuffer()]);
  const [height, width] = [Number(headers.get("x-height")), Number(headers.get("x-width"))];
  const values = bytes.byteLength === height * width ? new Uint8Array(bytes) : new Uint16Array(bytes);
  return { values, height, width, version: Number(headers.get("x-version") || 0), headers };
}

export const image = async (path) => createImageBitmap(await ask(path, {}, (answer) => answer.blob()), { imageOrientation: "none" });

// Save a label map. number: the sample's. about: { tool, version, … }, what changed which version. Promises the new state.
export async function sendLabels(number, labels, about) {
  const stream = new Blob([labels]).stream().pipeThrough(new CompressionStream("deflate"));
  const packed = await new Response(stream).arrayBuffer();
  const query = new URLSearchParams({ ...about, window: WINDOW });
  const options = { method: "POST", body: packed, signal: AbortSignal.timeout(PATIENCE) };
  return ask(`/api/samples/${number}/labels?${query}`, options);
}

// The address of a sample's thumbnail. labels: whether to draw its mask.
export const thumb = ({ index, version }, labels) =>
  `/api/samples/${index}/thumb?v=${version}&labels=${Number(labels)}`;

export const act = (number, body) =>
  post(`/api/samples/${number}/act`, { ...body, window: WINDOW }, { signal: AbortSignal.timeout(PATIENCE) });

// Call hear(report) for whatever happens in any window, and lost(isLost) when the connection breaks or comes back.
export function listen(hear, lost) {
  const events = new EventSource("/api/events");
  events.onmessage = (event) => hear(JSON.parse(event.data));
  events.onopen = () => lost(false);
  events.onerror = () => lost(true);
}

// The bytes of a base64 text.
export const decode = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
