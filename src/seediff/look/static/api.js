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

async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, options);
  } catch {
    throw new Refused(0, { error: SILENT });
  }
  if (answer.ok) return answer;
  const text = await answer.text();
  let parsed = { error: text };
  try { parsed = JSON.parse(text); } catch { /* plain text */ }
  throw new Refused(answer.status, parsed);
}

export const get = async (path) => (await ask(path)).json();

export async function post(path, body, options = {}) {
  const headers = { "content-type": "application/json" };
  return (await ask(path, { method: "POST", headers, body: JSON.stringify(body), ...options })).json();
}

// A label map or the like, one or two bytes a pixel: { values, height, width, version, headers }.
export async function pixels(path) {
  const answer = await ask(path);
  const bytes = await answer.arrayBuffer();
  const [height, width] = [Number(answer.headers.get("x-height")), Number(answer.headers.get("x-width"))];
  const values = bytes.byteLength === height * width ? new Uint8Array(bytes) : new Uint16Array(bytes);
  return { values, height, width, version: Number(answer.headers.get("x-version") || 0), headers: answer.headers };
}

export const image = async (path) => createImageBitmap(await (await ask(path)).blob(), { imageOrientation: "none" });

// Save a label map. number: the sample's. about: { tool, version, … }, what changed which version. Promises the new state.
export async function sendLabels(number, labels, about) {
  const stream = new Blob([labels]).stream().pipeThrough(new CompressionStream("deflate"));
  const packed = await new Response(stream).arrayBuffer();
  const query = new URLSearchParams({ ...about, window: WINDOW });
  const options = { method: "POST", body: packed, signal: AbortSignal.timeout(PATIENCE) };
  return (await ask(`/api/samples/${number}/labels?${query}`, options)).json();
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
