// All requests to the server.

const SILENT = "The server is not responding.";
export const LOST = `${SILENT} Changes are sent again when it is back.`;
const PATIENCE = 30000;

export class Refused extends Error {
  // status: of HTTP, 0 without an answer. answer: with the sample's state, if someone else was faster.
  constructor(status, answer) {
    super(answer.error || `The server answered ${status}`);
    Object.assign(this, { status, answer });
  }
}

async function request(path, options = {}, read = (answer) => answer.json()) {
  let answer, body;
  try {
    answer = await fetch(path, options);
    body = await (answer.ok ? read(answer) : answer.text());
  } catch {
    throw new Refused(0, { error: SILENT });
  }
  if (answer.ok) return body;
  let parsed = { error: body };
  try { parsed = JSON.parse(body); } catch { /* plain text */ }
  throw new Refused(answer.status, parsed);
}

export const get = (path) => request(path);

export function post(path, body, options = {}) {
  const headers = { "content-type": "application/json" };
  return request(path, { method: "POST", headers, body: JSON.stringify(body), ...options });
}

export async function pixels(path) {
  const [{ headers }, bytes] = await request(path, {}, async (answer) => [answer, await answer.arrayBuffer()]);
  const [height, width] = [Number(headers.get("x-height")), Number(headers.get("x-width"))];
  const values = bytes.byteLength === height * width ? new Uint8Array(bytes) : new Uint16Array(bytes);
  return { values, height, width, version: Number(headers.get("x-version") || 0), headers };
}

export const image = async (path) => createImageBitmap(await request(path, {}, (answer) => answer.blob()), { imageOrientation: "none" });

// change: { tool, version, … }, what changed which version. Promises the new state.
export async function sendLabels(number, labels, change) {
  const stream = new Blob([labels]).stream().pipeThrough(new CompressionStream("deflate"));
  const packed = await new Response(stream).arrayBuffer();
  const options = { method: "POST", body: packed, signal: AbortSignal.timeout(PATIENCE) };
  return only(change, await request(`/api/samples/${number}/labels?${new URLSearchParams(change)}`, options));
}

export async function act(number, { version, ...body }, path = "/api/act") {
  const options = { signal: AbortSignal.timeout(PATIENCE) };
  return only({ version }, await post(path, { ...body, samples: [[number, version]] }, options));
}

function only({ version }, { samples: [state], refused }) {
  const error = refused[state.index];
  if (error) throw new Refused(state.version === Number(version) ? 400 : 409, { ...state, error });
  return state;
}

export const decode = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
