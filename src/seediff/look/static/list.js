// A list of samples, which are asked for in chunks.

import { get } from "./api.js";

const CHUNK = 100; // samples that are asked for together
const chunkOf = (place) => Math.floor(place / CHUNK);

export class SampleList {
  chunks = new Map(); // number → samples; null while asked for
  asking = 0; // chunks that are asked for
  heard = new Map(); // newer states, heard in the meantime

  // view: the server's name of the list. count: its samples, each of which has a place. sort: what it is sorted by.
  constructor(view = null, count = 0, sort = "") { Object.assign(this, { view, count, sort }); }

  has(place) { return place >= 0 && place < this.count; }

  // The sample at a place, if it is known.
  at(place) { return this.chunks.get(chunkOf(place))?.[place % CHUNK]; }

  async sampleAt(place) { return this.at(place) || (await this.ask(chunkOf(place)))[place % CHUNK]; }

  // Ask for the samples at places.
  async fill(places) {
    for (const number of new Set(places.map(chunkOf))) {
      if (this.chunks.has(number)) continue;
      this.chunks.set(number, null);
      try {
        await this.ask(number);
      } catch (error) {
        this.chunks.delete(number);
        throw error;
      }
    }
  }

  // A chunk's samples; what was heard in the meantime is newer than the answer.
  async ask(number) {
    this.asking += 1;
    try {
      const { samples } = await get(`/api/views/${this.view}?begin=${number * CHUNK}&count=${CHUNK}`);
      for (const one of samples) {
        const heard = this.heard.get(one.index);
        if (heard?.version > one.version) Object.assign(one, heard);
      }
      this.chunks.set(number, samples);
      return samples;
    } finally {
      this.asking -= 1;
      if (!this.asking) this.heard.clear();
    }
  }

  // A sample's newer state.
  hear(state) {
    if (this.asking) this.heard.set(state.index, state);
    for (const samples of this.chunks.values()) {
      const found = samples?.find((one) => one.index === state.index);
      if (found) Object.assign(found, state);
    }
  }
}
