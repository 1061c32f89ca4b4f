// What the address keeps behind its #: filters, order, place and sample, so that Back, reload and a copied address bring them back.

export const read = () => Object.fromEntries(new URLSearchParams(location.hash.slice(1)));

// values: name → text; empty ones are left out. push: the browser's Back leads to what was shown before. inside: what `inside` says.
export function write(values, { push = false, inside: from = inside() } = {}) {
  const kept = new URLSearchParams(Object.entries(values).filter(([, value]) => value !== "" && value !== undefined && value !== null));
  const address = `${location.pathname}${kept.size ? `#${kept}` : ""}`;
  if (push) history.pushState({ inside: true }, "", address);
  else history.replaceState({ inside: from }, "", address);
}

// Whether Back leads from a sample to the samples of this very window.
export const inside = () => Boolean(history.state?.inside);
