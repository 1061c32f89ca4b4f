// Samples from the server.

import { get, image, pixels } from "./api.js";

export const all = (await get("/api/samples")).samples;

export function update(state) {
  if (state.version >= all[state.index].version) Object.assign(all[state.index], state);
}

export class SampleList {
  constructor(samples = [], sort = "") { Object.assign(this, { samples, sort }); }

  get count() { return this.samples.length; }

  has(place) { return place >= 0 && place < this.count; }

  at(place) { return this.samples[place]; }

  placeOf(number) { return this.samples.findIndex(({ index }) => index === number); }

  equals({ samples }) { return samples.length === this.count && samples.every((one, i) => one === this.samples[i]); }
}

const loading = new Map();

// If versions differ, the older one counts: the server refuses changes.
export async function fetchSample(number) {
  const [record, labels] = await Promise.all([get(`/api/samples/${number}`), pixels(`/api/samples/${number}/labels`)]);
  return { record: { ...record, version: Math.min(record.version, labels.version) }, labels };
}

export function load(number) {
  if (!loading.has(number)) {
    const both = Promise.all([fetchSample(number), image(`/api/samples/${number}/image`)]);
    loading.set(number, both.then(([sample, photo]) => ({ ...sample, photo })));
    both.catch(() => forget(number));
  }
  return loading.get(number);
}

export function prefetch(number) {
  if (loading.size < 2) load(number).catch(() => {});
}

export const forget = (number) => loading.delete(number);

export const forgetAll = () => loading.clear();
