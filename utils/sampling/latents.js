"use strict";
// Latent vectors, and ways between them.

const PARALLEL = 1e-7;  // sine of the angle below which two directions count as the same, or as opposite

// Random numbers in [0, 1) of a seed: SplitMix (Steele et al. 2014) in 32 bits, a counter whose
// values go through the finalizer of MurmurHash3.
function uniform(seed) {
  const mix = x => {
    x = Math.imul(x ^ x >>> 16, 0x85ebca6b);
    x = Math.imul(x ^ x >>> 13, 0xc2b2ae35);
    return (x ^ x >>> 16) >>> 0;
  };
  // Mixed first: otherwise the counters of neighbouring seeds would overlap.
  let counter = mix(seed);
  return () => {
    counter = counter + 0x9e3779b9 | 0;
    return mix(counter) / 2 ** 32;
  };
}

// A latent vector of N(0, 1) (Box and Muller 1958). Numbers beyond the truncation are drawn again
// unless it is 0; the others stay as they are without it.
function normal(size, seed, truncation) {
  const random = uniform(seed);
  // 1 - u is never 0.
  const next = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  const found = Float32Array.from({ length: size }, next);
  return truncation ? found.map(x => {
    while (Math.abs(x) > truncation) x = next();
    return x;
  }) : found;
}

const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);
const norm = a => Math.sqrt(dot(a, a));

// Spherical interpolation between vectors of any two lengths, the same as in latents.py, which
// explains it.
function slerp(start, end, t) {
  if (t === 0 || t === 1) return Float32Array.from(t ? end : start);
  const [first, last] = [Array.from(start), Array.from(end)];
  const lengths = [norm(first), norm(last)];
  const u = lengths[0] ? first.map(x => x / lengths[0]) : last.map(x => x / (lengths[1] || 1));
  const target = lengths[1] ? last.map(x => x / lengths[1]) : u;
  const along = dot(u, target);
  let across = target.map((x, i) => x - along * u[i]);
  const sine = norm(across);
  let scale = sine;
  if (sine < PARALLEL) {
    scale = 0;
    if (along < 0 && u.length > 1) {
      // Opposite: turn first towards the axis that the start has least of.
      const sizes = u.map(Math.abs);
      const axis = sizes.indexOf(Math.min(...sizes));
      across = u.map((x, i) => (i === axis) - u[axis] * x);
      scale = norm(across);
    }
  }
  if (!scale) return Float32Array.from(first, (x, i) => (1 - t) * x + t * last[i]);
  const angle = Math.atan2(sine, along);
  const length = (1 - t) * lengths[0] + t * lengths[1];
  const a = length * Math.cos(t * angle), b = length * Math.sin(t * angle) / scale;
  return Float32Array.from(u, (x, i) => a * x + b * across[i]);
}
