// A list of samples, which are asked for in chunks.

import { get } from "./api.js";

const CHUNK = 100; // samples that are asked for together
const chunkOf = (place) => Math.floor(place / CHUNK);

export class SampleList {
  samples = new Map(); // place → sample
  chunks = new Map(); // number → a promise that its samples are here
  heard = new Map(); // sample's number → its newest state

  // view: the server's name of the list. count: its samples, each of which has a place. sort: what it is sorted by.
  constructor(view = null, count = 0, sort = "") { Object.assign(this, { view, count, sort }); }

  has(place) { return place >= 0 && place < this.count; }

  // The sample at a place, if it is here.
  at(place) { return this.samples.get(place); }

  async sampleAt(place) {
    await this.fill([place]);
    return this.at(place);
  }

  // Ask for the samples at places, unless they are here.
  fill(places) {
    const numbers = [...new Set(places.map(chunkOf))];
    for (const number of numbers) if (!this.chunks.has(number)) this.chunks.set(number, this.ask(number));
    return Promise.all(numbers.map((number) => this.chunks.get(number)));
  }

  async ask(number) {
    try {
      const { samples } = await get(`/api/views/${this.view}?begin=${number * CHUNK}&count=${CHUNK}`);
      samples.forEach((sample, i) => {
        const heard = this.heard.get(sample.index); // in the meantime: newer than the answer
        this.samples.set(number * CHUNK + i, heard?.version > sample.version ? { ...sample, ...heard } : sample);
      });
    } catch (error) {
      this.chunks.delete(number);
      throw error;
    }
  }

  // A sample's state. Answers and reports may come late: an older version changes nothing.
  hear(state) {
    if (this.heard.get(state.index)?.version > state.version) return;
    this.heard.set(state.index, state);
    for (const sample of this.samples.values()) {
      if (sample.index === state.index && sample.version <= state.version) Object.assign(sample, state);
    }
  }
}
