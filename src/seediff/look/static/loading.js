// Samples from the server, also ahead of time.

import { get, image, pixels } from "./api.js";

const loading = new Map(); // sample's number → a promise of { about, labels, photo }

// A sample's state and label map. The older version of both counts, so that the server refuses changes if they differ.
export async function fetchSample(number) {
  const [about, labels] = await Promise.all([get(`/api/samples/${number}`), pixels(`/api/samples/${number}/labels`)]);
  return { about: { ...about, version: Math.min(about.version, labels.version) }, labels };
}

export function load(number) {
  if (!loading.has(number)) {
    const both = Promise.all([fetchSample(number), image(`/api/samples/${number}/image`)]);
    loading.set(number, both.then(([sample, photo]) => ({ ...sample, photo })));
    both.catch(() => forget(number)); // so that it can be tried again
  }
  return loading.get(number);
}

// Load a sample that is likely to be opened next.
export function prefetch(number) {
  if (loading.size < 2) load(number).catch(() => {});
}

// What is at hand of a sample is old.
export const forget = (number) => loading.delete(number);

export const forgetAll = () => loading.clear();
