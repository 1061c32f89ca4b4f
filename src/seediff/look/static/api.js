// What the page asks of its server, and what it hears from it.

export const LOST = "The server is not responding. Changes are not saved. Restart seediff look.";
export const WINDOW = crypto.randomUUID().slice(0, 8);

export class Refused extends Error {
  // answer: the server's; for a change that came too late, with the sample's state.
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
    throw new Refused(0, { error: LOST });
  }
  if (answer.ok) return answer;
  const text = await answer.text();
  let parsed = { error: text };
  try { parsed = JSON.parse(text); } catch { /* plain text */ }
  throw new Refused(answer.status, parsed);
}

export const get = async (path) => (await ask(path)).json();

export async function post(path, body) {
  const headers = { "content-type": "application/json" };
  return (await ask(path, { method: "POST", headers, body: JSON.stringify(body) })).json();
}

// A map of one or two bytes a value: { values, height, width, version }.
export async function pixels(path) {
  const answer = await ask(path);
  const bytes = await answer.arrayBuffer();
  const [height, width] = [Number(answer.headers.get("x-height")), Number(answer.headers.get("x-width"))];
  const values = bytes.byteLength === height * width ? new Uint8Array(bytes) : new Uint16Array(bytes);
  return { values, height, width, version: Number(answer.headers.get("x-version") || 0), headers: answer.headers };
}

export const image = async (path) => createImageBitmap(await (await ask(path)).blob(), { imageOrientation: "none" });

// Send a label map, packed: { tool, version } say what it is.
export async function sendLabels(number, labels, about) {
  const stream = new Blob([labels]).stream().pipeThrough(new CompressionStream("deflate"));
  const packed = await new Response(stream).arrayBuffer();
  const query = new URLSearchParams({ ...about, window: WINDOW });
  return (await ask(`/api/samples/${number}/labels?${query}`, { method: "POST", body: packed })).json();
}

// The address of a sample's thumbnail. labels: whether its mask lies over it.
export const thumb = ({ index, version }, labels) =>
  `/api/samples/${index}/thumb?v=${version}&labels=${Number(labels)}`;

export const act = (number, body) => post(`/api/samples/${number}/act`, { ...body, window: WINDOW });

// Hear what happens in this and other windows. hear(report); lost(isLost) when the connection goes and comes.
export function listen(hear, lost) {
  const events = new EventSource("/api/events");
  events.onmessage = (event) => hear(JSON.parse(event.data));
  events.onopen = () => lost(false);
  events.onerror = () => lost(true);
}

export const decode = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
