// Samples from the server: a list, loaded in chunks for browse.js, and single samples with pictures for sample.js.

import { get, image, pixels } from "./api.js";

const CHUNK = 100; // samples that are requested together
const chunkOf = (place) => Math.floor(place / CHUNK);

export class SampleList {
  samples = new Map(); // place → sample
  chunks = new Map(); // chunk's number → a promise that its samples are loaded
  heard = new Map(); // sample's number → its newest state

  // view: the server's name of the list. count: the number of its samples. sort: what they are sorted by.
  constructor(view = null, count = 0, sort = "") { Object.assign(this, { view, count, sort }); }

  has(place) { return place >= 0 && place < this.count; }

  // The sample at a place, if it is loaded.
  at(place) { return this.samples.get(place); }

  async sampleAt(place) {
    await this.fill([place]);
    return this.at(place);
  }

  // Load the samples at places.
  fill(places) {
    const numbers = [...new Set(places.map(chunkOf))];
    for (const number of numbers) if (!this.chunks.has(number)) this.chunks.set(number, this.loadChunk(number));
    return Promise.all(numbers.map((number) => this.chunks.get(number)));
  }

  async loadChunk(number) {
    try {
      const { samples } = await get(`/api/views/${this.view}?begin=${number * CHUNK}&count=${CHUNK}`);
      samples.forEach((sample, i) => {
        const heard = this.heard.get(sample.index); // while the answer was on its way
        this.samples.set(number * CHUNK + i, heard?.version > sample.version ? { ...sample, ...heard } : sample);
      });
    } catch (error) {
      this.chunks.delete(number);
      throw error;
    }
  }

  // Keep a sample's new state. Answers and reports may come late: an older version changes nothing.
  hear(state) {
    if (this.heard.get(state.index)?.version > state.version) return;
    this.heard.set(state.index, state);
    for (const sample of this.samples.values()) {
      if (sample.index === state.index && sample.version <= state.version) Object.assign(sample, state);
    }
  }
}

const loading = new Map(); // sample's number → what `load` promised

// Promises a sample's { about, labels }. If their versions differ, the older one counts, so that the server refuses
// changes.
export async function fetchSample(number) {
  const [about, labels] = await Promise.all([get(`/api/samples/${number}`), pixels(`/api/samples/${number}/labels`)]);
  return { about: { ...about, version: Math.min(about.version, labels.version) }, labels };
}

// Promises a sample to open: { about, labels, photo }.
export function load(number) {
  if (!loading.has(number)) {
    const both = Promise.all([fetchSample(number), image(`/api/samples/${number}/image`)]);
    loading.set(number, both.then(([sample, photo]) => ({ ...sample, photo })));
    both.catch(() => forget(number)); // so that it can be tried again
  }
  return loading.get(number);
}

// Load a sample that will probably be opened next.
export function prefetch(number) {
  if (loading.size < 2) load(number).catch(() => {});
}

// Load a sample again the next time, for it has changed.
export const forget = (number) => loading.delete(number);

export const forgetAll = () => loading.clear();
